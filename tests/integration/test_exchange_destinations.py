"""Records as messages of an exchange: walks and deliveries, over a real RabbitMQ."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pika
import pytest
from aiohttp.test_utils import TestServer
from pika.adapters.blocking_connection import BlockingChannel
from tests.integration.test_walk_destinations import Shop, row, run
from tests.support.amqp import channel, next_message, subscribe
from tests.support.receipts import hand_in, receipt, settled
from tests.support.spine import Spine, open_spine, working

from headwater.model.secret import Secret
from headwater.store import destinations, runs
from headwater.store.runs import NewRun

MANIFEST = """
version: 1
destinations:
  - {{name: results, kind: amqp, exchange: shop.records, {options}}}
sources:
  - name: shop
    base_url: {base}
    network: {{allow: ["127.0.0.0/8"]}}
    streams:
      - name: things
        request: {{path: /things}}
        pagination: {{type: offset, size: 2}}
        records: {{path: items}}
        destination: {{to: results{use}}}
endpoints:
  - name: hooks
    scheme: github
    secrets: [s]
    destination: {{to: results}}
"""
Message = tuple[str, pika.BasicProperties, Any]


async def apply(spine: Spine, base: object, options: str, use: str = "") -> None:
    await spine.apply(MANIFEST.format(base=base, options=options, use=use))


def messages(opened: BlockingChannel, queue: str, count: int) -> list[Message]:
    found = [next_message(opened, queue) for _ in range(count)]
    return [(key, properties, json.loads(body)) for key, properties, body in found]


def exchange(opened: BlockingChannel, name: str = "shop.records") -> str:
    """The exchange, with a queue that gets everything; gives the queue's name."""
    opened.exchange_delete(name)
    opened.exchange_declare(name, "topic", durable=True)
    return subscribe(opened, name, "#")


@pytest.fixture
def broker(rabbit: str) -> Secret:
    return Secret.of(rabbit)


async def test_each_record_of_a_walk_is_one_confirmed_message_with_a_key_of_its_fields(
    database: str, rabbit: str, broker: Secret
) -> None:
    rows = [
        row(1, "a b", at={"city": "Łódź"}),
        row(2, "a.b", price=1.25),
        row(3, "c", big=2**70),
        {"id": 4},
    ]
    shop = Shop(rows)
    with channel(pika.URLParameters(rabbit)) as opened:
        queue = exchange(opened)
        async with TestServer(shop.app()) as server, open_spine(database) as spine:
            spine.amqp_url = broker
            await apply(spine, server.make_url("/"), 'routing_key: "things.{name}.{at.city}.{id}.{_.stream}"')
            async with working(spine):
                ended = await run(spine)

        found = messages(opened, queue, 4)
        assert ended["state"] == "succeeded"
        assert (ended["received"], ended["inserted"], ended["pages"]) == (4, 4, 3)
        assert [key for key, _, _ in found] == [
            "things.a_b._d_.1.things",
            "things.a_b._.2.things",
            "things.c._.3.things",
            "things._._.4.things",
        ]
        assert [record for _, _, record in found] == rows
        properties = found[2][1]
        assert properties.delivery_mode == 2
        assert properties.headers["cloudEvents:id"] == properties.message_id
        assert properties.headers["cloudEvents:type"] == "headwater.record"
        assert properties.headers["cloudEvents:source"] == "/tenants/default/sources/shop/streams/things"
        assert properties.headers["cloudEvents:subject"] == f"runs/{ended['id']}/pages/2/records/0"
        assert len({one[1].message_id for one in found}) == 4


async def test_with_a_key_the_same_record_has_the_same_message_id_in_every_run(
    database: str, rabbit: str, broker: Secret
) -> None:
    shop = Shop([row(1, "same"), row(2, "old")])
    with channel(pika.URLParameters(rabbit)) as opened:
        queue = exchange(opened)
        async with TestServer(shop.app()) as server, open_spine(database) as spine:
            spine.amqp_url = broker
            await apply(spine, server.make_url("/"), "mandatory: true", ", key: id")
            async with working(spine):
                await run(spine)
                shop.rows = [row(1, "same"), row(2, "new")]
                await run(spine)

        ids = [properties.message_id for _, properties, _ in messages(opened, queue, 4)]
        assert ids[0] == ids[2]
        assert ids[1] != ids[3]


async def test_a_page_is_one_message_where_that_is_wanted(database: str, rabbit: str, broker: Secret) -> None:
    shop = Shop([row(n) for n in range(3)])
    with channel(pika.URLParameters(rabbit)) as opened:
        queue = exchange(opened)
        async with TestServer(shop.app()) as server, open_spine(database) as spine:
            spine.amqp_url = broker
            await apply(spine, server.make_url("/"), "message: page")
            async with working(spine):
                await run(spine)

        first, second = messages(opened, queue, 2)
        assert first[0] == "default.shop.things"
        assert [one["id"] for one in first[2]] == [0, 1]
        assert [one["id"] for one in second[2]] == [2]
        assert first[1].headers["headwater-records"] == "2"


