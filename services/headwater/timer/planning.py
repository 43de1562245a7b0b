"""What a schedule that is due comes to: its runs, which of them wait or are skipped, and when it is due next. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from headwater.contracts.calendars import Calendar
from headwater.contracts.codec import loads
from headwater.contracts.manifest import Schedule
from headwater.contracts.timetable import catch_up_of, timetable_of, windows_of
from headwater.model.errors import ConfigError
from headwater.model.ids import EPOCH
from headwater.model.schedule import Timetable
from headwater.model.schedule_policy import GRACE_S, CatchUp, due_now, jitter_s
from headwater.model.schedule_window import Window, opening
from headwater.plugins.expressions import Getter, compile_path
from headwater.store.runs import NewRun
from headwater.store.scheduled_runs import scheduled_run
from headwater.store.schedules import Advance

OUTSIDE_WINDOW = "outside_window"


@dataclass(frozen=True, slots=True)
class Plan:
    """A schedule as it is fired."""

    schedule: Schedule
    timetable: Timetable
    catch_up: CatchUp
    windows: tuple[Window, ...]
    condition: Getter | None
    templates: tuple[NewRun, ...]  # one for each stream; the due time is another each time


@dataclass(frozen=True, slots=True)
class Started:
    """A run to be. It waits until `begin_at` for `waits_for` (None: it goes at once)."""

    run: NewRun
    plan: Plan
    begin_at: datetime | None = None
    waits_for: str | None = None


@dataclass(frozen=True, slots=True)
class Fired:
    """How a schedule goes on, the runs that it starts, and how many due times were missed."""

    advance: Advance
    started: tuple[Started, ...] = ()
    missed_count: int = 0


@lru_cache(maxsize=20_000)
def plan_of(definition: str, calendars: str, tenant: str) -> Plan:
    """The plan of a definition and its calendars, both JSON texts. Raises: ConfigError, ValueError."""
    schedule = Schedule.model_validate(loads(definition.encode()))
    named = {name: Calendar.model_validate(each) for name, each in loads(calendars.encode()).items()}
    timetable = timetable_of(schedule, tenant, calendars=named)
    if timetable is None:
        raise ConfigError("it has no time specification any more")
    condition = None if schedule.when is None else compile_path(schedule.when)
    templates = tuple(scheduled_run(tenant, schedule, stream, EPOCH) for stream in schedule.streams)
    return Plan(schedule, timetable, catch_up_of(schedule), windows_of(schedule), condition, templates)


def fire(row: Mapping[str, Any], uniform: Callable[[], float]) -> Fired:
    """What becomes of a due schedule's row at its `now`. `uniform` draws numbers from 0 to below 1.

    Raises: ConfigError, ValueError, OverflowError when it cannot be computed.
    """
    plan = plan_of(row["definition"], row["calendars"], row["tenant"])
    now = row["now"].replace(microsecond=0)
    due = due_now(plan.timetable, row["next_at"], now, plan.catch_up)
    boundaries, next_at = due.boundaries, due.next_at
    reason = None if next_at is not None else "ends_at" if plan.schedule.ends_at else "over"
    if (most := plan.schedule.max_runs) is not None:
        left = max(most - row["fired_count"], 0)
        boundaries = boundaries[:left]
        if len(boundaries) >= left:
            next_at, reason = None, "max_runs"
    started = tuple(
        _started(plan, template, boundary, now, uniform)
        for boundary in boundaries
        for template in plan.templates
    )
    advance = Advance(
        row["tenant"],
        row["name"],
        boundaries[-1] if boundaries else None,
        next_at,
        "active" if next_at is not None else "expired",
        reason,
        len({each.run.due_at for each in started if each.run.skip_reason is None}),
    )
    return Fired(advance, started, due.missed_count)


def _started(
    plan: Plan, template: NewRun, boundary: datetime, now: datetime, uniform: Callable[[], float]
) -> Started:
    run = replace(template, due_at=boundary)
    # a timer that is a little late keeps the boundary's window; a run that is made up for begins now
    moment = boundary if (now - boundary).total_seconds() <= GRACE_S else now
    begin = opening(plan.windows, plan.timetable.zone, moment) if plan.windows else moment
    if begin is None:
        return Started(replace(run, skip_reason=OUTSIDE_WINDOW), plan)
    waits_for = None if begin == moment else "window"
    jitter = plan.schedule.jitter
    if jitter.kind != "none":
        drawn = uniform() if jitter.kind == "random" else 0.0
        shift_s = jitter_s(jitter.kind, jitter.within_s, f"{run.tenant}/{run.schedule}", drawn)
        begin += timedelta(seconds=shift_s)
        waits_for = waits_for or "jitter"
    return Started(run, plan, begin, waits_for) if waits_for and begin > now else Started(run, plan)
