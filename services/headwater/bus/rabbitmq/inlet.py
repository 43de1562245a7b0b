"""Messages as they come in, read from the frames of a consuming channel.

Most of them are our own: text in every header, properties in order. Those are read directly; whatever else a foreign
program sends goes through the protocol library, which knows all kinds of values, and through its guard.
"""

import struct
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import pamqp.frame
from pamqp.constants import FRAME_BODY, FRAME_HEADER, FRAME_METHOD

from headwater.bus.envelope import MAX_HEADER_BYTES
from headwater.bus.rabbitmq.frames import JSON, OWN_FLAGS, USER_FLAG
from headwater.bus.rabbitmq.properties import BROKERS, Arrival
from headwater.bus.rabbitmq.reader import mended

_DELIVER = struct.pack(">HH", 60, 60)
_TAG = struct.Struct(">QB").unpack_from  # delivery tag, redelivered
_CONTENT = struct.Struct(">QH").unpack_from  # size of the body, property flags
_LONG = struct.Struct(">I").unpack_from
_MOMENT = struct.Struct(">Q").unpack_from
_LAST_MOMENT_S = 253_402_300_799  # the end of the year 9999; what is beyond is no date
_HEAD = struct.Struct(">BHI")  # of a frame: type, channel, size
_HEAD_BYTES, _END_BYTES = _HEAD.size, 1
_VALUE = struct.Struct(">BI").unpack_from  # kind and size of a header's value
_TEXT = ord("S")
_JSON = JSON.encode()
# The properties in the order of their flags (AMQP 0-9-1 §4.2.6.1, basic class), by how they are read.
_SHORT, _TABLE, _OCTET, _TIME = range(4)
_ORDER = (
    ("content_type", 1 << 15, _SHORT),
    ("content_encoding", 1 << 14, _SHORT),
    ("headers", 1 << 13, _TABLE),
    ("delivery_mode", 1 << 12, _OCTET),
    ("priority", 1 << 11, _OCTET),
    ("correlation_id", 1 << 10, _SHORT),
    ("reply_to", 1 << 9, _SHORT),
    ("expiration", 1 << 8, _SHORT),
    ("message_id", 1 << 7, _SHORT),
    ("timestamp", 1 << 6, _TIME),
    ("message_type", 1 << 5, _SHORT),
    ("user_id", 1 << 4, _SHORT),
    ("app_id", 1 << 3, _SHORT),
)
_UNKNOWN_FLAGS = 0b111

# headers, message id, user, content type, and whether the headers are plain as `Arrival` has it
Properties = tuple[Mapping[str, Any], str | None, str | None, str | None, bool]


class Inlet:
    """Puts the frames of a channel together; `arrived` gets each message with its delivery tag."""

    def __init__(self, arrived: Callable[[int, Arrival], None]) -> None:
        self._arrived = arrived
        self._deliver = b""  # of the message of which not all frames are there yet
        self._header = b""
        self._body: list[bytes] = []
        self._missing = 0

    def take_row(self, come: bytes, at: int) -> int:
        """Read the messages of the channel that lie in `come` in a row from its frame at `at` on, each whole and with
        its body in one frame; gives where what is left begins.
        """
        if at + _HEAD_BYTES > len(come):
            return at
        _, channel, _ = _HEAD.unpack_from(come, at)
        while behind := self._whole(come, at, channel):
            at = behind
        return at

    def _whole(self, come: bytes, at: int, channel: int) -> int:
        """Read the channel's message at `at`; gives what is behind it, 0 when none lies there whole."""
        last = len(come) - _HEAD_BYTES
        if at > last:
            return 0
        kind, of, size = _HEAD.unpack_from(come, at)
        deliver, at = at + _HEAD_BYTES, at + _HEAD_BYTES + size + _END_BYTES
        if kind != FRAME_METHOD or of != channel or at > last or not come.startswith(_DELIVER, deliver):
            return 0
        end_of_deliver = at - _END_BYTES
        kind, of, size = _HEAD.unpack_from(come, at)
        header, at = at + _HEAD_BYTES, at + _HEAD_BYTES + size + _END_BYTES
        if kind != FRAME_HEADER or of != channel or at > last:
            return 0
        end_of_header = at - _END_BYTES
        kind, of, size = _HEAD.unpack_from(come, at)
        body, at = at + _HEAD_BYTES, at + _HEAD_BYTES + size + _END_BYTES
        whole_size, flags = _CONTENT(come, header + 4)
        if kind != FRAME_BODY or of != channel or size != whole_size or at > len(come):
            return 0
        properties = _properties_in(come, header, end_of_header, flags)
        self._arrive(come[deliver:end_of_deliver], properties, come[body : body + size])
        return at

    def take(self, kind: int, payload: bytes) -> bool:
        """Read a frame of the channel; False when it is for the protocol layer."""
        if kind == FRAME_METHOD:
            if not payload.startswith(_DELIVER):
                return False
            self._deliver, self._body, self._missing = payload, [], 1  # the header is missing
            return True
        if not self._deliver:
            return False
        if kind == FRAME_HEADER:
            self._header = payload
            self._missing = _CONTENT(payload, 4)[0]
        elif kind == FRAME_BODY:
            self._body.append(payload)
            self._missing -= len(payload)
        if self._missing <= 0:
            self._complete()
        return True

    def _complete(self) -> None:
        deliver, self._deliver = self._deliver, b""
        body, self._body = self._body, []
        whole = body[0] if len(body) == 1 else b"".join(body)
        self._arrive(deliver, properties_of(self._header), whole)

    def _arrive(self, deliver: bytes, properties: Properties, body: bytes) -> None:
        at = 5 + deliver[4]  # behind the consumer tag
        tag, is_redelivered = _TAG(deliver, at)
        headers, message_id, user_id, kind, is_plain = properties
        key = _key_of(deliver[at + 9 :])
        is_again = bool(is_redelivered & 1)
        self._arrived(tag, Arrival(key, is_again, headers, message_id, user_id, body, kind, is_plain))


