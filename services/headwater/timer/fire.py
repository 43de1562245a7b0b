"""Firing: due schedules become run rows, and their next due time is computed from the boundary.

Any number of timers: a due row is claimed `FOR UPDATE SKIP LOCKED`, and a run's id derives from its boundary, so
that a boundary fired twice is one run. The database's clock decides what is due.
"""

import asyncio
import logging
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from headwater.model.clock_guard import ClockGuard
from headwater.model.errors import ConfigError
from headwater.model.schedule_policy import MISSED_CAP
from headwater.store import runs, schedules
from headwater.store.runs import NewRun
from headwater.store.schedules import Advance
from headwater.timer.conditions import judged
from headwater.timer.planning import Fired, counted, fire
from headwater.timer.terms import Started, waits

logger = logging.getLogger("headwater.timer")
BATCH = 1000
SHARE = 100  # of one tenant in a claim, when more are due than one claim takes
_draw = random.random  # jitter needs no secrets


async def fire_due(connection: Any, limit: int = BATCH) -> int:
    """Fire what is due, in the caller's transaction; gives how many schedules were claimed."""
    return await _fire(connection, await schedules.claim_due(connection, limit))


class Firing:
    """The firing of one timer: it takes turns among the tenants, and does not believe a clock that jumps."""

    def __init__(self, limit: int = BATCH) -> None:
        self._limit = limit
        self._guard = ClockGuard()
        self._is_behind = False
        self._last_tenant = ""

    async def look(self, connection: Any) -> tuple[int, float | None]:
        """Fire what is due, in the caller's transaction.

        Returns: how many schedules were fired; and the seconds until the next one is due, 0 when more are due now,
        None when none is.
        """
        rows = await self._claim(connection)
        if rows and not self._trusts(rows[0]["now"]):
            return 0, self._wait_s  # the claim ends with the transaction
        count = await _fire(connection, rows)
        if self._is_behind:
            return count, 0.0
        now, next_at = await schedules.next_due(connection)
        if not self._trusts(now):
            return count, self._wait_s
        return count, None if next_at is None else max((next_at - now).total_seconds(), 0.0)

    async def _claim(self, connection: Any) -> Sequence[Mapping[str, Any]]:
        if self._is_behind:
            share = min(SHARE, self._limit)
            rows = await schedules.claim_due_fairly(connection, self._limit, share, self._last_tenant)
        else:
            rows = await schedules.claim_due(connection, self._limit)
        # a claim by shares ends when it finds nothing: its tenants may have had more than theirs
        self._is_behind = len(rows) >= self._limit or (self._is_behind and bool(rows))
        self._last_tenant = rows[-1]["tenant"] if self._is_behind else ""
        return rows

    def _trusts(self, now: Any) -> bool:
        suspected = self._guard.jump_s is not None
        self._wait_s = self._guard.hold_s(now, asyncio.get_running_loop().time())
        if self._wait_s and not suspected:
            jump_s = self._guard.jump_s or 0.0
            logger.error(
                "the database's clock went ahead by %.0f s at once: nothing is fired for %.0f s, in case it comes"
                " back; look at the clock of the database's machine",
                jump_s,
                self._wait_s,
            )
        return not self._wait_s


async def _fire(connection: Any, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert the runs of claimed schedules and write down how these go on."""
    if rows:
        await schedules.by_index(connection)
    fired = [_fired(row) for row in rows]
    advances, started = _counted(
        fired, await judged(connection, [each for one in fired for each in one.started])
    )
    for side_by_side in _rounds([each.run for each in started]):
        await runs.insert_many(connection, side_by_side)
    await schedules.park(connection, waits(started))
    await schedules.advance(connection, advances)
    return len(rows)


def _counted(fired: Sequence[Fired], started: Sequence[Started]) -> tuple[list[Advance], list[Started]]:
    """How the schedules go on, and the runs that are left, when it is known which of them are skipped."""
    advances: list[Advance] = []
    kept: list[Started] = []
    place = 0
    for one in fired:
        advance, left = counted(one, started[place : place + len(one.started)])
        advances.append(advance)
        kept += left
        place += len(one.started)
    return advances, kept


def _rounds(new: Sequence[NewRun]) -> Iterator[list[NewRun]]:
    """The runs in parts in which none overlaps another: of a schedule and stream the first due time comes first."""
    parts: list[list[NewRun]] = []
    seen: dict[tuple[str, str | None, str, str], int] = {}
    for run in new:
        of = (run.tenant, run.schedule, run.source, run.stream)
        place = seen.get(of, 0)
        seen[of] = place + 1
        if place == len(parts):
            parts.append([])
        parts[place].append(run)
    yield from parts


def _fired(row: Mapping[str, Any]) -> Fired:
    """How the schedule goes on, and the runs that it starts now. One that is at fault stops alone."""
    tenant, name = row["tenant"], row["name"]
    try:
        fired = fire(row, _draw)
    except (ConfigError, ValueError, ArithmeticError, RecursionError) as error:
        logger.warning("schedule %s/%s cannot be computed any more: %s", tenant, name, error)
        return Fired(Advance(tenant, name, None, None, "error", str(error)[:500]))
    if fired.missed_count:
        or_more = " or more" if fired.missed_count >= MISSED_CAP else ""
        logger.warning(
            "schedule %s/%s: %d%s due times were missed", tenant, name, fired.missed_count, or_more
        )
    return fired
