"""Runs that follow others begin on the terms of their schedule, as those of a due time do: windows, `when`, jitter."""

import random
from collections.abc import Sequence
from typing import Any

from headwater.contracts.schedules import Schedule
from headwater.store import runs, schedules
from headwater.store.runs import NewRun
from headwater.timer.conditions import judged
from headwater.timer.terms import begun, faults, terms_of, waits

_draw = random.random  # jitter needs no secrets


async def insert_on_terms(connection: Any, schedule: Schedule, new: Sequence[NewRun]) -> tuple[int, int]:
    """Insert the runs, one for each stream; gives how many were not there, and how many of these are not skipped.

    Raises: ConfigError, when the terms cannot be read.
    """
    terms = terms_of(schedule)
    now = await schedules.now(connection)
    started = await judged(connection, [begun(terms, run, now, now, _draw) for run in new])
    made = await runs.insert_many(connection, [each.run for each in started])
    if not made:
        return 0, 0
    await schedules.park(connection, waits(started))
    await schedules.tell_faults(connection, faults(started))
    return made, made - len(await runs.skipped_of(connection, [each.run.id for each in started]))
