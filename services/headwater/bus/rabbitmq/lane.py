"""The publishing channel at the level of frames: bytes out, confirmations in.

Frames of one turn of the event loop leave in one write. The broker's answers are read where they come in (`take`),
before the protocol layer makes objects of them; everything else about the connection stays with that layer.
Invariant: a publish ends by the broker's answer to this very message, by time, or by the loss of the channel.
"""

import asyncio
import struct
from collections.abc import Callable
from dataclasses import dataclass

import pamqp.frame
from pamqp.constants import FRAME_BODY, FRAME_HEADER, FRAME_METHOD

from headwater.bus.rabbitmq.breaker import Breaker
from headwater.bus.rabbitmq.frames import Place
from headwater.model.errors import BusFull, BusUnavailable, ContractError

_ACK = struct.pack(">HH", 60, 80)
_NACK = struct.pack(">HH", 60, 120)
_RETURN = struct.pack(">HH", 60, 50)
_TAG = struct.Struct(">QB").unpack_from  # delivery tag; lowest bit: all before it as well
_SIZE = struct.Struct(">Q").unpack_from
_HEAD = struct.Struct(">BHI").pack


@dataclass(slots=True)
class _Open:
    """A publish that is not answered yet. `taker` is named when it is refused, `to` when nothing takes it."""

    done: "asyncio.Future[None]"
    identity: str
    to: Place
    taker: str
    size: int
    due_at: float
    is_returned: bool = False


class Lane:
    """One channel with confirms. `write` puts bytes on its connection; `breaker` learns how publishes end.

    `open_bytes` is what is published and not answered.
    """

    def __init__(
        self, channel: int, frame_bytes: int, write: Callable[[bytes], None], breaker: Breaker
    ) -> None:
        self.channel = channel
        self.frame_bytes = frame_bytes
        self.open_bytes = 0
        self._write = write
        self._breaker = breaker
        self._loop = asyncio.get_running_loop()
        self._last_tag = 0
        self._open: dict[int, _Open] = {}  # by delivery tag, which is the order of publishing
        self._waiting: list[bytes] = []
        self._watch: asyncio.TimerHandle | None = None
        self._lost: str | None = None
        self._returning: _Returned | None = None

    def publish(
        self, frames: bytes, *, identity: str, to: Place, taker: str, timeout_s: float
    ) -> "asyncio.Future[None]":
        """Send `frames`, which publish one message; done when the broker has confirmed it.

        The future raises BusFull (refused), ContractError (nothing takes it), BusUnavailable (the channel is lost, or
        there was no answer for `timeout_s`). Cancelling it only ends the waiting.
        """
        done: asyncio.Future[None] = self._loop.create_future()
        if self._lost is not None:
            done.set_exception(BusUnavailable(self._lost))
            return done
        self._last_tag += 1
        due_at = self._loop.time() + timeout_s
        size = len(frames)
        self.open_bytes += size
        self._open[self._last_tag] = _Open(done, identity, to, taker, size, due_at)
        if self._watch is None:
            self._watch = self._loop.call_at(due_at, self._expire)
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append(frames)
        return done

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        if self._lost is None:
            self._write(waiting[0] if len(waiting) == 1 else b"".join(waiting))

    def _expire(self) -> None:
        """End what has waited too long; look again when the next one has."""
        now = self._loop.time()
        self._watch = None
        for each in self._open.values():
            if each.done.done():
                continue
            if each.due_at > now:
                self._watch = self._loop.call_at(each.due_at, self._expire)
                return
            self._free(each)
            self._breaker.timed_out(now)
            each.done.set_exception(
                BusUnavailable("RabbitMQ did not confirm in time; whether it was taken is unknown")
            )

    def _free(self, publish: _Open) -> None:
        self.open_bytes -= publish.size
        publish.size = 0

    def lose(self, why: str) -> None:
        """The channel is gone: what is open is unknown, and nothing more is sent."""
        if self._lost is None:
            self._lost = f"RabbitMQ: {why}"
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        gone, self._open = self._open, {}
        self.open_bytes = 0
        for each in gone.values():
            if not each.done.done():
                each.done.set_exception(BusUnavailable(self._lost))

    def take(self, kind: int, payload: bytes) -> bool:
        """Read a frame of this channel; False when it is for the protocol layer."""
        if kind == FRAME_METHOD:
            method = payload[:4]
            if method == _ACK:
                self._answered(payload, is_taken=True)
            elif method == _NACK:
                self._answered(payload, is_taken=False)
            elif method == _RETURN:
                self._returning = _Returned()
            else:
                return False
            return True
        if self._returning is None:
            return False
        if self._returning.add(kind, payload):
            self._note_returned(self._returning.identity)
            self._returning = None
        return True

    def _answered(self, payload: bytes, *, is_taken: bool) -> None:
        tag, bits = _TAG(payload, 4)
        if not bits & 1:
            self._end(self._open.pop(tag, None), is_taken=is_taken)
            return
        while self._open:
            first = next(iter(self._open))
            if tag and first > tag:  # 0 stands for all
                return
            self._end(self._open.pop(first), is_taken=is_taken)

    def _end(self, publish: _Open | None, *, is_taken: bool) -> None:
        if publish is None:
            return
        self._free(publish)
        if publish.done.done():
            return
        if publish.is_returned:
            to = publish.to
            publish.done.set_exception(
                ContractError(f"no queue takes {to.key!r} from exchange {to.exchange!r}")
            )
        elif is_taken:
            self._breaker.confirmed()
            publish.done.set_result(None)
        else:
            publish.done.set_exception(BusFull(publish.taker))

    def _note_returned(self, identity: str) -> None:
        """The broker gives a message back before it confirms it; of several with one id, in their order."""
        for each in self._open.values():
            if each.identity == identity and not each.is_returned:
                each.is_returned = True
                return


class _Returned:
    """A message that comes back: its header, then its body, which nobody needs."""

    def __init__(self) -> None:
        self.identity = ""
        self._missing: int | None = None

    def add(self, kind: int, payload: bytes) -> bool:
        """Whether that was the last frame of it."""
        if kind == FRAME_HEADER:
            header = pamqp.frame.unmarshal(_HEAD(kind, 0, len(payload)) + payload + b"\xce")[2]
            self.identity = header.properties.message_id or ""  # type: ignore[union-attr]  # it is a header
            (self._missing,) = _SIZE(payload, 4)
        elif kind == FRAME_BODY and self._missing is not None:
            self._missing -= len(payload)
        return self._missing == 0
