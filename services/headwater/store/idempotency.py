"""Idempotency keys: the same key asks for the same thing once; what follows from it derives from its first use."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from headwater.store.queries import queries

_Q = queries("idempotency")
KEPT_DAYS = 7


@dataclass(frozen=True, slots=True)
class FirstUse:
    """When the key was first used (aware UTC, whole milliseconds), for what (`digest`), and whether that is now.

    `result` is the id of what the first use made, where it was kept.
    """

    digest: bytes
    at: datetime
    is_now: bool
    result: UUID | None = None


async def claim(connection: Any, tenant: str, operation: str, key: str, digest: bytes) -> FirstUse:
    """Use the key, in the caller's transaction; a use that is undone counts for nothing."""
    for _ in range(3):  # a sweep may take the row between the two looks
        row = await connection.fetchrow(_Q["claim"], tenant, operation, key, digest)
        if row is not None:
            return FirstUse(row["digest"], row["first_at"], is_now=True)
        row = await connection.fetchrow(_Q["get"], tenant, operation, key)
        if row is not None:
            return FirstUse(row["digest"], row["first_at"], is_now=False, result=row["result"])
    raise RuntimeError("an idempotency key appears and disappears")


async def keep_result(connection: Any, tenant: str, operation: str, key: str, result: UUID) -> None:
    """Remember what the first use made."""
    await connection.execute(_Q["keep_result"], tenant, operation, key, result)


async def sweep(connection: Any) -> None:
    """Forget old keys."""
    await connection.execute(_Q["sweep"], KEPT_DAYS)
