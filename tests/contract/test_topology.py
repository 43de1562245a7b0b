"""The static topology: one key leads to one queue, everything is bounded, and 3.10 as well as 4.x takes it."""

import json
import re

import pytest

from headwater.bus.port import MAX_BODY_BYTES
from headwater.bus.topology import (
    BACK_EXCHANGE,
    DEAD_QUEUE,
    WAIT_PREFIX,
    WORK_EXCHANGE,
    definitions_path,
    load_topology,
    parse_topology,
)
from headwater.contracts.messages import MESSAGES
from headwater.model.backoff import RETRY_DELAYS_S
from headwater.model.errors import ConfigError
from headwater.settings.resources import resource

TOPOLOGY = load_topology()
DEFINITIONS = json.loads(definitions_path().read_bytes())
TYPES = ["webhook.received", *(message.type for message in MESSAGES), "event.orders"]
WORK_QUEUES = [name for name in TOPOLOGY.queues if not name.startswith(WAIT_PREFIX) and name != DEAD_QUEUE]

# What each queue is there for. A queue that is missing here is nobody's.
TAKERS = {
    "headwater.webhook.received": "persister",
    "headwater.run.due": "fetcher",
    "headwater.page.due": "fetcher",
    "headwater.batch.ready": "persister",
    "headwater.run.close": "persister",
    "headwater.run.finished": "notifier",
    "headwater.in": "control",
    "headwater.dead": "control",
} | {f"{WAIT_PREFIX}{step}": "the broker, by dead-lettering" for step in RETRY_DELAYS_S}

# RabbitMQ 4.0 removed or refuses these (release notes and upgrade guide of 4.0).
REMOVED_IN_4 = {
    "ha-mode",
    "ha-params",
    "ha-sync-mode",
    "x-queue-mode",
    "x-max-in-memory-length",
    "x-ha-policy",
}
BODY_LIMIT_OF_4 = 16 * 1024 * 1024
SETTINGS_REMOVED_IN_4 = {
    "classic_queue.default_version",
    "cluster_formation.randomized_startup_delay_range.min",
}


@pytest.mark.parametrize("message_type", TYPES)
def test_a_message_type_leads_to_exactly_one_queue(message_type):
    door = "headwater.in" if message_type.startswith("event.") else WORK_EXCHANGE

    assert len(TOPOLOGY.route(door, message_type)) == 1
    assert TOPOLOGY.route(BACK_EXCHANGE, message_type) == TOPOLOGY.route(door, message_type)


@pytest.mark.parametrize("queue", [*WORK_QUEUES, DEAD_QUEUE])
def test_a_message_that_waited_comes_back_to_its_queue(queue):
    keys = [
        binding.key.replace("*", "word").replace("#", "a.b")
        for binding in TOPOLOGY.bindings
        if binding.queue == queue
    ]
    types = {key.removeprefix("dead.") for key in keys if key}

    for message_type in types:
        back = TOPOLOGY.return_key(queue, message_type)

        assert TOPOLOGY.route(BACK_EXCHANGE, back) == (queue,)


def test_no_binding_key_is_given_twice_on_one_exchange():
    places = [(binding.exchange, binding.key) for binding in TOPOLOGY.bindings]

    assert sorted(places) == sorted(set(places))


@pytest.mark.parametrize("key", ["run.request", "event.orders"])
def test_the_thin_door_takes_requests_and_events_only(key):
    assert TOPOLOGY.route("headwater.in", key) == ("headwater.in",)
    assert TOPOLOGY.route("headwater.in", "page.due") == ()
    assert TOPOLOGY.route("headwater.in", "event.a.b") == ()


def test_events_are_for_subscribers_and_need_no_taker():
    assert not TOPOLOGY.needs_taker("headwater.events")
    assert all(TOPOLOGY.needs_taker(name) for name in TOPOLOGY.exchanges if name != "headwater.events")


def test_every_queue_has_a_taker():
    assert set(TOPOLOGY.queues) == set(TAKERS)


def test_every_queue_is_reached_by_a_binding():
    assert {binding.queue for binding in TOPOLOGY.bindings} == set(TOPOLOGY.queues)
    assert {binding.exchange for binding in TOPOLOGY.bindings} <= set(TOPOLOGY.exchanges)


@pytest.mark.parametrize("entry", DEFINITIONS["queues"], ids=lambda entry: entry["name"])
def test_every_queue_is_a_durable_bounded_quorum_queue_that_refuses_what_is_too_much(entry):
    arguments = entry["arguments"]

    assert entry["durable"] is True
    assert entry["auto_delete"] is False
    assert arguments["x-queue-type"] == "quorum"
    assert arguments["x-max-length-bytes"] >= 10 * MAX_BODY_BYTES
    assert arguments["x-overflow"] == "reject-publish"
    assert arguments["x-delivery-limit"] > 0  # 3.10 has no default, 4.x has 20
    assert not REMOVED_IN_4 & set(arguments)


