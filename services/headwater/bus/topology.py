"""The one static topology, read from `rabbitmq/definitions.json`: what leads where, and how much fits in.

All three backends route by it. Code declares no exchange, queue, binding or limit of its own; the broker gets
the same file, by import or by `headwater topology apply`. Invariant: on the exchange `headwater.back` one routing
key leads to exactly one queue, so a message that waited comes back to the queue it came from. What is published goes to
`headwater`, which compares keys as they are (direct): a pattern costs the broker a sixth more for each message.
"""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headwater.model.errors import ConfigError
from headwater.model.topics import EXCHANGE
from headwater.settings.resources import resource

WORK_EXCHANGE = "headwater"
BACK_EXCHANGE = "headwater.back"  # where messages that waited go on to their queues
EVENTS_EXCHANGE = EXCHANGE
IN_QUEUE = "headwater.in"  # what other programs hand in
DEAD_EXCHANGE = "headwater.dead"
DEAD_QUEUE = "headwater.dead"
DEAD_PREFIX = (
    "dead."  # routing key of a dead letter that waited: back to the dead letters, not to its old queue
)
WAIT_PREFIX = "headwater.wait."


@dataclass(frozen=True, slots=True)
class Queue:
    """One queue. `arguments` are the broker's own; the other fields are read from them."""

    name: str
    arguments: Mapping[str, Any]
    max_bytes: int
    delivery_limit: int
    ttl_ms: int | None
    dead_letter_exchange: str | None


@dataclass(frozen=True, slots=True)
class Binding:
    exchange: str
    queue: str
    key: str


@dataclass(frozen=True, slots=True, eq=False)
class Topology:
    """Exchanges (name to type), queues by name, and bindings. Compared by identity, so routes can be
    remembered.
    """

    exchanges: Mapping[str, str]
    queues: Mapping[str, Queue]
    bindings: tuple[Binding, ...]

    def route(self, exchange: str, key: str) -> tuple[str, ...]:
        """The queues that a message with this routing key reaches, as the broker would compute them."""
        return _route(self, exchange, key)

    def needs_taker(self, exchange: str) -> bool:
        """Whether a message to `exchange` must reach a queue; an exchange without bindings is for
        subscribers.
        """
        return any(binding.exchange == exchange for binding in self.bindings)

    def return_key(self, queue: str, message_type: str) -> str:
        """The routing key that brings a message of `queue` back to it, over the exchange `headwater.back`."""
        return DEAD_PREFIX + message_type if queue == DEAD_QUEUE else message_type

    @property
    def wait_steps_s(self) -> tuple[int, ...]:
        """The seconds of the delay queues, ascending."""
        names = (name for name in self.queues if name.startswith(WAIT_PREFIX))
        return tuple(sorted(int(name.removeprefix(WAIT_PREFIX)) for name in names))


@functools.lru_cache(maxsize=1024)
def _route(topology: Topology, exchange: str, key: str) -> tuple[str, ...]:
    matches = _MATCHERS[topology.exchanges[exchange]]
    found = (b.queue for b in topology.bindings if b.exchange == exchange and matches(b.key, key))
    return tuple(dict.fromkeys(found))


def _topic_matches(pattern: str, key: str) -> bool:
    return _words_match(pattern.split("."), key.split(".") if key else [])


def _words_match(pattern: list[str], words: list[str]) -> bool:
    """AMQP 0-9-1 §3.1.3.3: `*` stands for one word, `#` for any number of them."""
    if not pattern:
        return not words
    if pattern[0] == "#":
        return any(_words_match(pattern[1:], words[at:]) for at in range(len(words) + 1))
    return bool(words) and pattern[0] in ("*", words[0]) and _words_match(pattern[1:], words[1:])


_MATCHERS = {
    "fanout": lambda _pattern, _key: True,
    "direct": lambda pattern, key: pattern == key,
    "topic": _topic_matches,
}


def _queue(entry: Mapping[str, Any]) -> Queue:
    arguments = entry["arguments"]
    return Queue(
        name=entry["name"],
        arguments=arguments,
        max_bytes=arguments["x-max-length-bytes"],
        delivery_limit=arguments["x-delivery-limit"],
        ttl_ms=arguments.get("x-message-ttl"),
        dead_letter_exchange=arguments.get("x-dead-letter-exchange"),
    )


def parse_topology(definitions: Mapping[str, Any]) -> Topology:
    """The topology in a RabbitMQ definitions document. Raises: ConfigError when something is missing."""
    try:
        return Topology(
            exchanges={entry["name"]: entry["type"] for entry in definitions["exchanges"]},
            queues={entry["name"]: _queue(entry) for entry in definitions["queues"]},
            bindings=tuple(
                Binding(entry["source"], entry["destination"], entry["routing_key"])
                for entry in definitions["bindings"]
            ),
        )
    except KeyError as error:
        raise ConfigError(
            f"the definitions lack {error}: every exchange, queue and limit must be written"
        ) from error


def definitions_path() -> Path:
    return resource("rabbitmq", "definitions.json")


@functools.cache
def load_topology() -> Topology:
    """The topology that ships with headwater."""
    return parse_topology(json.loads(definitions_path().read_bytes()))
