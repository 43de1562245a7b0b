"""Firing: due schedules become run rows, and their next due time is computed from the boundary.

Any number of timers: a due row is claimed `FOR UPDATE SKIP LOCKED`, and a run's id derives from its boundary, so
that a boundary fired twice is one run. The database's clock decides what is due.
"""

import logging
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from headwater.contracts.codec import dumps, loads
from headwater.contracts.manifest import Schedule
from headwater.contracts.timetable import timetable_of
from headwater.model.errors import ConfigError
from headwater.model.schedule import Timetable
from headwater.model.schedule_policy import CatchUp, due_now
from headwater.store import runs, schedules
from headwater.store.runs import NewRun
from headwater.store.scheduled_runs import scheduled_run
from headwater.store.schedules import Advance

logger = logging.getLogger("headwater.timer")
BATCH = 500
CATCH_UP = CatchUp()  # of what was missed, the latest within an hour


@lru_cache(maxsize=10_000)
def _timetable(definition: bytes, tenant: str) -> tuple[Schedule, Timetable]:
    """The schedule in `definition` (its JSON) with its times. Raises: ConfigError, ValueError."""
    schedule = Schedule.model_validate(loads(definition))
    timetable = timetable_of(schedule, tenant)
    if timetable is None:
        raise ConfigError("it has no time specification any more")
    return schedule, timetable


_due = lru_cache(maxsize=50_000)(due_now)


async def fire_due(connection: Any, limit: int = BATCH) -> int:
    """Fire what is due, in the caller's transaction; gives how many schedules were claimed."""
    due = await schedules.claim_due(connection, limit)
    fired = [_fire(row) for row in due]
    await runs.insert_many(connection, [run for _, started in fired for run in started])
    await schedules.advance(connection, [advance for advance, _ in fired])
    return len(due)


def _fire(row: Mapping[str, Any]) -> tuple[Advance, list[NewRun]]:
    """How the schedule goes on, and the runs that it starts now."""
    tenant, name = row["tenant"], row["name"]
    try:
        schedule, timetable = _timetable(dumps(row["definition"]), tenant)
        due = _due(timetable, row["next_at"], row["now"].replace(microsecond=0), CATCH_UP)
    except (ConfigError, ValueError) as error:
        logger.warning("schedule %s/%s cannot be computed any more: %s", tenant, name, error)
        return Advance(tenant, name, None, None, "error", str(error)[:500]), []
    started = [
        scheduled_run(tenant, schedule, stream, boundary)
        for boundary in due.boundaries
        for stream in schedule.streams
    ]
    last = due.boundaries[-1] if due.boundaries else None
    state = "active" if due.next_at is not None else "expired"
    return Advance(tenant, name, last, due.next_at, state), started
