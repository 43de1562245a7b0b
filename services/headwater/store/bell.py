"""Wake-ups through NOTIFY: rung at most every 5 ms, since each one serialises commits; a poll is the net behind it."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from headwater.model.errors import Unavailable
from headwater.model.secret import Secret
from headwater.store.database import CONNECT_TIMEOUT_S, Database

logger = logging.getLogger("headwater.store")
WORK = "headwater_work"  # runs to admit, messages to relay
_GAP_S = 0.005
_RETRY_S = 1.0


class Bell:
    """Rings a channel after commits; many rings in a moment are one."""

    def __init__(self, database: Database, channel: str = WORK) -> None:
        self._database = database
        self._channel = channel
        self._wanted = asyncio.Event()

    def ring(self) -> None:
        self._wanted.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Bell"]:
        """While open, rings go out."""
        task = asyncio.create_task(self._send(), name="bell")
        try:
            yield self
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _send(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            with contextlib.suppress(Unavailable):  # the poll of the listener is the net
                await self._database.execute("SELECT pg_notify($1, '')", self._channel)
            await asyncio.sleep(_GAP_S)


@asynccontextmanager
async def listening(url: Secret, *channels: str) -> AsyncIterator[asyncio.Event]:
    """An event that is set when one of the channels rings, and after every reconnect (something may be missed)."""
    rung = asyncio.Event()
    task = asyncio.create_task(_listen(url, channels, rung), name="listener")
    try:
        yield rung
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _listen(url: Secret, channels: tuple[str, ...], rung: asyncio.Event) -> None:
    while True:
        gone = asyncio.Event()
        try:
            connection = await asyncpg.connect(url.text(), timeout=CONNECT_TIMEOUT_S, command_timeout=10)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            logger.debug("cannot listen: %s", error)
            await asyncio.sleep(_RETRY_S)
            continue
        try:
            connection.add_termination_listener(lambda _, gone=gone: gone.set())
            for channel in channels:
                await connection.add_listener(channel, lambda *_: rung.set())
            rung.set()
            await gone.wait()
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            logger.debug("listening ended: %s", error)
            await asyncio.sleep(_RETRY_S)
        finally:
            connection.terminate()


async def wait_any(wait_s: float, *events: asyncio.Event) -> None:
    """Sleep for `wait_s` seconds, or until one of the events is set."""
    if wait_s <= 0:
        return
    tasks = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(tasks, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