@pytest.mark.parametrize(
    ("has_exchange", "says"),
    [
        (False, "has no exchange 'shop.records': declare it there, or give the destination `declare: topic`"),
        (True, "no queue takes routing key 'default.shop.things' from exchange 'shop.records': bind one"),
    ],
)
async def test_a_run_whose_records_cannot_arrive_fails_and_says_why(
    database: str, rabbit: str, broker: Secret, has_exchange: bool, says: str
) -> None:
    shop = Shop([row(1)])
    with channel(pika.URLParameters(rabbit)) as opened:
        opened.exchange_delete("shop.records")
        if has_exchange:
            opened.exchange_declare("shop.records", "topic", durable=True)
        async with TestServer(shop.app()) as server, open_spine(database) as spine:
            spine.amqp_url = broker
            await apply(spine, server.make_url("/"), "mandatory: true")
            async with working(spine):
                ended = await run(spine)

    assert (ended["state"], ended["error_kind"]) == ("failed", "destination")
    assert says in ended["error_message"]


async def test_an_exchange_is_made_and_what_nobody_wants_is_dropped_where_that_is_said(
    database: str, rabbit: str, broker: Secret
) -> None:
    shop = Shop([row(1)])
    with channel(pika.URLParameters(rabbit)) as opened:
        opened.exchange_delete("shop.records")
        async with TestServer(shop.app()) as server, open_spine(database) as spine:
            spine.amqp_url = broker
            await apply(spine, server.make_url("/"), "declare: topic, mandatory: false")
            async with working(spine):
                ended = await run(spine)
        opened.exchange_declare("shop.records", "topic", durable=True)  # it is there, as it is said here

    assert (ended["state"], ended["inserted"]) == ("succeeded", 1)


async def test_without_a_broker_the_url_decides_and_a_run_without_one_fails_clearly(
    database: str, rabbit: str
) -> None:
    shop = Shop([row(1)])
    with channel(pika.URLParameters(rabbit)) as opened:
        queue = exchange(opened)
        async with TestServer(shop.app()) as server, open_spine(database) as spine, working(spine):
            await apply(spine, server.make_url("/"), "mandatory: true")
            failed = await run(spine)
            await apply(spine, server.make_url("/"), f'url: "{rabbit}"')
            ended = await run(spine)
            stored = (await spine.row("SELECT definition FROM destination"))["definition"]
        assert [record["id"] for _, _, record in messages(opened, queue, 1)] == [1]

    assert "give the destination a `url`, or set HEADWATER_AMQP_URL" in failed["error_message"]
    assert ended["state"] == "succeeded"
    assert stored["url"] == "${secret:destination/results/url}"


async def test_a_broker_that_is_away_holds_the_run_and_says_so(database: str) -> None:
    shop = Shop([row(1)])
    async with TestServer(shop.app()) as server, open_spine(database) as spine:
        await apply(spine, server.make_url("/"), 'url: "amqp://a:b@127.0.0.1:1/"')
        async with working(spine):
            new = NewRun("default", "shop", "things", datetime.now(UTC), "api", priority=0)
            async with spine.worker.transaction() as connection:
                await runs.insert(connection, new)
            waiting = await spine.until("SELECT * FROM run WHERE waits_for LIKE 'destination results:%'")

    assert waiting["state"] == "running"
    assert waiting["parked_until"] is not None


async def test_records_of_deliveries_are_sent_once_and_wait_while_the_exchange_is_not_there(
    database: str, rabbit: str, broker: Secret
) -> None:
    with channel(pika.URLParameters(rabbit)) as opened:
        opened.exchange_delete("shop.records")
        async with open_spine(database) as spine:
            spine.amqp_url = broker
            await apply(spine, "https://shop.example", 'routing_key: "{_.endpoint}.{kind}"')
            async with working(spine, "persister"):
                first = receipt("hooks", {"n": 1, "kind": "paid"})
                await hand_in(spine, first, first)
                rows = await settled(spine, 1)
                trouble = await spine.until("SELECT * FROM destination_trouble")
                queue = exchange(opened)
                found = await asyncio.to_thread(messages, opened, queue, 1)
                await spine.until("SELECT 1 WHERE NOT EXISTS (SELECT FROM owed_record)")
                await spine.until("SELECT 1 WHERE NOT EXISTS (SELECT FROM destination_trouble)")

        assert rows[0]["state"] == "done"
        assert "has no exchange" in trouble["reason"]
        assert (found[0][0], found[0][2]) == ("hooks.paid", {"n": 1, "kind": "paid"})
        assert opened.basic_get(queue, auto_ack=True)[0] is None


async def test_a_delivery_whose_destination_is_gone_is_dead_with_its_reason(database: str) -> None:
    async with open_spine(database) as spine:
        await apply(spine, "https://shop.example", "mandatory: true")
        async with spine.api.as_tenant("default") as connection:
            await destinations.delete(connection, "default", "results")
        async with working(spine, "persister"):
            await hand_in(spine, receipt("hooks", {"n": 1}))
            rows = await settled(spine, 1)

    assert (rows[0]["state"], rows[0]["reason"]) == (
        "dead",
        "destination: there is no exchange results any more",
    )
