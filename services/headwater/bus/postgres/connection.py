"""Statements on the pool, and the one place where PostgreSQL's trouble becomes BusUnavailable."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from headwater.model.errors import BusUnavailable

ACQUIRE_TIMEOUT_S = 2.0
CHANNEL = "headwater_bus"
# The statements are fixed and prepared by a test: whatever fails them is a fault of the database, not of a
# message.
_TROUBLE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a server that dies in mid-query may raise this, which is no PostgresError
)


@asynccontextmanager
async def connection(pool: asyncpg.Pool) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the pool. Raises: BusUnavailable for faults of the database, here and in the body."""
    task = asyncio.current_task()
    asked = task.cancelling() if task else 0
    try:
        async with pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as acquired:
            try:
                yield acquired
            except asyncpg.InternalClientError:
                acquired.terminate()
                raise
    except _TROUBLE as error:
        if task is not None and task.cancelling() > asked:
            # Giving a broken connection back failed while the cancellation was on its way: it must go on.
            raise asyncio.CancelledError from error
        if isinstance(error, asyncpg.UndefinedTableError):
            raise BusUnavailable(
                "the database lacks the tables of the bus: run `headwater db migrate`"
            ) from error
        raise BusUnavailable(f"the database is not at hand: {type(error).__name__}: {error}") from error
