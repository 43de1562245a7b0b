"""Firing: due schedules become run rows, and their next due time is computed from the boundary.

Any number of timers: a due row is claimed `FOR UPDATE SKIP LOCKED`, and a run's id derives from its boundary, so
that a boundary fired twice is one run. The database's clock decides what is due. Where nothing is left to be judged
then, a schedule is fired shortly before it is due; nobody hears of its runs earlier.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from headwater.model.clock_guard import ClockGuard
from headwater.model.errors import ConfigError
from headwater.model.schedule import next_after
from headwater.model.schedule_policy import MISSED_CAP
from headwater.store import runs, schedules, starts
from headwater.store.schedules import Advance
from headwater.store.starts import Start, kind_of, start_of
from headwater.timer.conditions import judged
from headwater.timer.planning import Fired, counted, fire, plan_of
from headwater.timer.terms import Started, faults
from headwater.timer.turns import Turns

logger = logging.getLogger("headwater.timer")
BATCH = 500
AHEAD_S = 0.06  # a look begins so long before: a machine that slept takes its time for all that it does first
AHEAD = 200  # schedules that are fired within AHEAD_S
NAP_S = 0.001  # until shortly before it is due: who sleeps longer wakes late
AWAKE_S = 0.003  # from then on the database is asked again and again: one that is awake answers at once
FORESEEN = 50  # schedules whose firing is worked out before they are due
Row = Mapping[str, Any]
_draw = random.random  # jitter needs no secrets


@dataclass(frozen=True, slots=True)
class Look:
    """What a look did: schedules fired, runs that go now (to be announced), whether anything is left to the relay.

    `due_s`: the seconds until the next schedule is due (at `next_at`, where that is known), 0 when more may be due now,
    None when none is. `at`: when the runs are due, by the loop's clock; None: they are.
    """

    fired: int = 0
    due_s: float | None = None
    going: Sequence[Row] = ()
    is_waiting: bool = False
    next_at: datetime | None = None
    at: float | None = None


async def fire_due(connection: Any, limit: int = BATCH) -> int:
    """Fire what is due, in the caller's transaction; gives how many schedules were claimed."""
    await schedules.by_index(connection)
    rows = await schedules.claim_due(connection, limit)
    return (await _fire(connection, rows, may_go=False)).fired if rows else 0


class Firing:
    """One hand that fires: it takes turns among the tenants, and does not believe a clock that jumps.

    `is_behind`: more was due at the last look than one claim takes.
    """

    def __init__(self, limit: int = BATCH) -> None:
        self._turns = Turns(limit)
        self._guard = ClockGuard()
        self.is_behind = False

    async def get_ready(self, connection: Any) -> None:
        """Do once what each first time takes long, so that the first schedule that is due does not wait for it."""
        await schedules.by_index(connection)
        now, _ = await schedules.next_due(connection)
        await starts.get_ready(connection, now)
        await (await schedules.claim_ahead(connection, now, now)).fetch(1)
        any_plan = plan_of('{"cron": "* * * * *", "timezone": "UTC"}', "{}", "", "")
        next_after(any_plan.timetable, now)

    async def look(self, connection: Any, *, may_go: bool = False) -> Look:
        """Fire what is due, or will be in AHEAD_S, in the caller's transaction. `may_go`: runs may go at once; the
        caller announces them.
        """
        await schedules.by_index(connection)
        since: datetime | None = None
        rows = await self._claim(connection)
        if not rows:
            due_s, next_at = await self._next(connection)
            if due_s is None or next_at is None or due_s > AHEAD_S:
                return Look(0, due_s, next_at=next_at)
            if due_s > 0:
                at = asyncio.get_running_loop().time() + due_s
                since = await starts.open_since(connection, next_at)
                if may_go:
                    coming = await schedules.claim_ahead(connection, next_at, since)
                    if ahead := await fire_ahead(connection, coming, since, AHEAD):
                        return replace(ahead, due_s=0.0, at=at)
                rows = await self._at_its_time(connection, at)
        if not rows:
            return Look(0, 0.0)
        if not self._trusts(rows[0]["now"]):
            return Look(0, self._wait_s)  # the claim ends with the transaction
        # what is due next is asked for by the next look: these runs do not wait for the answer
        return replace(await _fire(connection, rows, since, may_go=may_go), due_s=0.0)

    async def _at_its_time(self, connection: Any, due_at: float) -> Sequence[Row]:
        """What is due at `due_at` of the loop's clock, as soon as it is. The firing itself is worked out before, since
        many a schedule is fired for the first time.
        """
        clock = asyncio.get_running_loop().time
        for row in await schedules.due_soon(connection, due_at - clock(), FORESEEN):
            if clock() > due_at - AWAKE_S:
                break
            _fired({**row, "now": row["next_at"]})  # what it comes to is remembered
        await nap_until(due_at - AWAKE_S)
        rows: Sequence[Row] = ()
        while not rows and clock() < due_at + AWAKE_S:
            rows = await self._claim(connection)
        return rows

    async def _next(self, connection: Any) -> tuple[float | None, datetime | None]:
        """Seconds until the next schedule is due, and when; None when none is. While the clock is not believed: the
        seconds until it is.
        """
        now, next_at = await schedules.next_due(connection)
        if not self._trusts(now):
            return self._wait_s, None
        return None if next_at is None else max((next_at - now).total_seconds(), 0.0), next_at

    async def _claim(self, connection: Any) -> Sequence[Row]:
        turns = self._turns
        if self.is_behind:
            rows = await schedules.claim_due_fairly(connection, turns.limit, turns.share, turns.after)
            turns.go_on(rows)
        else:
            rows = await schedules.claim_due(connection, turns.limit)
            turns.begin(rows)
        # a claim by shares ends when it finds nothing: its tenants may have had more than theirs
        self.is_behind = len(rows) >= turns.limit or (self.is_behind and bool(rows))
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


