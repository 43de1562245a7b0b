"""A reader that a malformed message cannot kill.

The protocol layer decodes every frame before anybody can look at it; a property that is not UTF-8, or a date
out of range, ends its reader and with it the connection, and the message comes again, and again, with all its
neighbours. Here the properties of such a message are replaced by a note, and its routing key is made
readable, so that it can be put to the dead letters. The body passes through.

Frames of a channel that is tapped are offered to the tap first, as they are: making objects of each costs ten times
as much as reading what is needed of it.
"""

import asyncio
import struct
import time
from collections.abc import Callable, Mapping
from typing import Any, cast

import pamqp.frame
from aiormq.connection import TCPTransportFactory, TLSTransportFactory, TransportFactory
from pamqp.commands import Basic
from pamqp.constants import FRAME_END, FRAME_HEADER, FRAME_HEARTBEAT, FRAME_METHOD
from pamqp.header import ContentHeader
from yarl import URL

from headwater.bus.rabbitmq.properties import MALFORMED_HEADER

_HEAD = struct.Struct(">BHI")  # AMQP 0-9-1 §4.2.3: type, channel, size
_BASIC_DELIVER = struct.pack(">HH", 60, 60)
_HEARTBEAT = _HEAD.pack(FRAME_HEARTBEAT, 0, 0) + bytes([FRAME_END])
_SIGN_OF_LIFE_S = 1.0  # the layer ends a connection that it hears nothing of

Tap = Callable[[int, bytes], bool]  # frame type and payload; whether it took the frame


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

    The layer reads a frame in three steps (1, 6, size + 1 bytes); at the first the whole head is read here,
    and the frame with it where it has to be looked at.
    """

    def __init__(self, reader: asyncio.StreamReader, taps: Mapping[int, Tap] | None = None) -> None:
        self._reader = reader
        self._taps = {} if taps is None else taps
        self._ahead = b""
        self._handed_on_at = 0.0

    def at_eof(self) -> bool:
        return not self._ahead and self._reader.at_eof()

    async def read(self, count: int = -1) -> bytes:
        ahead, self._ahead = self._ahead, b""
        return ahead + await self._reader.read(count)

    async def readexactly(self, count: int) -> bytes:
        if not self._ahead:
            if count != 1:
                return await self._reader.readexactly(count)
            self._ahead = await self._next_frame()
        taken, self._ahead = self._ahead[:count], self._ahead[count:]
        return taken

    async def _next_frame(self) -> bytes:
        """The next frame that no tap took: whole where it must be decodable, else its head alone."""
        while True:
            head = await self._reader.readexactly(_HEAD.size)
            kind, channel, size = _HEAD.unpack(head)
            if not size:  # a heartbeat: its last byte would look like the first of a frame
                return head + await self._reader.readexactly(1)
            tap = self._taps.get(channel)
            if tap is None and kind not in (FRAME_HEADER, FRAME_METHOD):
                return head
            rest = await self._reader.readexactly(size + 1)
            if tap is None or not tap(kind, rest[:-1]):
                return _decodable(kind, head + rest)
            if time.monotonic() - self._handed_on_at > _SIGN_OF_LIFE_S:
                self._handed_on_at = time.monotonic()
                return _HEARTBEAT


def _decodable(kind: int, frame: bytes) -> bytes:
    # Method frames are plain ASCII but for their numbers; most need no second look.
    is_plain = kind == FRAME_METHOD and frame[:-1].isascii()
    return frame if is_plain or kind not in (FRAME_HEADER, FRAME_METHOD) else mended(frame)


class GuardedTransport(TransportFactory):
    """Opens a connection, TLS or not, and guards what comes in. `taps` are by channel number."""

    def __init__(self) -> None:
        self.taps: dict[int, Tap] = {}
        self._writer: asyncio.StreamWriter | None = None

    async def create(self, url: URL, **kwargs: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        factory = TLSTransportFactory() if url.scheme == "amqps" else TCPTransportFactory()
        reader, self._writer = await factory.create(url, **kwargs)
        return cast("asyncio.StreamReader", GuardedReader(reader, self.taps)), self._writer

    def write(self, frames: bytes) -> None:
        """Put whole frames on the connection; nothing happens when it is closing."""
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(frames)
