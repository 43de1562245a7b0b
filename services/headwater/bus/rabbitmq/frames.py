"""A message as the bytes that publish it, put together by hand. Pure.

Most of what goes over the wire is the same for every message of a type: that part is made once. General encoders ask
each value what it is; here all headers are text. AMQP 0-9-1 §4.2 (frames) and §4.2.6 (content); RabbitMQ reads the
properties in the order of their flags, highest first.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from headwater.bus.envelope import ATTEMPT_HEADER, USER_HEADER
from headwater.bus.port import Message

APP_ID = "headwater"
_FRAME = struct.Struct(">BHI").pack  # type, channel, size
_CONTENT = struct.Struct(">HHQH").pack  # class, weight, size of the body, property flags
_LONG = struct.Struct(">I").pack
_TIME = struct.Struct(">Q").pack
_METHOD, _HEADER, _BODY = 1, 2, 3
_END = b"\xce"
_FRAME_OVERHEAD = 8  # head and end
_BASIC, _PUBLISH = 60, 40
_PERSISTENT = b"\x02"
_USER_FLAG = 1 << 4
# content type, headers, delivery mode, message id, timestamp, type, application
_FLAGS = 1 << 15 | 1 << 13 | 1 << 12 | 1 << 7 | 1 << 6 | 1 << 5 | 1 << 3


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message is published: `mandatory` when some queue must take it."""

    exchange: str
    key: str
    mandatory: bool


@lru_cache(maxsize=4096)
def place_of(exchange: str, key: str, mandatory: bool) -> Place:
    """The place, the same object each time: its method frame is found by it."""
    return Place(exchange, key, mandatory)


def publication(
    message: Message, to: Place, *, own_user: str, at_s: int, channel: int, frame_bytes: int
) -> bytes:
    """The frames that publish `message`: persistent, dated `at_s` (seconds since 1970), our own fields in headers.

    The message is well formed (`bus.envelope.fault_of`). `frame_bytes` is the largest frame that was agreed on.
    """
    properties = _properties(message, own_user, at_s)
    body = message.body
    parts = [
        _method(channel, to),
        _FRAME(_HEADER, channel, len(properties) + 14),
        _CONTENT(_BASIC, 0, len(body), _FLAGS if message.user_id is None else _FLAGS | _USER_FLAG),
        properties,
        _END,
    ]
    room = frame_bytes - _FRAME_OVERHEAD
    for start in range(0, len(body), room):
        piece = body if len(body) <= room else body[start : start + room]
        parts += (_FRAME(_BODY, channel, len(piece)), piece, _END)
    return b"".join(parts)


def _properties(message: Message, own_user: str, at_s: int) -> bytes:
    """In the order of the flags. The user is only stated where the message has one; the broker checks it."""
    table = _table(_headers(message, own_user))
    return b"".join(
        (
            _short(message.headers.get("content-type", "application/json")),
            _LONG(len(table)),
            table,
            _PERSISTENT,
            _fresh_short(message.id),
            _TIME(at_s),
            _short(message.type),
            b"" if message.user_id is None else _short(own_user),
            _short(APP_ID),
        )
    )


def _headers(message: Message, own_user: str) -> Mapping[str, str]:
    is_foreign = message.user_id is not None and message.user_id != own_user
    if not message.attempt and not is_foreign:
        return message.headers
    headers = dict(message.headers)
    if message.attempt:
        headers[ATTEMPT_HEADER] = str(message.attempt)
    if message.user_id is not None and is_foreign:
        headers[USER_HEADER] = message.user_id
    return headers


def _table(headers: Mapping[str, str]) -> bytes:
    parts: list[bytes] = []
    for name, value in headers.items():
        raw = value.encode()
        parts += (_name(name), _LONG(len(raw)), raw)
    return b"".join(parts)


def _fresh_short(text: str) -> bytes:
    raw = text.encode()
    return bytes((len(raw),)) + raw


_short = lru_cache(maxsize=4096)(_fresh_short)  # content types, message types, users: few and always the same


@lru_cache(maxsize=4096)
def _name(name: str) -> bytes:
    """A header's name and that its value is text."""
    return _fresh_short(name) + b"S"


@lru_cache(maxsize=4096)
def _method(channel: int, to: Place) -> bytes:
    """The frame of Basic.Publish."""
    payload = b"".join(
        (
            struct.pack(">HHH", _BASIC, _PUBLISH, 0),
            _fresh_short(to.exchange),
            _fresh_short(to.key),
            bytes((to.mandatory,)),
        )
    )
    return _FRAME(_METHOD, channel, len(payload)) + payload + _END
