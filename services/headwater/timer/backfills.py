"""Backfills go on: the next boundaries become runs, as far as rate and parallelism allow."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from headwater.contracts.schedules import Schedule
from headwater.model.errors import ConfigError
from headwater.model.ids import to_millisecond
from headwater.model.schedule import Timetable
from headwater.store import backfills, runs, schedule_verbs
from headwater.store.backfills import SECOND, Row, Step
from headwater.store.runs import NewRun
from headwater.store.scheduled_runs import backfill_run

logger = logging.getLogger("headwater.timer")
AT_ONCE = 20  # backfills in one look
_LOOK = timedelta(seconds=1)  # between two looks: rates above one a second start several in one
AHEAD = 200  # boundaries that are looked at in one step


async def go_on(connection: Any) -> int:
    """One look, in the caller's transaction; gives how many boundaries were done with."""
    done = 0
    for row in await backfills.claim(connection, AT_ONCE):
        try:
            done += await _step(connection, row)
        except (ConfigError, ValueError) as error:
            logger.warning("backfill %s cannot go on: %s", row["id"], error)
            await backfills.finish(connection, row["id"], "failed", str(error)[:500])
    return done


async def _step(connection: Any, row: Row) -> int:
    room = row["parallel"] - row["under_way"]
    if row["position"] >= row["to_at"]:
        if row["under_way"] == 0:
            await backfills.finish(connection, row["id"], "done")
        return 0
    if room <= 0:
        return 0
    timetable = schedule_verbs.timetable_of_row(row, row["tenant"])
    if timetable is None:
        raise ConfigError("the schedule has no times any more")
    if row["per_minute"] is not None:
        owed = int((row["now"] - _from(row)).total_seconds() * row["per_minute"] / 60)
        room = min(room, max(1, owed))
    return await _start(connection, row, timetable, room)


async def _start(connection: Any, row: Row, timetable: Timetable, room: int) -> int:
    """Start up to `room` boundaries; those that have their runs are passed over.

    Two backfills of one schedule take turns: each has to see the runs of the other.
    """
    if not await backfills.take_turn(connection, row["tenant"], row["schedule"]):
        return 0
    schedule = Schedule.model_validate(row["definition"])
    upcoming = list(islice(backfills.boundaries(timetable, row["position"], row["to_at"]), AHEAD))
    known = await backfills.present(connection, row["tenant"], row["schedule"], upcoming)
    with_window = await backfills.windowed_streams(connection, row["tenant"], schedule.streams)
    new: list[NewRun] = []
    started = passed = 0
    position = row["to_at"] if len(upcoming) < AHEAD else upcoming[-1] + SECOND
    for boundary in upcoming:
        if started == room:
            position = boundary
            break
        missing = _missing(row, schedule.streams, boundary, known)
        if not missing:
            passed += 1
            continue
        due_at = to_millisecond(row["now"]) + timedelta(milliseconds=started)
        window = backfills.window_of(timetable, boundary)
        new += [
            backfill_run(
                row, schedule, stream, boundary, due_at, generation, window if stream in with_window else None
            )
            for stream, generation in missing
        ]
        started += 1
    await runs.insert_many(connection, new)
    wait = timedelta(minutes=started / row["per_minute"]) if row["per_minute"] else timedelta(0)
    await backfills.advance(
        connection, row["id"], Step(position, started, passed, len(new), _from(row) + wait)
    )
    return started + passed


def _from(row: Row) -> datetime:
    """Since when boundaries are owed. What its runs held up for longer than a look apart is not made up for at once."""
    owed: datetime = max(row["next_start_at"], row["now"] - _LOOK)
    return owed


def _missing(
    row: Row,
    streams: Sequence[str],
    boundary: datetime,
    known: dict[tuple[datetime, str], tuple[int, bool]],
) -> list[tuple[str, int]]:
    """The streams that are to run for the boundary, with the generation of each."""
    found = [(stream, *known.get((boundary, stream), (0, False))) for stream in streams]
    return [
        (stream, generation + 1) for stream, generation, is_there in found if row["forced"] or not is_there
    ]
