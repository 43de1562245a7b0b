"""How long statements may wait and run: settings of the caller's transaction, changed and given back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

LONG_S = 600.0  # what touches every row of a table may take this long
_LOCK_TIMEOUT_MS = 1000


@asynccontextmanager
async def _set(connection: Any, name: str, value: str) -> AsyncIterator[None]:
    """The setting for the body. After an error the transaction ends anyway, and the setting with it."""
    before = await connection.fetchval("SELECT pg_catalog.current_setting($1)", name)
    await connection.execute("SELECT pg_catalog.set_config($1, $2, true)", name, value)
    yield
    await connection.execute("SELECT pg_catalog.set_config($1, $2, true)", name, before)


@asynccontextmanager
async def impatient(connection: Any) -> AsyncIterator[None]:
    """The body waits a second for a lock at most, so that those who queue behind it do not wait long."""
    async with _set(connection, "lock_timeout", f"{_LOCK_TIMEOUT_MS}ms"):
        yield


@asynccontextmanager
async def utc(connection: Any) -> AsyncIterator[None]:
    """The body reads texts without a zone as UTC."""
    async with _set(connection, "TimeZone", "UTC"):
        yield


@asynccontextmanager
async def patient(connection: Any) -> AsyncIterator[None]:
    """The body's statements may run LONG_S; they also need it as their `timeout` argument."""
    async with _set(connection, "statement_timeout", f"{LONG_S:.0f}s"):
        yield
