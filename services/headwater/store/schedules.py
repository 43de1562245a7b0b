"""Schedules: claimed by any timer, by the database's clock (DESIGN.md §1)."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg

from headwater.model.ids import time_of
from headwater.store.queries import as_text, queries

_Q = queries("schedules")


async def put(
    connection: Any,
    tenant: str,
    name: str,
    definition: Mapping[str, Any],
    state: str,
    next_at: datetime | None,
    *,
    calendars: Mapping[str, Any] | None = None,
    reason: str | None = None,
    max_runs: int | None = None,
) -> None:
    """Write the schedule. `calendars` are the definitions of those that it names."""
    await connection.execute(
        _Q["put"], tenant, name, dict(definition), state, next_at, dict(calendars or {}), reason, max_runs
    )


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


async def definitions(connection: Any, tenant: str, names: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """The stored definitions of those of `names` that are there."""
    rows = await connection.fetch(_Q["definitions"], tenant, list(names))
    return {row["name"]: row["definition"] for row in rows}


async def delete_except(connection: Any, tenant: str, names: Sequence[str]) -> list[str]:
    return [row["name"] for row in await connection.fetch(_Q["delete_except"], tenant, list(names))]


async def with_calendar(connection: Any, tenant: str, calendar: str) -> Sequence[Mapping[str, Any]]:
    """The schedules that name this calendar, locked until the transaction ends."""
    return await connection.fetch(_Q["with_calendars"], tenant, calendar)  # type: ignore[no-any-return]


async def set_calendars(
    connection: Any,
    tenant: str,
    name: str,
    calendars: Mapping[str, Any],
    next_at: datetime | None,
    state: str,
    reason: str | None,
) -> None:
    await connection.execute(_Q["set_calendars"], tenant, name, dict(calendars), next_at, state, reason)


async def set_definition(connection: Any, tenant: str, name: str, definition: Mapping[str, Any]) -> None:
    await connection.execute(_Q["set_definition"], tenant, name, dict(definition))


async def by_index(connection: Any) -> None:
    """What the transaction still does finds rows by their keys, also where the planner takes a table to be empty."""
    await connection.execute(_Q["by_index"])


async def be_impatient(connection: Any, *, lock_s: float, idle_s: float) -> None:
    """What the transaction still does fails where another one holds what it needs for `lock_s`; it ends when nothing is
    heard of its process for `idle_s`.
    """
    await connection.execute(_Q["be_impatient"], f"{lock_s * 1000:.0f}", f"{idle_s * 1000:.0f}")


@asynccontextmanager
async def unless_locked(connection: Any) -> AsyncIterator[None]:
    """A part of a transaction that is undone, and it alone, where another one holds what it needs."""
    with suppress(asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
        async with connection.transaction():
            yield


async def due_soon(connection: Any, in_s: float, limit: int) -> Sequence[Mapping[str, Any]]:
    """As `claim_due`, what will be due in so many seconds, unlocked."""
    return await connection.fetch(_Q["due_soon"], in_s, limit)  # type: ignore[no-any-return]


async def claim_due(connection: Any, limit: int) -> Sequence[Mapping[str, Any]]:
    """Due schedules with the database's `now`, locked until the transaction ends.

    `streams`, `calendars` and `shape` are JSON texts; `shape` is the definition without what names the one schedule.
    """
    return await connection.fetch(_Q["claim_due"], limit)  # type: ignore[no-any-return]


async def claim_due_fairly(
    connection: Any, limit: int, share: int, after: str
) -> Sequence[Mapping[str, Any]]:
    """As `claim_due`: `share` of each tenant at most, those after the tenant `after` first."""
    return await connection.fetch(_Q["claim_due_fairly"], limit, share, after)  # type: ignore[no-any-return]


async def count_ahead(connection: Any, due_at: datetime, most: int) -> int:
    """How many schedules will be due by `due_at` and are not yet; counted up to `most`."""
    return int(await connection.fetchval(_Q["count_ahead"], due_at, most))


async def claim_ahead(connection: Any, due_at: datetime, since: datetime) -> Any:
    """A cursor, whose `fetch(count)` gives as `claim_due` what will be due by `due_at` and is not yet, where nothing is
    left to be judged then. `since`: no run that is due before it is open.
    """
    return await connection.cursor(_Q["claim_ahead"], due_at, since)


class Advance(NamedTuple):
    """How a schedule goes on: when it was last due (None: as it was) and is due next, and why it is in its state.

    `fired_count`: due times that made runs just now.
    """

    tenant: str
    name: str
    last_due_at: datetime | None
    next_at: datetime | None
    state: str = "active"
    reason: str | None = None
    fired_count: int = 0


async def advance(connection: Any, advances: Sequence[Advance]) -> None:
    """Write down how these schedules go on. What many of them have in common is told to the database once."""
    if not advances:
        return
    places: dict[tuple[Any, ...], int] = {}
    place_of = [str(places.setdefault((each.tenant, *each[2:]), len(places) + 1)) for each in advances]
    columns = (list(column) for column in zip(*places, strict=True))
    await connection.execute(
        _Q["advance"], as_text(each.name for each in advances), as_text(place_of), *columns
    )


async def next_due(connection: Any) -> tuple[datetime, datetime | None]:
    """The database's clock, and when the next schedule is due (None when none is)."""
    row = await connection.fetchrow(_Q["next_due"])
    return row["now"], row["next_at"]


async def last_runs(
    connection: Any, wanted: Sequence[tuple[str, str, str, str]]
) -> dict[tuple[str, str, str, str], Mapping[str, Any]]:
    """The newest run that was not skipped of each (tenant, schedule, source, stream), where there is one."""
    if not wanted:
        return {}
    columns = [list(column) for column in zip(*wanted, strict=True)]
    return {wanted[row["place"] - 1]: row for row in await connection.fetch(_Q["last_runs"], *columns)}


async def park(connection: Any, waiting: Sequence[tuple[UUID, datetime, str]]) -> None:
    """Runs (id, until when, what for) that are not admitted before their moment."""
    if waiting:
        ids, moments, reasons = zip(*waiting, strict=True)
        times = [time_of(run_id) for run_id in ids]
        await connection.execute(_Q["park"], times, list(ids), list(moments), list(reasons))


async def tell_faults(connection: Any, faults: Sequence[tuple[UUID, str]]) -> None:
    """Why the conditions of these runs could not be asked."""
    if faults:
        ids, messages = zip(*faults, strict=True)
        times = [time_of(run_id) for run_id in ids]
        await connection.execute(_Q["tell_faults"], times, list(ids), list(messages))


async def recall(connection: Any, name: str) -> Any:
    """What timers remember under `name`; None when they do not."""
    return await connection.fetchval(_Q["recall"], name)


async def remember(connection: Any, name: str, value: Any) -> None:
    await connection.execute(_Q["remember"], name, value)


async def lock_zones(connection: Any) -> bool:
    """Whether this transaction alone computes due times anew."""
    return bool(await connection.fetchval(_Q["lock_zones"]))


async def zoned(connection: Any, after: tuple[str, str], limit: int) -> Sequence[Mapping[str, Any]]:
    """Active schedules with a zone that are still to come, in order after (tenant, name), locked."""
    return await connection.fetch(_Q["zoned"], *after, limit)  # type: ignore[no-any-return]


async def set_next(connection: Any, changes: Sequence[tuple[str, str, datetime | None]]) -> None:
    await connection.executemany(_Q["set_next"], changes)


async def now(connection: Any) -> datetime:
    """The database's clock."""
    value: datetime = await connection.fetchval(_Q["now"])
    return value
