"""A reader that a malformed message cannot kill.

The protocol layer decodes every frame before anybody can look at it; a property that is not UTF-8, or a date
out of range, ends its reader and with it the connection, and the message comes again, and again, with all its
neighbours. Here the properties of such a message are replaced by a note, and its routing key is made
readable, so that it can be put to the dead letters. The body passes through.

Frames of a channel that is tapped are offered to the tap first, as they are: making objects of each costs ten times
as much as reading what is needed of it. Those of a channel that consumes are offered where they lie, since most of
them are a message in a row.
"""

import asyncio
import struct
import time
from collections.abc import Callable, Mapping
from typing import Any, cast

import pamqp.frame
from aiormq.connection import TCPTransportFactory, TLSTransportFactory, TransportFactory
from pamqp.commands import Basic
from pamqp.constants import FRAME_BODY, FRAME_END, FRAME_HEADER, FRAME_HEARTBEAT, FRAME_METHOD
from pamqp.header import ContentHeader
from yarl import URL

from headwater.bus.rabbitmq.properties import MALFORMED_HEADER

_HEAD = struct.Struct(">BHI")  # AMQP 0-9-1 §4.2.3: type, channel, size
_BASIC_DELIVER = struct.pack(">HH", 60, 60)
_HEARTBEAT = _HEAD.pack(FRAME_HEARTBEAT, 0, 0) + bytes([FRAME_END])
_FRAMES = frozenset({FRAME_METHOD, FRAME_HEADER, FRAME_BODY, FRAME_HEARTBEAT})
_READ_BYTES = 1 << 18  # as much as a connection brings at once
_SIGN_OF_LIFE_S = 1.0  # the layer ends a connection that it hears nothing of

Tap = Callable[[int, bytes], bool]  # frame type and payload; whether it took the frame
Row = Callable[[bytes, int], int]  # bytes and where a frame begins; behind the frames that it took, or there


def mended(frame: bytes) -> bytes:
    """`frame` as it is when it can be decoded, else one that says the same without what cannot."""
    try:
        pamqp.frame.unmarshal(frame)
    except Exception as error:  # whatever a decoder raises on hostile bytes
        kind, channel, _ = _HEAD.unpack_from(frame)
        payload = frame[_HEAD.size : -1]
        if kind == FRAME_HEADER:
            return _noted(channel, payload, error)
        if kind == FRAME_METHOD and payload.startswith(_BASIC_DELIVER):
            return _with_readable_key(channel, payload)
        raise
    return frame


def _noted(channel: int, payload: bytes, error: Exception) -> bytes:
    (size,) = struct.unpack_from(">Q", payload, 4)
    note = f"properties cannot be read: {type(error).__name__}"
    header = ContentHeader(body_size=size, properties=Basic.Properties(headers={MALFORMED_HEADER: note}))
    return pamqp.frame.marshal(header, channel)


def _with_readable_key(channel: int, payload: bytes) -> bytes:
    """Basic.Deliver ends with two short strings: exchange and routing key."""
    at = 4 + 1 + payload[4]  # behind the consumer tag
    at += 8 + 1  # delivery tag, redelivered
    at += 1 + payload[at]  # exchange
    key = payload[at + 1 : at + 1 + payload[at]].decode("utf-8", "replace").encode("utf-8")
    while len(key) > 255:
        key = key.decode("utf-8")[:-1].encode("utf-8")
    changed = payload[:at] + bytes([len(key)]) + key
    return _HEAD.pack(FRAME_METHOD, channel, len(changed)) + changed + bytes([FRAME_END])


class GuardedReader:
    """An `asyncio.StreamReader` as far as the protocol layer asks; frames pass through `mended`.

    What the connection brings is read as it comes, many frames at once. The layer reads a frame in three steps (1, 6,
    size + 1 bytes); at the first the whole frame is put ready for it.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        taps: Mapping[int, Tap] | None = None,
        rows: Mapping[int, Row] | None = None,
    ) -> None:
        self._reader = reader
        self._taps = {} if taps is None else taps
        self._rows = {} if rows is None else rows
        self._come = b""  # from `_at` on: what was read and is no frame's yet
        self._at = 0
        self._ahead = b""
        self._handed_on_at = 0.0

    def at_eof(self) -> bool:
        return not self._ahead and self._at == len(self._come) and self._reader.at_eof()

    async def read(self, count: int = -1) -> bytes:
        ahead = self._ahead + self._come[self._at :]
        self._ahead = self._come = b""
        self._at = 0
        return ahead + await self._reader.read(count)

    async def readexactly(self, count: int) -> bytes:
        if not self._ahead:
            self._ahead = await self._next_frame()
        if len(self._ahead) < count:  # no frame of ours: the layer is to say so
            self._ahead += await self._reader.readexactly(count - len(self._ahead))
        taken, self._ahead = self._ahead[:count], self._ahead[count:]
        return taken

    async def _next_frame(self) -> bytes:
        """The next frame that no tap took. What begins like none is given as it is."""
        while (frame := self._next_untapped()) is None:
            more = await self._reader.read(_READ_BYTES)
            rest = self._come[self._at :]
            if not more:
                raise asyncio.IncompleteReadError(rest, None)
            self._come, self._at = rest + more, 0
        return frame

    def _next_untapped(self) -> bytes | None:
        """The next frame of those in hand that no tap took; None when there is none, or not all of it.

        When taps took all, the layer is told now and then that the connection lives.
        """
        come, at, taps, rows = self._come, self._at, self._taps, self._rows
        begin = at
        while len(come) - at >= _HEAD.size:
            kind, channel, size = _HEAD.unpack_from(come, at)
            if channel in rows and (behind := rows[channel](come, at)) > at:
                self._at = at = behind
                continue
            end = at + _HEAD.size + size + 1 if kind in _FRAMES else len(come)
            if end > len(come):
                break
            tap = taps.get(channel) if size else None  # a heartbeat has nothing within
            if tap is None or not tap(kind, come[at + _HEAD.size : end - 1]):
                self._at = end
                return _decodable(kind, come[at:end])
            self._at = at = end
        if at > begin and time.monotonic() - self._handed_on_at > _SIGN_OF_LIFE_S:
            self._handed_on_at = time.monotonic()
            return _HEARTBEAT
        return None


def _decodable(kind: int, frame: bytes) -> bytes:
    # Method frames are plain ASCII but for their numbers; most need no second look.
    is_plain = kind == FRAME_METHOD and frame[:-1].isascii()
    return mended(frame) if kind in (FRAME_HEADER, FRAME_METHOD) and not is_plain else frame


class GuardedTransport(TransportFactory):
    """Opens a connection, TLS or not, and guards what comes in. `taps` and `rows` are by channel number."""

    def __init__(self) -> None:
        self.taps: dict[int, Tap] = {}
        self.rows: dict[int, Row] = {}
        self._writer: asyncio.StreamWriter | None = None

    async def create(self, url: URL, **kwargs: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        factory = TLSTransportFactory() if url.scheme == "amqps" else TCPTransportFactory()
        reader, self._writer = await factory.create(url, **kwargs)
        return cast("asyncio.StreamReader", GuardedReader(reader, self.taps, self.rows)), self._writer

    def write(self, frames: bytes) -> None:
        """Put whole frames on the connection; nothing happens when it is closing."""
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(frames)