@pytest.mark.parametrize("name", WORK_QUEUES)
def test_a_work_queue_gives_up_after_fifty_deliveries_and_loses_nothing_then(name):
    arguments = TOPOLOGY.queues[name].arguments

    assert arguments["x-delivery-limit"] == 50
    assert arguments["x-dead-letter-exchange"] == "headwater.dead"
    assert arguments["x-dead-letter-strategy"] == "at-least-once"
    assert TOPOLOGY.route("headwater.dead", "any.key") == (DEAD_QUEUE,)


@pytest.mark.parametrize("step", RETRY_DELAYS_S)
def test_every_step_of_the_backoff_is_a_delay_queue_that_leads_back(step):
    name = f"{WAIT_PREFIX}{step}"
    queue = TOPOLOGY.queues[name]

    assert TOPOLOGY.wait_steps_s == RETRY_DELAYS_S
    assert queue.ttl_ms == step * 1000
    assert queue.arguments["x-dead-letter-exchange"] == BACK_EXCHANGE
    assert queue.arguments["x-dead-letter-strategy"] == "at-least-once"
    assert "x-dead-letter-routing-key" not in queue.arguments  # the original key is kept
    assert TOPOLOGY.exchanges[name] == "fanout"
    assert TOPOLOGY.route(name, "any.key") == (name,)


def test_dead_letters_are_never_dropped():
    queue = TOPOLOGY.queues[DEAD_QUEUE]

    assert queue.ttl_ms is None
    assert queue.dead_letter_exchange is None
    assert queue.delivery_limit >= 1_000_000  # without an exchange behind it, the limit would drop


def test_walks_get_less_of_the_broker_than_webhooks_do():
    walks = ("headwater.run.due", "headwater.page.due", "headwater.batch.ready", "headwater.run.close")
    limits = {name: queue.max_bytes for name, queue in TOPOLOGY.queues.items()}

    assert sum(limits[name] for name in walks) < limits["headwater.webhook.received"]


@pytest.mark.parametrize("entry", DEFINITIONS["exchanges"], ids=lambda entry: entry["name"])
def test_every_exchange_is_durable_and_of_a_plain_type(entry):
    assert entry["durable"] is True
    assert entry["auto_delete"] is False
    assert entry["internal"] is False
    assert entry["type"] in {"topic", "direct", "fanout"}


def test_the_definitions_hold_no_users_and_no_policies():
    assert set(DEFINITIONS) == {"vhosts", "exchanges", "queues", "bindings"}


def test_everything_stands_in_the_root_virtual_host():
    entries = [entry for kind in ("exchanges", "queues", "bindings") for entry in DEFINITIONS[kind]]

    assert {entry["vhost"] for entry in entries} == {"/"}
    assert DEFINITIONS["vhosts"] == [{"name": "/"}]


def test_a_body_fits_what_4_takes():
    assert MAX_BODY_BYTES <= BODY_LIMIT_OF_4


def test_the_configuration_writes_every_limit_and_nothing_that_4_removed():
    text = resource("rabbitmq", "rabbitmq.conf").read_text()
    keys = {
        line.partition("=")[0].strip()
        for line in text.splitlines()
        if line.strip() and not line.startswith("#")
    }

    assert {
        "heartbeat",
        "load_definitions",
        "vm_memory_high_watermark.relative",
        "disk_free_limit.absolute",
    } <= keys
    assert not SETTINGS_REMOVED_IN_4 & keys
    assert re.search(r"^heartbeat = 10$", text, re.MULTILINE)


def test_the_management_plugin_is_on():
    assert (
        resource("rabbitmq", "enabled_plugins").read_text() == "[rabbitmq_management,rabbitmq_prometheus].\n"
    )


def test_definitions_without_a_limit_are_refused_by_name():
    definitions = json.loads(definitions_path().read_bytes())
    del definitions["queues"][0]["arguments"]["x-max-length-bytes"]

    with pytest.raises(ConfigError, match="x-max-length-bytes"):
        parse_topology(definitions)


@pytest.mark.parametrize(
    ("pattern", "key", "matches"),
    [
        ("event.*", "event.orders", True),
        ("event.*", "event", False),
        ("event.*", "event.orders.eu", False),
        ("dead.#", "dead.webhook.received", True),
        ("dead.#", "dead", True),
        ("dead.#", "deadly.webhook", False),
        ("#.end", "a.b.end", True),
        ("run.request", "run.request", True),
        ("run.request", "run.requests", False),
    ],
)
def test_topic_keys_match_as_the_broker_matches_them(pattern, key, matches):
    entry = {"source": "e", "destination": "q", "routing_key": pattern}
    arguments = {"x-max-length-bytes": 1, "x-delivery-limit": 1}
    topology = parse_topology(
        {
            "exchanges": [{"name": "e", "type": "topic"}],
            "queues": [{"name": "q", "arguments": arguments}],
            "bindings": [entry],
        }
    )

    assert bool(topology.route("e", key)) is matches
