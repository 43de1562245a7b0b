"""The role that owns the destination tables, for a part of a worker's transaction."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def as_loader(connection: Any) -> AsyncIterator[None]:
    """The body acts as the owner of the destination tables, then as the worker again."""
    await connection.execute("SET LOCAL ROLE headwater_loader")
    yield
    await connection.execute("SET LOCAL ROLE headwater_worker")  # after an error the transaction ends anyway
