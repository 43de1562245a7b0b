"""Pausing while our own means are away: one caller probes with back-off, the others wait for its answer.

Invariant: a call that answers Unavailable is repeated until it answers otherwise or the gate is shut for
good.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from headwater.model.errors import Unavailable

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0
T = TypeVar("T")


class Handle(Protocol):
    def cancel(self) -> None: ...


class Timer(Protocol):
    """What runs a callback after a while. An event loop is one; tests bring one whose time they move."""

    def time(self) -> float:
        """Seconds, which never go back."""
        ...

    def call_later(self, delay: float, callback: Callable[[], None], /) -> Handle: ...


class Gate:
    """Open as long as the means are there. `on_change` is called when the gate begins or ends to wait."""

    def __init__(self, name: str, timer: Timer, on_change: Callable[[], None]) -> None:
        self._name = name
        self._timer = timer
        self._on_change = on_change
        self._probing = asyncio.Lock()
        self._closed_at: float | None = None
        self._pause_s = FIRST_PAUSE_S
        self._waiting = False

    @property
    def is_open(self) -> bool:
        return self._closed_at is None

    @property
    def is_waiting(self) -> bool:
        """Closed, and nobody is probing just now: only time can open it."""
        return self._waiting

    async def run(self, call: Callable[[], Awaitable[T]]) -> T:
        """The answer of `call`, repeated while it raises Unavailable; one caller at a time while closed."""
        while True:
            if self._closed_at is None:
                try:
                    return await call()
                except Unavailable as error:
                    self._close(error)
            else:
                async with self._probing:
                    if self._closed_at is None:
                        continue
                    await self._wait()
                    try:
                        answer = await call()
                    except Unavailable:
                        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
                    except Exception:
                        self._open()
                        raise
                    else:
                        self._open()
                        return answer

    def _close(self, error: Unavailable) -> None:
        if self._closed_at is not None:
            return
        self._closed_at = asyncio.get_running_loop().time()
        self._pause_s = FIRST_PAUSE_S
        log.warning(
            "%s pauses: %s; it tries again every %g to %g s",
            self._name,
            str(error) or type(error).__name__,
            FIRST_PAUSE_S,
            LONGEST_PAUSE_S,
        )

    def _open(self) -> None:
        if self._closed_at is None:
            return
        paused_s = asyncio.get_running_loop().time() - self._closed_at
        self._closed_at = None
        log.warning("%s goes on after %.1f s", self._name, paused_s)

    async def _wait(self) -> None:
        woken = asyncio.get_running_loop().create_future()

        def wake() -> None:
            self._waiting = False
            if not woken.done():
                woken.set_result(None)

        handle = self._timer.call_later(self._pause_s, wake)
        self._waiting = True
        self._on_change()
        try:
            await woken
        finally:
            handle.cancel()
            self._waiting = False
