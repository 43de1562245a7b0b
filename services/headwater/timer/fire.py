"""Firing: due schedules become run rows, and their next due time is computed from the boundary.

Any number of timers: a due row is claimed `FOR UPDATE SKIP LOCKED`, and a run's id derives from its boundary, so
that a boundary fired twice is one run. The database's clock decides what is due.
"""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from headwater.contracts.manifest import Schedule
from headwater.model.errors import ConfigError
from headwater.model.run import Trigger
from headwater.model.schedule import Timetable, next_after, parse_timetable
from headwater.store import runs, schedules
from headwater.store.runs import NewRun

logger = logging.getLogger("headwater.timer")
BATCH = 500
CATCH_UP_WINDOW = timedelta(hours=1)  # a boundary missed by more than this is not made up for


@lru_cache(maxsize=10_000)
def _timetable(
    cron: str | None, interval: str | None, once: datetime | None, zone: str, key: str
) -> Timetable:
    return parse_timetable(
        crons=() if cron is None else (cron,), interval=interval, once=once, timezone=zone, hash_key=key
    )


_next_after = lru_cache(maxsize=50_000)(next_after)


def due_boundary(
    timetable: Timetable, next_at: datetime, now: datetime
) -> tuple[datetime | None, datetime | None]:
    """The boundary to fire and the next due time: of what was missed only the latest, if it is recent enough."""
    boundary = next_at if next_at >= now - CATCH_UP_WINDOW else _next_after(timetable, now - CATCH_UP_WINDOW)
    if boundary is None or boundary > now:
        return None, boundary
    following = _next_after(timetable, boundary)
    while following is not None and following <= now:
        boundary, following = following, _next_after(timetable, following)
    return boundary, following


async def fire_due(connection: Any, limit: int = BATCH) -> int:
    """Fire what is due, in the caller's transaction; gives how many schedules were claimed."""
    due = await schedules.claim_due(connection, limit)
    for row in due:
        await _fire(connection, row)
    return len(due)


async def _fire(connection: Any, row: Mapping[str, Any]) -> None:
    tenant, name = row["tenant"], row["name"]
    try:
        schedule = Schedule.model_validate(row["definition"])
        timetable = _timetable(
            schedule.cron, schedule.interval, schedule.once, schedule.timezone, f"{tenant}/{schedule.name}"
        )
        boundary, following = due_boundary(timetable, row["next_at"], row["now"])
    except (ConfigError, ValueError) as error:
        logger.warning("schedule %s/%s cannot be computed any more: %s", tenant, name, error)
        await schedules.advance(connection, tenant, name, None, None, "error", str(error)[:500])
        return
    if boundary is not None:
        for stream in schedule.streams:
            await runs.insert(connection, _run(tenant, schedule, stream, boundary))
    await schedules.advance(
        connection, tenant, name, boundary, following, "active" if following is not None else "expired"
    )


def _run(tenant: str, schedule: Schedule, stream: str, boundary: datetime) -> NewRun:
    source, _, name = stream.partition(".")
    return NewRun(
        tenant=tenant,
        source=source,
        stream=name,
        due_at=boundary,
        trigger=Trigger.SCHEDULE.value,
        schedule=schedule.name,
        mode=schedule.mode,
        parameters=schedule.parameters,
        started_by=f"schedule {schedule.name}",
    )
