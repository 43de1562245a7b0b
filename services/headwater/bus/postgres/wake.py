"""Waking consumers: at once in this process, by NOTIFY in the others.

A NOTIFY in each publishing transaction would make the commits wait for one another; so it is sent apart, on a
connection of its own, at most every 5 ms. It may get lost: consumers look once a second anyway.
"""

import asyncio
import logging
from collections.abc import Iterable

import asyncpg

from headwater.bus.postgres.connection import CHANNEL, connection
from headwater.bus.postgres.statements import CHECK, NOTIFY
from headwater.model.errors import BusUnavailable

log = logging.getLogger(__name__)

COALESCE_S = 0.005
KEEPALIVE_S = 10.0  # a dead connection is noticed after this
RETRY_S = 1.0


class Wake:
    """Signals between publishers and consumers of one database."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._sleepers: dict[str, set[asyncio.Event]] = {}
        self._dirty: set[str] = set()
        self._stirred = asyncio.Event()

    def add(self, queue: str, event: asyncio.Event) -> None:
        """Set `event` whenever `queue` may have something new."""
        self._sleepers.setdefault(queue, set()).add(event)

    def remove(self, queue: str, event: asyncio.Event) -> None:
        self._sleepers.get(queue, set()).discard(event)

    def published(self, queues: Iterable[str]) -> None:
        """Something new was committed to these queues."""
        for queue in queues:
            self._set(queue)
            self._dirty.add(queue)
        self._stirred.set()

    def _set(self, queue: str) -> None:
        for event in self._sleepers.get(queue, ()):
            event.set()

    async def run(self) -> None:
        """Listen and notify until cancelled."""
        while True:
            try:
                async with connection(self._pool) as listening:
                    await self._listen(listening)
            except BusUnavailable as error:
                log.debug("consumers are not woken for now, they look once a second: %s", error)
            await asyncio.sleep(RETRY_S)

    async def _listen(self, listening: asyncpg.Connection) -> None:
        await listening.add_listener(CHANNEL, self._heard)
        try:
            while True:
                try:
                    async with asyncio.timeout(KEEPALIVE_S):
                        await self._stirred.wait()
                except TimeoutError:
                    await listening.execute(CHECK)
                    continue
                await asyncio.sleep(COALESCE_S)
                self._stirred.clear()
                names, self._dirty = self._dirty, set()
                await listening.execute(NOTIFY, " ".join(names))
        finally:
            if not listening.is_closed():
                await listening.remove_listener(CHANNEL, self._heard)

    def _heard(self, _connection: object, _pid: int, _channel: str, payload: str) -> None:
        for queue in payload.split():
            self._set(queue)
