"""Servers of our own, database and broker, that end by themselves are started again: `up` goes on without a person."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from headwater.model.errors import HeadwaterError

logger = logging.getLogger("headwater.app")
LOOK_S = 0.5
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0


class Server(Protocol):
    """A server that is a child of ours. `kill` clears up after one that has ended."""

    @property
    def pid(self) -> int | None: ...

    @property
    def log_file(self) -> Path: ...

    async def start(self) -> None: ...

    async def kill(self) -> None: ...


@asynccontextmanager
async def kept(server: Server, name: str) -> AsyncIterator[None]:
    """While open, `server`, which runs, is started again whenever it has ended."""
    task = asyncio.create_task(_keep(server, name), name=f"keep {name}")
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _keep(server: Server, name: str) -> None:
    pause_s = FIRST_PAUSE_S
    while True:
        await asyncio.sleep(LOOK_S)
        if server.pid is not None:
            continue
        logger.error("%s has ended by itself; it is started again (see %s)", name, server.log_file)
        try:
            await server.kill()
            await server.start()
        except (HeadwaterError, OSError) as error:
            logger.error("%s could not be started again; trying in %g s: %s", name, pause_s, error)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        else:
            logger.warning("%s is back", name)
            pause_s = FIRST_PAUSE_S
