"""Backfills: counted first, then made; for the API and the CLI alike."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID, uuid4

from headwater.contracts.schedules import Schedule
from headwater.control.schedule_verbs import NoScheduleError
from headwater.control.starting import KeyReusedError, NotStartableError
from headwater.model.errors import ConfigError
from headwater.model.ids import derive_id
from headwater.model.schedule import Timetable
from headwater.store import backfills, idempotency, schedule_verbs
from headwater.store.backfills import NewBackfill
from headwater.store.schedule_verbs import Row

MOST = 100_000  # boundaries of one backfill
_CHUNK = 1000


@dataclass(frozen=True, slots=True)
class Asked:
    """A window, and how it is to be filled. `per_minute`: boundaries; None: as fast as they end."""

    from_at: datetime
    to_at: datetime
    is_forced: bool = False
    parallel: int = 1
    per_minute: float | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Counted:
    """What a backfill would do. `present_count` boundaries have their runs already."""

    boundary_count: int
    present_count: int
    run_count: int
    first_at: datetime | None
    last_at: datetime | None
    to_at: datetime


async def count(connection: Any, tenant: str, name: str, asked: Asked) -> Counted:
    """Count; nothing is written, nor locked: to find many due times takes long, and meanwhile the schedule fires.

    Raises: NoScheduleError, NotStartableError (`place` is a member of the request).
    """
    row = await schedule_verbs.read(connection, tenant, name)
    if row is None:
        raise NoScheduleError(f"there is no schedule {name}")
    schedule = Schedule.model_validate(row["definition"])
    end = _end(row, asked)
    try:
        timetable = schedule_verbs.timetable_of_row(row, tenant)
        await backfills.windowed_streams(connection, tenant, schedule.streams)
    except (ConfigError, ValueError) as error:
        raise NotStartableError("from", f"cannot be filled: {error}") from error
    if timetable is None:
        raise NotStartableError("from", "names no due times: the schedule is manual")
    found = await asyncio.to_thread(_boundaries, timetable, asked.from_at, end)
    if len(found) > MOST:
        raise NotStartableError("to", f"is too far: more than {MOST} due times; choose a shorter window")
    present = runs = 0
    for start in range(0, len(found), _CHUNK):
        chunk = found[start : start + _CHUNK]
        known = await backfills.present(connection, tenant, name, chunk)
        for boundary in chunk:
            missing = [
                stream
                for stream in schedule.streams
                if asked.is_forced or not known.get((boundary, stream), (0, False))[1]
            ]
            present += not missing
            runs += len(missing)
    return Counted(len(found), present, runs, found[0] if found else None, found[-1] if found else None, end)


def _boundaries(timetable: Timetable, since: datetime, until: datetime) -> list[datetime]:
    return list(islice(backfills.boundaries(timetable, since, until), MOST + 1))


def _end(row: Row, asked: Asked) -> datetime:
    """The end of the window, without what is still to come by itself. Raises: NotStartableError."""
    if asked.from_at >= asked.to_at:
        raise NotStartableError("to", "must be later than `from`")
    if asked.to_at - asked.from_at > timedelta(days=366 * 50):
        raise NotStartableError("to", "is more than 50 years after `from`")
    limits = [asked.to_at, row["now"].replace(microsecond=0)]
    if row["state"] == "active" and row["next_at"] is not None:
        limits.append(row["next_at"])
    end: datetime = min(limits)
    if end <= asked.from_at:
        raise NotStartableError("from", "is not past: a backfill is for due times that have been")
    return end


async def make(
    connection: Any, tenant: str, name: str, asked: Asked, actor: str, key: tuple[str, bytes] | None = None
) -> tuple[UUID, Counted]:
    """Make the backfill; ring the bell after the commit. The same idempotency `key` (with its digest) makes one.

    Raises: NoScheduleError, NotStartableError, KeyReusedError.
    """
    operation = f"schedules/{name}/backfill"
    if key is not None:
        first = await idempotency.claim(connection, tenant, operation, *key)
        if first.digest != key[1]:
            raise KeyReusedError
        if first.result is not None:
            known = await backfills.get(connection, tenant, first.result)
            if known is not None:
                return first.result, _counted_first(known)
    counted = await count(connection, tenant, name, asked)
    made = derive_id(datetime.now(UTC), "backfill", tenant, name, uuid4())
    new = NewBackfill(
        made,
        tenant,
        name,
        asked.from_at.replace(microsecond=0),
        counted.to_at,
        counted.boundary_count,
        asked.is_forced,
        asked.parallel,
        asked.per_minute,
        asked.parameters,
        actor,
        counted.present_count,
        counted.run_count,
        counted.first_at,
        counted.last_at,
    )
    await backfills.insert(connection, new)
    if key is not None:
        await idempotency.keep_result(connection, tenant, operation, key[0], made)
    return made, counted


def _counted_first(known: Mapping[str, Any]) -> Counted:
    """What was counted when the backfill was made."""
    return Counted(
        known["boundary_count"],
        known["present_count"],
        known["wanted_count"],
        known["first_at"],
        known["last_at"],
        known["to_at"],
    )


async def cancel(connection: Any, backfill_id: UUID, actor: str) -> bool:
    """End it with the runs of it that have not ended; False when it has ended already."""
    if not await backfills.finish(connection, backfill_id, "cancelled", f"by {actor}"):
        return False
    await backfills.cancel_runs(connection, backfill_id, actor)
    return True
