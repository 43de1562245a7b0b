"""A real API that we did not write: Datasette with the flights of 2013, walked by every kind of trigger.

The services run as docker-compose.yml runs them: a process each, on RabbitMQ and PostgreSQL.
"""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pika
import pytest
from tests.support.amqp import as_user, channel, manage, next_message, subscribe
from tests.support.fleet import Fleet, running_fleet
from tests.support.flights import Flights, sum_of_table
from tests.support.postgres import SessionServer, new_database
from tests.support.rabbitmq import Broker, purge

WALK_S = 90.0

MANIFEST = """
version: 1
sources:
  - name: flights
    base_url: {url}/flights
    network: {{allow: ["127.0.0.0/8"]}}
    streams:
      - name: by-link
        request: {{path: /flights.json, params: {{_shape: array, _size: 1000, _nocount: 1}}}}
        pagination: {{type: link}}
        destination: {{table: flights_by_link, mode: merge, key: id}}
      - name: by-token
        request: {{path: /flights.json, params: {{_shape: objects, _nocount: 1}}}}
        pagination: {{type: cursor, cursor_path: next, cursor_param: _next, size: 1000, size_param: _size}}
        records: {{path: rows}}
        destination: {{table: flights_by_token, mode: append}}
      - name: by-cron
        request: {{path: /flights.json, params: {{_shape: array, _size: 2000, _nocount: 1, month: 1}}}}
        pagination: {{type: link}}
        destination: {{table: flights_by_cron, mode: merge, key: id}}
  - name: graph
    base_url: {url}/graphql
    network: {{allow: ["127.0.0.0/8"]}}
    streams:
      - name: flights
        request:
          path: /flights
          graphql:
            query: |
              query($first: Int, $after: String) {{
                flights(first: $first, after: $after, filter: {{month: {{eq: 2}}}}) {{
                  totalCount pageInfo {{ hasNextPage endCursor }} nodes {{ id carrier dep_time time_hour }}
                }}
              }}
        pagination: {{type: graphql_relay, page_info: data.flights.pageInfo, size: 1000, total: data.flights.totalCount}}
        records: {{path: data.flights.nodes}}
        destination: {{table: flights_by_graphql, mode: append}}
schedules:
  - name: soon
    streams: [flights.by-cron]
    cron: "{cron}"
"""


def _cron_in_s(seconds: int) -> str:
    """Once a day, the first time in `seconds` seconds."""
    at = datetime.now(UTC) + timedelta(seconds=seconds)
    return f"{at.second} {at.minute} {at.hour} * * *"


@pytest.fixture(scope="module")
def fleet(
    tmp_path_factory: pytest.TempPathFactory,
    postgres_server: SessionServer,
    migrated_template: str,
    rabbit_broker: Broker,
    some_flights_url: str,
) -> Iterator[Fleet]:
    """The services at work, with the manifest applied."""
    purge(rabbit_broker.amqp_url)
    folder = tmp_path_factory.mktemp("real-input")
    with (
        new_database(postgres_server, migrated_template) as url,
        running_fleet(
            folder, url, rabbit_broker.amqp_url, management_url=rabbit_broker.management_url
        ) as fleet,
    ):
        fleet.apply(MANIFEST.format(url=some_flights_url, cron=_cron_in_s(6)))
        yield fleet


def test_each_service_is_small_while_it_has_nothing_to_do(fleet: Fleet):
    sizes = {name: child.rss_bytes / 2**20 for name, child in fleet.services.items()}

    assert max(sizes.values()) <= 90, sizes


async def test_a_walk_by_link_header_started_over_http_brings_every_flight(
    fleet: Fleet, some_flights: Flights
):
    status, started = fleet.call("POST", "runs", {"stream": "flights.by-link"})
    assert status == 202, started

    run = await fleet.final(started["id"], WALK_S)

    assert (run["state"], run["trigger"], run["error_message"]) == ("succeeded", "api", None)
    assert (run["received"], run["inserted"]) == (some_flights.truth.count,) * 2
    loaded = await sum_of_table(fleet.database_url, some_flights.columns, "hw_default.flights_by_link")
    assert loaded == some_flights.truth


