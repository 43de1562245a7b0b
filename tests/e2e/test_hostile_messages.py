"""What should never be on the bus, put there by a plain client: a dead letter with its reason, and the work goes on."""

import json
import os
import uuid
from collections.abc import Iterator
from typing import Any

import pika
import pytest
from tests.support.amqp import as_user, channel
from tests.support.fleet import Fleet, running_fleet
from tests.support.flights import Flights, sum_of_table
from tests.support.kills import manifest, table_of
from tests.support.postgres import SessionServer, new_database
from tests.support.rabbitmq import Broker, purge

STREAM = "beside"
PAGE_DUE = {
    "run_id": "01a20075-8093-82ce-8e7a-b233263ab336",
    "attempt": 1,
    "tenant": "default",
    "stream_version": str(uuid.uuid4()),
    "walk": 0,
    "number": 1,
    "token": {},
}

HOSTILE: list[tuple[str, str, bytes]] = [
    ("no JSON", "page.due", b"\xff\xfe\x00 not JSON"),
    ("empty", "batch.ready", b""),
    ("a list", "run.due", b"[]"),
    ("another shape", "run.close", b'{"run_id": 7}'),
    ("an unknown field", "page.due", json.dumps(PAGE_DUE | {"surprise": 1}).encode()),
    ("a run that is none", "page.due", json.dumps(PAGE_DUE).encode()),
    ("deep", "batch.ready", b"[" * 100_000),
    ("no envelope", "webhook.received", b'{"id": 1}'),
    ("oversized", "page.due", json.dumps(PAGE_DUE | {"token": {"x": "y" * 3_000_000}}).encode()),
    ("oversized noise", "batch.ready", os.urandom(3_000_000)),
    ("nobody's request", "run.request", b'{"stream": "flights.beside"}'),
]


@pytest.fixture(scope="module")
def fleet(
    tmp_path_factory: pytest.TempPathFactory,
    postgres_server: SessionServer,
    migrated_template: str,
    rabbit_broker: Broker,
    some_flights_url: str,
) -> Iterator[Fleet]:
    purge(rabbit_broker.amqp_url)
    folder = tmp_path_factory.mktemp("hostile")
    services = ("timer+fetcher+persister+control",)
    with (
        new_database(postgres_server, migrated_template) as url,
        running_fleet(
            folder,
            url,
            rabbit_broker.amqp_url,
            services=services,
            management_url=rabbit_broker.management_url,
        ) as fleet,
    ):
        fleet.apply(manifest([STREAM], 1000), LOAD_SECRET="x" * 32, FLIGHTS_URL=some_flights_url)
        yield fleet


def _publish(amqp_url: str, key: str, body: bytes, **properties: Any) -> None:
    with channel(pika.URLParameters(amqp_url)) as broker:
        broker.basic_publish(
            "headwater", key, body, pika.BasicProperties(delivery_mode=2, **properties), mandatory=True
        )


async def test_every_hostile_message_becomes_a_dead_letter_with_its_reason_and_the_neighbours_go_on(
    fleet: Fleet, rabbit_broker: Broker, some_flights: Flights
):
    run_id = fleet.begin_run(f"flights.{STREAM}")
    for name, key, body in HOSTILE:
        _publish(rabbit_broker.amqp_url, key, body, message_id=name)

    run = await fleet.final(run_id, 90)
    await fleet.until(
        "SELECT 1 FROM dead_letter WHERE message_id = ANY($1) HAVING count(*) >= $2",
        [name for name, _, _ in HOSTILE],
        len(HOSTILE),
        timeout_s=90,
    )

    letters = await fleet.fetch("SELECT message_id, type, reason, body FROM dead_letter")
    assert {(letter["message_id"], letter["type"]) for letter in letters} == {
        (name, key) for name, key, _ in HOSTILE
    }
    assert len(letters) == len(HOSTILE)
    assert all(letter["reason"] for letter in letters)
    sent = {name: body for name, _, body in HOSTILE}
    assert {
        letter["message_id"] for letter in letters if letter["body"] != sent[letter["message_id"]]
    } == set()
    assert (run["state"], run["error_message"]) == ("succeeded", None)
    loaded = await sum_of_table(fleet.database_url, some_flights.columns, f"hw_default.{table_of(STREAM)}")
    assert loaded == some_flights.truth


async def test_a_request_without_a_verified_sender_starts_nothing(fleet: Fleet):
    await fleet.until("SELECT 1 FROM dead_letter WHERE message_id = $1", "nobody's request")

    assert await fleet.fetch("SELECT 1 FROM run WHERE trigger = 'amqp'") == []


async def test_what_a_tenant_asks_for_twice_is_one_run_and_what_nobody_can_start_is_a_dead_letter(
    fleet: Fleet, rabbit_broker: Broker
):
    if rabbit_broker.management_url is None:
        pytest.skip("the broker's management API is not known: set HEADWATER_TEST_MANAGEMENT_URL")
    status, login = fleet.call("POST", "tenants/default/broker-user")
    assert status == 200, login
    good, bad = b'{"stream": "flights.beside", "mode": "full"}', b'{"stream": "flights.nowhere"}'

    with channel(as_user(rabbit_broker.amqp_url, login["user"], login["password"])) as broker:
        for identifier, body in [("twice", good), ("twice", good), ("unknown", bad)]:
            properties = pika.BasicProperties(message_id=identifier, user_id=login["user"], delivery_mode=2)
            broker.basic_publish("headwater.in", "run.request", body, properties, mandatory=True)
    letter = await fleet.until("SELECT * FROM dead_letter WHERE message_id = 'unknown'")
    await fleet.until("SELECT 1 FROM run WHERE trigger = 'amqp' AND finished_at IS NOT NULL", timeout_s=90)

    assert len(await fleet.fetch("SELECT 1 FROM run WHERE trigger = 'amqp'")) == 1
    assert "flights.nowhere" in letter["reason"]
    assert letter["tenant"] == "default"


def test_a_tenants_user_cannot_reach_the_queues_of_headwater(fleet: Fleet, rabbit_broker: Broker):
    if rabbit_broker.management_url is None:
        pytest.skip("the broker's management API is not known: set HEADWATER_TEST_MANAGEMENT_URL")
    _, login = fleet.call("POST", "tenants/default/broker-user")
    parameters = as_user(rabbit_broker.amqp_url, login["user"], login["password"])

    with (
        pytest.raises(pika.exceptions.ChannelClosedByBroker, match="ACCESS_REFUSED"),
        channel(parameters) as broker,
    ):
        broker.basic_get("headwater.batch.ready")
    with (
        pytest.raises(pika.exceptions.ChannelClosedByBroker, match="ACCESS_REFUSED"),
        channel(parameters) as broker,
    ):
        broker.basic_publish("headwater", "page.due", b"{}")


def test_no_service_fell(fleet: Fleet):
    outputs = {name: child.output for name, child in fleet.services.items()}

    assert {name: text for name, text in outputs.items() if "Traceback" in text or "fell" in text} == {}