async def fire_ahead(connection: Any, coming: Any, since: datetime, count: int) -> Look | None:
    """Fire `count` schedules at most of `coming` (`schedules.claim_ahead`), before they are due; None: none is left.

    Their runs are to be announced then, and those that do not go are left alone until then. `since`: see
    `starts.open_since`.
    """
    rows = await coming.fetch(count)
    return await _fire(connection, rows, since, may_go=True) if rows else None


async def nap_until(moment: float) -> None:
    """Wait until `moment` of the loop's clock: who sleeps all the time to it wakes late."""
    clock = asyncio.get_running_loop().time
    while clock() < moment:  # noqa: ASYNC110 - an instant is waited for
        await asyncio.sleep(NAP_S)


async def wake_at(moment: float) -> None:
    """Wait until `moment` of the loop's clock, awake at the end."""
    clock = asyncio.get_running_loop().time
    await nap_until(moment - AWAKE_S)
    while clock() < moment:  # noqa: ASYNC110 - as above, without sleep
        await asyncio.sleep(0)


async def _fire(connection: Any, rows: Sequence[Row], since: datetime | None = None, *, may_go: bool) -> Look:
    """Insert the runs of claimed schedules and write down how these go on. `since`: see `starts.open_since`."""
    fired = [_fired(row) for row in rows]
    advances, started = _counted(
        fired, await judged(connection, [each for one in fired for each in one.started])
    )
    now = rows[0]["now"]
    since = since or await starts.open_since(connection, now)
    going: list[Row] = []
    count = 0
    for place, side_by_side in enumerate(_parts(fired, started)):
        may_go = may_go and place == 0  # later due times wait for the first, or for as many as may go at once
        going += await starts.start_many(connection, side_by_side, now, since, may_go=may_go)
        count += len(side_by_side)
    await schedules.tell_faults(connection, faults(started))
    if any(one.left is not None for one in fired):
        advances = await _without_overlaps(connection, fired, started, advances)
    await schedules.advance(connection, advances)
    return Look(len(rows), None, going, len(going) < count)


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


async def _without_overlaps(
    connection: Any, fired: Sequence[Fired], started: Sequence[Started], advances: Sequence[Advance]
) -> list[Advance]:
    """The advances, where so many runs are wanted and no more: one that was skipped for an overlap is none of them."""
    own: dict[tuple[str, str], list[Started]] = {
        (one.advance.tenant, one.advance.name): [] for one in fired if one.left is not None
    }
    for each in started:
        own.get((each.run.tenant, each.run.schedule or ""), []).append(each)
    skipped = await runs.skipped_of(connection, [each.run.id for found in own.values() for each in found])
    known = {of: [each.but_for(skipped) for each in found] for of, found in own.items()}
    return [
        advance if one.left is None else counted(one, known[advance.tenant, advance.name])[0]
        for one, advance in zip(fired, advances, strict=True)
    ]


def _parts(fired: Sequence[Fired], started: Sequence[Started]) -> list[list[Start]]:
    """The runs in parts in which none overlaps another: of a schedule and stream the first due time comes first."""
    parts: list[list[Start]] = []
    for one in fired:
        for place, runs_of_one in enumerate(one.starts):
            _part(parts, place).extend(runs_of_one)
    seen: Counter[tuple[str, str | None, str, str]] = Counter()
    for each in started:
        of = (each.run.tenant, each.run.schedule, each.run.source, each.run.stream)
        _part(parts, seen[of]).append(_start(each))
        seen[of] += 1
    return parts


def _part(parts: list[list[Start]], place: int) -> list[Start]:
    if place == len(parts):
        parts.append([])
    return parts[place]


def _start(started: Started) -> Start:
    run = started.run
    kind = kind_of(run, may_go=started.waits_for is None and started.terms.max_running is None)
    kind = kind._replace(parked_until=started.begin_at, waits_for=started.waits_for)
    return start_of(kind, run.schedule or "", run.source, run.stream)


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