async def test_a_walk_by_token_started_over_amqp_brings_every_flight_and_tells_of_its_end(
    fleet: Fleet, some_flights: Flights, rabbit_broker: Broker
):
    status, login = fleet.call("POST", "tenants/default/broker-user")
    if rabbit_broker.management_url is None:
        pytest.skip("the broker's management API is not known: set HEADWATER_TEST_MANAGEMENT_URL")
    assert status == 200, login
    parameters = as_user(rabbit_broker.amqp_url, login["user"], login["password"])

    with channel(parameters) as broker:
        events = subscribe(broker, "headwater.events", "default.run.#")
        broker.basic_publish(
            "headwater.in",
            "run.request",
            json.dumps({"stream": "flights.by-token"}).encode(),
            pika.BasicProperties(message_id="flights-1", user_id=login["user"], delivery_mode=2),
            mandatory=True,
        )
        run = await fleet.until(
            "SELECT * FROM run WHERE trigger = 'amqp' AND finished_at IS NOT NULL", timeout_s=WALK_S
        )
        key, properties, body = next_message(broker, events)
        while json.loads(body)["run_id"] != str(run["id"]):  # the run that a clock started ends about now
            key, properties, body = next_message(broker, events)

    assert (run["state"], run["error_message"]) == ("succeeded", None)
    assert run["received"] == some_flights.truth.count
    loaded = await sum_of_table(fleet.database_url, some_flights.columns, "hw_default.flights_by_token")
    assert loaded == some_flights.truth
    assert key == "default.run.flights_by-token.finished"
    assert json.loads(body)["state"] == "succeeded"
    assert properties.headers["cloudEvents:type"] == "headwater.run.finished"


async def test_a_walk_over_graphql_brings_every_flight_that_the_query_asks_for(
    fleet: Fleet, some_flights: Flights
):
    status, started = fleet.call("POST", "runs", {"stream": "graph.flights"})
    assert status == 202, started

    run = await fleet.final(started["id"], WALK_S)

    assert (run["state"], run["stop_reason"], run["error_message"]) == ("succeeded", "has_more_false", None)
    rows = await fleet.fetch("SELECT id, carrier, dep_time FROM hw_default.flights_by_graphql ORDER BY id")
    truth = some_flights.rows("SELECT id, carrier, dep_time FROM flights WHERE month = 2 ORDER BY id")
    assert [tuple(row.values()) for row in rows] == truth
    assert run["pages"] == -(-len(truth) // 1000)


async def test_a_run_that_a_cron_expression_started_brings_what_it_asked_for(
    fleet: Fleet, some_flights: Flights
):
    run = await fleet.until(
        "SELECT * FROM run WHERE schedule = 'soon' AND finished_at IS NOT NULL", timeout_s=WALK_S
    )

    assert (run["state"], run["trigger"], run["error_message"]) == ("succeeded", "schedule", None)
    rows = await fleet.fetch("SELECT DISTINCT month FROM hw_default.flights_by_cron")
    assert [row["month"] for row in rows] == [1]


def test_the_queues_are_found_at_the_broker_by_their_names(fleet: Fleet, rabbit_broker: Broker):
    if rabbit_broker.management_url is None:
        pytest.skip("the broker's management API is not known: set HEADWATER_TEST_MANAGEMENT_URL")

    queues = {queue["name"]: queue for queue in manage(rabbit_broker.management_url, "queues")}

    work = {"webhook.received", "run.due", "page.due", "batch.ready", "run.close", "run.finished"}
    waits = {f"wait.{seconds}" for seconds in (1, 5, 30, 120)}
    assert {f"headwater.{name}" for name in work | waits | {"in", "dead"}} <= set(queues)
    until = time.monotonic() + 20  # the broker counts them every five seconds
    while not all(queues[f"headwater.{name}"]["consumers"] >= 1 for name in work):
        assert time.monotonic() < until, {name: queues[f"headwater.{name}"]["consumers"] for name in work}
        time.sleep(0.2)
        queues = {queue["name"]: queue for queue in manage(rabbit_broker.management_url, "queues")}
    assert {queues[f"headwater.{name}"]["type"] for name in work} == {"quorum"}


def test_no_service_complained(fleet: Fleet):
    outputs = {name: child.output for name, child in fleet.services.items()}

    assert {name: text for name, text in outputs.items() if " ERROR " in text or "Traceback" in text} == {}