@lru_cache(maxsize=4096)
def _key_of(end: bytes) -> str:
    """The routing key at the end of Basic.Deliver, behind the exchange. What is no text is told by the character that
    stands for it.
    """
    at = 1 + end[0]
    return end[at + 1 : at + 1 + end[at]].decode("utf-8", "replace")


def properties_of(header: bytes) -> Properties:
    """What we want of a content header's payload, however strange the rest of it is."""
    try:
        _, flags = _CONTENT(header, 4)
    except struct.error:
        return _any_properties(header)
    return _properties_in(header, 0, len(header), flags)


def _properties_in(come: bytes, at: int, end: int, flags: int) -> Properties:
    """As `properties_of`, of the payload that lies in `come`."""
    try:
        if flags & ~USER_FLAG == OWN_FLAGS:
            found = _own_properties(come, at, end, flags)
        else:
            found = _plain_properties(come[at:end], flags)
    except (struct.error, IndexError, UnicodeDecodeError):
        found = None
    return _any_properties(come[at:end]) if found is None else found


def _own_properties(come: bytes, at: int, end: int, flags: int) -> Properties | None:
    """Those that `frames.publication` writes. None when there is something that only the library can read."""
    begin = at + 15
    at = begin + come[at + 14]  # behind the content type
    kind = JSON if come[begin:at] == _JSON else come[begin:at].decode()
    (size,) = _LONG(come, at)
    headers, is_plain = _texts(come, at + 4, at + 4 + size)
    at += 5 + size  # behind the delivery mode
    message_id = come[at + 1 : at + 1 + come[at]].decode()
    at += 1 + come[at]
    if _MOMENT(come, at)[0] > _LAST_MOMENT_S:
        return None
    at += 8
    at += 1 + come[at]  # behind the type
    user_id = None
    if flags & USER_FLAG:
        user_id = come[at + 1 : at + 1 + come[at]].decode()
        at += 1 + come[at]
    at += 1 + come[at]  # behind the application
    return None if at != end or headers is None else (headers, message_id, user_id, kind, is_plain)


def _plain_properties(header: bytes, flags: int) -> Properties | None:
    """None when there is something that only the library can read."""
    if flags & _UNKNOWN_FLAGS:
        return None
    headers: Mapping[str, str] | None = {}
    is_plain = False
    message_id = user_id = kind = None
    at = 14
    for name, flag, form in _ORDER:
        if not flags & flag:
            continue
        if form == _SHORT:
            text = header[at + 1 : at + 1 + header[at]].decode()
            at += 1 + header[at]
            if name == "message_id":
                message_id = text
            elif name == "user_id":
                user_id = text
            elif name == "content_type":
                kind = text
        elif form == _TABLE:
            (size,) = _LONG(header, at)
            headers, is_plain = _texts(header, at + 4, at + 4 + size)
            at += 4 + size
        elif form == _OCTET:
            at += 1
        elif _MOMENT(header, at)[0] <= _LAST_MOMENT_S:
            at += 8
        else:
            return None
    return None if at != len(header) or headers is None else (headers, message_id, user_id, kind, is_plain)


def _texts(come: bytes, at: int, end: int) -> tuple[dict[str, str] | None, bool]:
    """The table between `at` and `end`, None when not all of its values are texts; and whether it is plain."""
    found = {}
    text = come[at:end].decode("latin-1")  # names and values are cut out of it, where all is ASCII
    begin = at
    while at < end:
        value = at + 1 + come[at]
        kind, size = _VALUE(come, value)
        if kind != _TEXT:
            return None, False
        name = text[at + 1 - begin : value - begin]
        at = value + 5 + size
        found[name] = text[value + 5 - begin : at - begin]
    if at != end:
        return None, False
    names, values = "".join(found), "".join(found.values())
    if not (names.isascii() and values.isascii()):
        found = {_utf8(name): _utf8(value) for name, value in found.items()}
        return found, False
    return found, "\0" not in values and BROKERS not in names and len(text) <= MAX_HEADER_BYTES


def _utf8(text: str) -> str:
    return text.encode("latin-1").decode()


def _any_properties(header: bytes) -> Properties:
    frame = mended(_HEAD.pack(FRAME_HEADER, 1, len(header)) + header + b"\xce")
    properties: Any = pamqp.frame.unmarshal(frame)[2].properties  # type: ignore[union-attr]  # it is a header
    return properties.headers or {}, properties.message_id, properties.user_id, properties.content_type, False
