"""Schedules: claimed by any timer, by the database's clock (DESIGN.md §1)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
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


async def with_streams(connection: Any, tenant: str, streams: Iterable[str]) -> Sequence[Mapping[str, Any]]:
    """Schedules of one of these streams (`source.stream`)."""
    return await connection.fetch(_Q["with_streams"], tenant, sorted(streams))  # type: ignore[no-any-return]


async def after(connection: Any, tenant: str, name: str) -> Sequence[Mapping[str, Any]]:
    """Other schedules that start after the one of this name."""
    return await connection.fetch(_Q["after"], tenant, name)  # type: ignore[no-any-return]


async def delete(connection: Any, tenant: str, name: str) -> None:
    await connection.execute(_Q["delete"], tenant, name)


async def delete_except(connection: Any, tenant: str, names: Sequence[str]) -> list[str]:
    return [row["name"] for row in await connection.fetch(_Q["delete_except"], tenant, list(names))]


async def claim_due(connection: Any, limit: int) -> Sequence[Mapping[str, Any]]:
    """Due schedules with the database's `now`, locked until the transaction ends."""
    return await connection.fetch(_Q["claim_due"], limit)  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Advance:
    """How a schedule goes on: when it was last due (None: as it was) and is due next, and why it is in its state."""

    tenant: str
    name: str
    last_due_at: datetime | None
    next_at: datetime | None
    state: str = "active"
    reason: str | None = None


async def advance(connection: Any, advances: Sequence[Advance]) -> None:
    """Write down how these schedules go on."""
    rows = [(a.tenant, a.name, a.last_due_at, a.next_at, a.state, a.reason) for a in advances]
    if rows:
        await connection.execute(_Q["advance"], *(list(column) for column in zip(*rows, strict=True)))


async def next_due_s(connection: Any) -> float | None:
    value = await connection.fetchval(_Q["next_due_s"])
    return None if value is None else float(value)


async def now(connection: Any) -> datetime:
    """The database's clock."""
    value: datetime = await connection.fetchval(_Q["now"])
    return value
