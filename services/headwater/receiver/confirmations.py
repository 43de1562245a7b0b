"""Confirmations of subscriptions (AWS SNS): the address that a verified request names is visited once.

An answer waits for it a moment only. A visit that takes longer goes on behind a 503: who asks again, as SNS does, is
answered by how it ended.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from headwater.model.clock import Clock
from headwater.model.errors import Unavailable

logger = logging.getLogger("headwater.receiver")
MAX_UNDER_WAY = 16
MAX_KEPT = 256
KEPT_S = 3600.0  # SNS tries its slowest times within that
WAIT_S = 0.6  # behind the signing certificate's 1.2 s, below the 2 s of an answer
Visit = Callable[[str], Awaitable[None]]


class Confirmations:
    """`visit` confirms at an address, or raises SourceError."""

    def __init__(self, visit: Visit, clock: Clock) -> None:
        self._visit = visit
        self._clock = clock
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._done: OrderedDict[str, float] = OrderedDict()

    async def confirm(self, url: str) -> None:
        """Returns when it is confirmed. Raises: SourceError where it failed; Unavailable while it is not known."""
        if self._done.get(url, 0.0) > self._clock.monotonic():
            return
        task = self._under_way.get(url)
        if task is None:
            if len(self._under_way) >= MAX_UNDER_WAY:
                raise Unavailable("too many subscriptions are being confirmed")
            task = self._under_way[url] = asyncio.create_task(self._visited(url), name="confirmation")
            task.add_done_callback(lambda done: self._keep(url, done))
        await asyncio.wait({task}, timeout=WAIT_S)
        if not task.done():
            raise Unavailable("a subscription's confirmation is on its way")
        task.result()

    async def _visited(self, url: str) -> None:
        await self._visit(url)

    def _keep(self, url: str, task: "asyncio.Task[None]") -> None:
        self._under_way.pop(url, None)
        if task.cancelled():
            return
        fault = task.exception()
        if fault is not None:
            logger.info("the visit that confirms a subscription ended: %s", fault)  # behind an answer, maybe
            return
        self._done[url] = self._clock.monotonic() + KEPT_S
        while len(self._done) > MAX_KEPT:
            self._done.popitem(last=False)

    async def close(self) -> None:
        """Let the visits under way end, each in its own time; then nothing is under way."""
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)
