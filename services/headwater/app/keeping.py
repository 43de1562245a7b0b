"""Servers of our own, database and broker, that end by themselves are started again: `up` goes on without a person.
Those of another process on the same data folder are run here once that one has ended.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from headwater.app.postgres_folder import FolderInUseError
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

    async def stop(self) -> None: ...


@asynccontextmanager
async def kept(server: Server, name: str) -> AsyncIterator[None]:
    """While open, `server`, which runs, is started again whenever it has ended."""
    async with _beside(_keep(server, name), f"keep {name}"):
        yield


@asynccontextmanager
async def inherited(server: Server, name: str, is_held: Callable[[], bool]) -> AsyncIterator[None]:
    """While open, `server`, which another process runs, is started here when that one has ended (`is_held` no more),
    and kept; it ends with the context.
    """
    try:
        async with _beside(_inherit(server, name, is_held), f"inherit {name}"):
            yield
    finally:
        await server.stop()


@asynccontextmanager
async def _beside(work: Coroutine[None, None, None], name: str) -> AsyncIterator[None]:
    task = asyncio.create_task(work, name=name)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _inherit(server: Server, name: str, is_held: Callable[[], bool]) -> None:
    pause_s = FIRST_PAUSE_S
    while server.pid is None:
        await asyncio.sleep(LOOK_S)
        if is_held():
            continue
        try:
            await server.start()
        except FolderInUseError:
            continue  # another one was quicker
        except (HeadwaterError, OSError) as error:
            logger.error("%s could not be started; trying in %g s: %s", name, pause_s, error)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
    logger.warning("%s is run by this process from now on: the one that ran it has ended", name)
    await _keep(server, name)


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
