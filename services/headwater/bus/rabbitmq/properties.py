"""From what AMQP 0-9-1 carries (properties, headers, routing key) to a `Message`. Bodies are never touched.

The publisher's user: a copy that we publish (a retry, a dead letter) carries our own user in the property
`user_id`, which the broker verifies, and the first publisher's in a header. The header is believed only where
the property is our own, so nobody else can claim a name.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from headwater.bus.envelope import (
    ATTEMPT_HEADER,
    CONTENT_TYPE,
    MAX_HEADER_BYTES,
    QUEUE_HEADER,
    REASON_HEADER,
    USER_HEADER,
)
from headwater.bus.port import MAX_BODY_BYTES, Message
from headwater.bus.topology import DEAD_PREFIX, DEAD_QUEUE, IN_QUEUE

MALFORMED_HEADER = "x-headwater-malformed"  # set by the reader in place of properties that cannot be decoded
_BROKERS_OWN = ("x-death", "x-delivery-count", "x-acquired-count", "x-first-death-", "x-last-death-")
BROKERS = "x-"  # what all of these begin with, and our own as well
_MAX_ATTEMPT = 1_000_000
_LOOKED_AT = frozenset({DEAD_QUEUE, IN_QUEUE})  # whose messages need a closer look


class Read(NamedTuple):
    """A message as it was read; `fault` says why no handler may see it."""

    message: Message
    fault: str | None


class Arrival(NamedTuple):
    """A message as the broker hands it over. Header values may be of any kind, and anything may be missing.

    `is_plain`: all headers are known to be short ASCII texts without NUL, and none is the broker's or the bus's own.
    """

    key: str
    is_redelivered: bool
    headers: Mapping[str, Any]
    message_id: str | None
    user_id: str | None
    body: bytes
    content_type: str | None = None
    is_plain: bool = False


def decode(arrival: Arrival, *, queue: str, own_user: str, number: str) -> Read:
    """What was delivered from `queue`, as a message.

    Text of any kind stays text; numbers and truth values become text; tables and lists are left out, since
    ours are plain. What is handed in from outside has its content type among the headers. `number` names a message
    that has no id of its own.
    """
    if arrival.is_plain and queue not in _LOOKED_AT:
        key, is_redelivered, told, message_id, user_id, body, *_ = arrival
        plain = Message(key, message_id or number, body, told, 0, int(is_redelivered), user_id)
        return Read(plain, _fault(arrival))
    raw = arrival.headers
    if queue == IN_QUEUE and arrival.content_type:  # other programs say there what their body is
        raw = {CONTENT_TYPE: arrival.content_type, **raw}
    headers, header_fault = _plain(raw)
    attempt, attempt_fault = _attempt(headers.pop(ATTEMPT_HEADER, None))
    claimed_user = headers.pop(USER_HEADER, None)
    malformed = headers.pop(MALFORMED_HEADER, None)
    is_dead = queue == DEAD_QUEUE
    if is_dead and REASON_HEADER not in headers:
        headers |= _broker_reason(raw)
    key = arrival.key
    message = Message(
        key.removeprefix(DEAD_PREFIX) if is_dead else key,
        arrival.message_id or number,
        arrival.body,
        headers,
        attempt,
        _redelivered(arrival),
        (claimed_user or own_user) if arrival.user_id == own_user else arrival.user_id,
    )
    if is_dead:  # dead letters are there to be looked at, whatever is wrong with them
        return Read(message, None)
    return Read(message, malformed or _fault(arrival) or header_fault or attempt_fault)


def _fault(arrival: Arrival) -> str | None:
    if "\N{REPLACEMENT CHARACTER}" in arrival.key:
        return "routing key is not UTF-8 text"
    if not arrival.message_id:
        return "message_id is missing: it is the idempotency key"
    if len(arrival.body) > MAX_BODY_BYTES:
        return f"body has {len(arrival.body)} bytes, more than {MAX_BODY_BYTES}"
    return None


def _plain(raw: Mapping[str, Any]) -> tuple[dict[str, str], str | None]:
    if _are_plain(raw):
        return dict(raw), None
    plain: dict[str, str] = {}
    fault = None
    size = 0
    for name, value in raw.items():
        if name.startswith(_BROKERS_OWN):
            continue
        text = _text(value)
        if text is None:
            fault = fault or _value_fault(name, value)
            continue
        size += len(name) + len(text)
        plain[name] = text
    if size > MAX_HEADER_BYTES // 4:  # a character has up to four bytes
        exact = sum(len(name.encode()) + len(text.encode()) for name, text in plain.items())
        if exact > MAX_HEADER_BYTES:
            return {}, f"headers have {exact} bytes, more than {MAX_HEADER_BYTES}; they are left out"
    return plain, fault


def _are_plain(raw: Mapping[str, Any]) -> bool:
    """Whether the headers can be taken as they are, as most can: short texts, none of the broker's own."""
    try:
        names, values = "".join(raw), "".join(raw.values())
    except TypeError:
        return False
    is_short = len(names) + len(values) <= MAX_HEADER_BYTES // 4  # a character has up to four bytes
    is_ours = BROKERS not in names or not any(name.startswith(_BROKERS_OWN) for name in raw)
    return is_short and is_ours and "\0" not in values


def _text(value: object) -> str | None:
    if isinstance(value, str):
        return None if "\0" in value else value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else None


def _value_fault(name: str, value: object) -> str | None:
    if isinstance(value, bytes | bytearray):
        return f"header {name!r} is not UTF-8 text"
    return f"header {name!r} holds a NUL character" if isinstance(value, str) else None


def _attempt(text: str | None) -> tuple[int, str | None]:
    if text is None:
        return 0, None
    if text.isascii() and text.isdigit() and int(text[:9]) <= _MAX_ATTEMPT:
        return int(text[:9]), None
    return 0, f"header {ATTEMPT_HEADER} is not a count"


def _redelivered(arrival: Arrival) -> int:
    count = arrival.headers.get("x-delivery-count")
    if isinstance(count, int) and not isinstance(count, bool):
        return max(count, 0)
    return int(arrival.is_redelivered)


def _broker_reason(raw: Mapping[str, Any]) -> dict[str, str]:
    """Why and where the broker gave a message up by itself: the newest entry of `x-death` says it."""
    deaths = raw.get("x-death")
    newest = deaths[0] if isinstance(deaths, list) and deaths and isinstance(deaths[0], dict) else {}
    reason, queue = newest.get("reason"), newest.get("queue")
    return {
        REASON_HEADER: f"given up by the broker: {reason if isinstance(reason, str) else 'no reason given'}",
        QUEUE_HEADER: queue if isinstance(queue, str) else "",
    }
