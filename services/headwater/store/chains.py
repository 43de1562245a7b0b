"""Schedules that start after others: what they heard, and their runs (DESIGN.md §2.8).

A chained run's id derives from the runs it follows; the waiting schedule's row is locked, so that `all_of` starts once.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from headwater.contracts.durations import seconds_of
from headwater.contracts.schedules import Schedule
from headwater.contracts.timetable import span_of
from headwater.model.errors import ConfigError
from headwater.model.ids import to_millisecond
from headwater.model.run import Trigger
from headwater.store.queries import queries
from headwater.store.runs import NewRun
from headwater.store.scheduled_runs import scheduled_run

logger = logging.getLogger("headwater.store")
_Q = queries("chains")
Row = Mapping[str, Any]
# Inserts the runs of a schedule, on its terms; gives how many, and how many of these are not skipped.
Insert = Callable[[Any, Schedule, Sequence[NewRun]], Awaitable[tuple[int, int]]]


@dataclass(frozen=True, slots=True)
class Result:
    """How a firing of `upstream` ended. `result` is what the runs that follow are told of it."""

    tenant: str
    upstream: str
    state: str
    ended_at: datetime
    run_ids: tuple[UUID, ...]
    result: Mapping[str, Any]


async def follow(connection: Any, results: Sequence[Result], insert: Insert) -> int:
    """Start what waits for these results, in their order; gives how many runs were started or put off."""
    by_tenant: dict[str, list[Result]] = {}
    for result in results:
        by_tenant.setdefault(result.tenant, []).append(result)
    started = 0
    for tenant, own in sorted(by_tenant.items()):
        names = sorted({result.upstream for result in own})
        for row in await connection.fetch(_Q["waiting"], tenant, names):
            for result in own:
                started += await _told(connection, row, result, insert)
    return started


async def _told(connection: Any, row: Row, result: Result, insert: Insert) -> int:
    """What a schedule that waits makes of a result. One that is at fault stops alone."""
    try:
        schedule = Schedule.model_validate(row["definition"])
        if not _matches(schedule, result):
            return 0
        return await _hear(connection, schedule, result, insert)
    except (ConfigError, ValueError) as error:
        logger.warning("schedule %s/%s cannot be started any more: %s", row["tenant"], row["name"], error)
        await connection.execute(_Q["stop"], row["tenant"], row["name"], "error", str(error)[:500])
        return 0


def _matches(schedule: Schedule, result: Result) -> bool:
    after = schedule.after
    return after is not None and result.upstream in after.names and after.on in {"any", result.state}


async def _hear(connection: Any, schedule: Schedule, result: Result, insert: Insert) -> int:
    after = schedule.after
    assert after is not None
    if not after.all_of and after.debounce is None:
        return await _start(connection, schedule, result.tenant, [result], insert)
    of = (result.tenant, schedule.name)
    await connection.execute(
        _Q["hear"], *of, result.upstream, result.ended_at, list(result.run_ids), dict(result.result)
    )
    heard = await _heard(connection, *of)
    if after.all_of and set(after.all_of) - {each.upstream for each in heard}:
        return 0
    if after.debounce is not None:
        await connection.execute(_Q["put_off"], *of, float(seconds_of(after.debounce)))
        return 1
    await connection.execute(_Q["forget"], *of)
    awaited = [each for each in heard if each.upstream in after.names]
    return await _start(connection, schedule, result.tenant, awaited, insert)


async def _heard(connection: Any, tenant: str, schedule: str) -> list[Result]:
    return [
        Result(tenant, row["upstream"], "", row["heard_at"], tuple(row["run_ids"]), row["result"])
        for row in await connection.fetch(_Q["heard"], tenant, schedule)
    ]


async def start_quiet(connection: Any, limit: int, insert: Insert) -> int:
    """Start what was put off (`debounce`) and has been quiet for long enough; gives how many runs."""
    started = 0
    for row in await connection.fetch(_Q["quiet"], limit):
        of = (row["tenant"], row["schedule"])
        known = await connection.fetchrow(_Q["lock"], *of)
        heard = await _heard(connection, *of)
        await connection.execute(_Q["begun"], *of)
        await connection.execute(_Q["forget"], *of)
        if known is None or known["state"] != "active" or not heard:
            continue
        try:
            schedule = Schedule.model_validate(known["definition"])
            names = () if schedule.after is None else schedule.after.names
            awaited = [each for each in heard if each.upstream in names]
            started += await _start(connection, schedule, row["tenant"], awaited, insert)
        except (ConfigError, ValueError) as error:
            logger.warning("schedule %s/%s cannot be started any more: %s", *of, error)
            await connection.execute(_Q["stop"], *of, "error", str(error)[:500])
    return started


async def _start(
    connection: Any, schedule: Schedule, tenant: str, heard: Sequence[Result], insert: Insert
) -> int:
    if not heard:
        return 0
    ids = sorted(str(run_id) for each in heard for run_id in each.run_ids)
    due_at = to_millisecond(max(each.ended_at for each in heard))
    first, last = span_of(schedule)
    if last is not None and due_at > last:
        await connection.execute(_Q["stop"], tenant, schedule.name, "expired", "ends_at")
        return 0
    if first is not None and due_at < first:
        return 0
    upstream = {each.upstream: dict(each.result) for each in heard}
    names = ", ".join(sorted(upstream))
    new = [
        scheduled_run(
            tenant,
            schedule,
            stream,
            due_at,
            Trigger.AFTER,
            key=f"after {' '.join(ids)}",
            parameters={"upstream": upstream},
            started_by=f"after {names}",
        )
        for stream in schedule.streams
    ]
    made, wanted = await insert(connection, schedule, new)
    if wanted:
        await connection.execute(_Q["count"], tenant, schedule.name, schedule.max_runs)
    return made
