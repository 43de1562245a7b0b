"""Schedules: claimed by any timer, by the database's clock (DESIGN.md §1)."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from headwater.store.queries import queries

_Q = queries("schedules")


async def put(
    connection: Any,
    tenant: str,
    name: str,
    definition: Mapping[str, Any],
    state: str,
    next_at: datetime | None,
) -> None:
    await connection.execute(_Q["put"], tenant, name, dict(definition), state, next_at)


async def list_schedules(connection: Any, tenant: str) -> Sequence[Mapping[str, Any]]:
    return await connection.fetch(_Q["list"], tenant)  # type: ignore[no-any-return]


async def delete_except(connection: Any, tenant: str, names: Sequence[str]) -> list[str]:
    return [row["name"] for row in await connection.fetch(_Q["delete_except"], tenant, list(names))]


async def claim_due(connection: Any, limit: int) -> Sequence[Mapping[str, Any]]:
    """Due schedules with the database's `now`, locked until the transaction ends."""
    return await connection.fetch(_Q["claim_due"], limit)  # type: ignore[no-any-return]


async def advance(
    connection: Any,
    tenant: str,
    name: str,
    last_due_at: datetime | None,
    next_at: datetime | None,
    state: str = "active",
    reason: str | None = None,
) -> None:
    await connection.execute(_Q["advance"], tenant, name, last_due_at, next_at, state, reason)


async def next_due_s(connection: Any) -> float | None:
    value = await connection.fetchval(_Q["next_due_s"])
    return None if value is None else float(value)


async def now(connection: Any) -> datetime:
    """The database's clock."""
    value: datetime = await connection.fetchval(_Q["now"])
    return value
