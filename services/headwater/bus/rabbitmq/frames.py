"""A message as the bytes that publish it, put together by hand. Pure.

Most of what goes over the wire is the same for every message of a type: that part is made once. General encoders ask
each value what it is; here all headers are text. AMQP 0-9-1 §4.2 (frames) and §4.2.6 (content); RabbitMQ reads the
properties in the order of their flags, highest first.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from headwater.bus.envelope import ATTEMPT_HEADER, CONTENT_TYPE, USER_HEADER
from headwater.bus.port import Message

APP_ID = "headwater"
JSON = "application/json"
_FRAME = struct.Struct(">BHI").pack  # type, channel, size
_HEAD = struct.Struct(">BHIHHQH").pack  # a frame's head; class, weight, size of the body, property flags
_IDENTITY = struct.Struct(">BB").pack  # delivery mode, size of the message id
_LONG = struct.Struct(">I").pack
_TIME = struct.Struct(">Q").pack
_METHOD, _HEADER, _BODY = 1, 2, 3
_END = b"\xce"
_FRAME_OVERHEAD = 8  # head and end
_BASIC, _PUBLISH = 60, 40
_PERSISTENT = 2
USER_FLAG = 1 << 4
# content type, headers, delivery mode, message id, timestamp, type, application
OWN_FLAGS = 1 << 15 | 1 << 13 | 1 << 12 | 1 << 7 | 1 << 6 | 1 << 5 | 1 << 3


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message is published: `mandatory` when some queue must take it."""

    exchange: str
    key: str
    mandatory: bool


def publication(
    message: Message, to: Place, *, own_user: str, at_s: int, channel: int, frame_bytes: int
) -> bytes:
    """The frames that publish `message`: persistent, dated `at_s` (seconds since 1970), our own fields in headers.

    The message is well formed (`bus.envelope.fault_of`). `frame_bytes` is the largest frame that was agreed on.
    """
    headers = message.headers
    if message.attempt or message.user_id is not None:
        headers = _with_our_own(message, own_user)
    table = _table(headers)
    identity = message.id.encode()
    kind = _short(headers.get(CONTENT_TYPE, JSON))
    tail = _tail(message.type, None if message.user_id is None else own_user)
    body = message.body
    flags = OWN_FLAGS if message.user_id is None else OWN_FLAGS | USER_FLAG
    size = 14 + len(kind) + 4 + len(table) + 2 + len(identity) + 8 + len(tail) - len(_END)
    parts = [
        _method(channel, to),
        _HEAD(_HEADER, channel, size, _BASIC, 0, len(body), flags),
        kind,
        _LONG(len(table)),
        table,
        _IDENTITY(_PERSISTENT, len(identity)),
        identity,
        _TIME(at_s),
        tail,
    ]
    room = frame_bytes - _FRAME_OVERHEAD
    if 0 < len(body) <= room:
        parts += (_FRAME(_BODY, channel, len(body)), body, _END)
    else:
        for start in range(0, len(body), room):
            piece = body[start : start + room]
            parts += (_FRAME(_BODY, channel, len(piece)), piece, _END)
    return b"".join(parts)


def _with_our_own(message: Message, own_user: str) -> Mapping[str, str]:
    is_foreign = message.user_id is not None and message.user_id != own_user
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
def _tail(message_type: str, user: str | None) -> bytes:
    """The properties behind the time, and the frame's end. The user is stated where the message has one."""
    told = b"" if user is None else _fresh_short(user)
    return _fresh_short(message_type) + told + _fresh_short(APP_ID) + _END


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
