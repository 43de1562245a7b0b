"""The short way of plain requests: from the bytes of a connection to a room and back, without the framework.

One request at a time is under way on a connection, on the short way or on the long one; what comes behind it waits.
Whatever the short way does not take, the framework gets as it came.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from headwater.http.plain import Head, PlainRequest, read_head

IDLE_S = 75.0  # between two requests of a connection; longer than proxies keep theirs
HELD_S = 0.5  # a body that is not there after so long goes the long way, which has a patience of its own
HELD_BYTES = 16 * 1024 * 1024  # of requests whose bodies are not there yet, in one process
BEHIND_BYTES = 64 * 1024  # behind a request under way, before the connection is read no more
SERVER = "headwater"  # without versions, which tell an attacker what to try
Reply = Callable[[bytes], None]
Take = Callable[
    [PlainRequest, Reply], bool
]  # whether it takes the request; then it replies once, now or later


@dataclass(frozen=True, slots=True)
class ShortWay:
    """Who takes plain requests whose bytes begin with `beginning`."""

    beginning: bytes
    take: Take


class Holding:
    """How many bytes of unfinished requests the process holds."""

    def __init__(self, most: int = HELD_BYTES) -> None:
        self._most = most
        self._used = 0

    def add(self, size: int) -> bool:
        """Whether there is room for so many more; then they are counted."""
        if self._used + size > self._most:
            return False
        self._used += size
        return True

    def free(self, size: int) -> None:
        self._used -= size


_NOTHING: Final = b""


class ShortConnection(web.RequestHandler):
    """A connection with a short way. `held_since` is when a plain request began whose body is not there; else 0.
    `silent_since` is when a connection began of which no byte has come; else 0.
    """

    __slots__ = (
        "_behind",
        "_ended",
        "_has_all",
        "_head",
        "_held",
        "_holding",
        "_is_busy",
        "_is_ending",
        "_short",
        "held_since",
        "silent_since",
    )

    def __init__(
        self, manager: web.Server, *, short: ShortWay | None, holding: Holding, **limits: Any
    ) -> None:
        super().__init__(manager, **limits)
        self._short = short
        self._holding = holding
        self._is_busy = False  # a request is under way on the short way
        self._is_ending = False
        self._has_all = False  # its sender sends no more
        self._ended: asyncio.Future[None] | None = None  # who waits for the request under way
        self._head: Head | None = None
        self._held = self._behind = _NOTHING
        self.held_since = self.silent_since = 0.0

    def long_is_idle(self) -> bool:
        """Whether the framework has nothing of this connection."""
        raise NotImplementedError

    def end_long(self) -> bool:
        """Nothing more comes. Whether the framework has a whole request under way; then it ends behind its answer."""
        raise NotImplementedError

    def eof_received(self) -> bool:  # type: ignore[override] # the framework's hangs up at once
        """The sender sends no more, and still reads (RFC 9112 §9.6): what it asked as a whole is answered, and then the
        connection ends.
        """
        self._has_all = True
        return self._is_busy or self.end_long()

    def data_received(self, data: bytes) -> None:
        self.silent_since = 0.0
        short = self._short
        if short is None:
            self.go_long(data)
        elif self._is_busy or self._behind:  # what waits is read first, in the order in which it came
            self._wait_behind(data)
        elif self._held:
            self._go_short(short, self._release() + data)
        elif data.startswith(short.beginning) and self._may_go_short():
            self._go_short(short, data)
        else:
            self.go_long(data)

    def go_long(self, data: bytes) -> None:
        """Let the framework read on."""
        super().data_received(data)

    def hand_over(self) -> None:
        """Let the framework wait for the rest of a request that is held."""
        if self._held:
            self._head = None
            self.go_long(self._release())

    def _may_go_short(self) -> bool:
        return self.long_is_idle() and not (
            self._paused or self._close or self._force_close or self._is_ending
        )

    def _go_short(self, short: ShortWay, data: bytes) -> None:
        head, self._head = self._head or read_head(data), None
        if head is None or self._is_ending:
            self.go_long(data)
            return
        end = head.end + head.length
        if len(data) < end:
            self._hold(head, data)
            return
        peer = self.peername
        remote = str(peer[0]) if isinstance(peer, tuple) else None
        self.held_since = 0.0
        self._is_busy = True
        if not short.take(PlainRequest(head, data[head.end : end], remote), self._reply):
            self._is_busy = False
            self.go_long(data)
        elif len(data) > end:
            self._wait_behind(data[end:])
            if not self._is_busy:  # it was answered at once
                self._loop.call_soon(self._go_on)

    def _hold(self, head: Head, data: bytes) -> None:
        if not self._holding.add(len(data)):
            self.go_long(data)
            return
        self._held, self._head = data, head
        if self.held_since == 0.0:
            self.held_since = self._loop.time()

    def _release(self) -> bytes:
        held, self._held = self._held, _NOTHING
        self._holding.free(len(held))
        return held

    def _wait_behind(self, data: bytes) -> None:
        self._behind += data
        if len(self._behind) > BEHIND_BYTES and self.transport is not None:
            self.transport.pause_reading()

    def _reply(self, answer: bytes) -> None:
        """Answer the request under way, and go on."""
        self._is_busy = False
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        transport.write(answer)
        self._next_keepalive_close_time = self._loop.time() + IDLE_S
        if self._close:
            super().close()
        elif self._behind:
            self._loop.call_soon(self._go_on)
        elif self._has_all:
            self.force_close()

    def _go_on(self) -> None:
        """Read what came behind the request that was answered."""
        if self._is_busy or not self._behind or self.transport is None:
            return
        behind, self._behind = self._behind, _NOTHING
        if len(behind) > BEHIND_BYTES:
            self.transport.resume_reading()
        self.data_received(behind)
        if self._has_all and not (self._is_busy or self.end_long()):
            self.force_close()

    def _process_keepalive(self) -> None:
        if self._is_busy or self._held:
            self._next_keepalive_close_time = self._loop.time() + IDLE_S
        super()._process_keepalive()

    def close(self) -> None:
        """End the connection after the answer that is under way."""
        if self._is_busy:
            self._close = True
        else:
            super().close()

    async def shutdown(self, timeout: float | None = 15.0) -> None:
        self._is_ending = True
        if self._is_busy:
            self._ended = self._loop.create_future()
            await asyncio.wait([self._ended], timeout=timeout)
        await super().shutdown(timeout)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._release()
        self._behind = _NOTHING
        self.held_since = 0.0
        super().connection_lost(exc)
