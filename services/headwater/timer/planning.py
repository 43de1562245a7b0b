"""What a schedule that is due comes to: its runs, and when it is due next. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from headwater.contracts.calendars import Calendar
from headwater.contracts.codec import loads
from headwater.contracts.schedules import Schedule
from headwater.contracts.timetable import catch_up_of, timetable_of
from headwater.model.errors import ConfigError
from headwater.model.ids import EPOCH
from headwater.model.schedule import Timetable
from headwater.model.schedule_policy import GRACE_S, CatchUp, due_now
from headwater.store.runs import NewRun
from headwater.store.scheduled_runs import scheduled_run
from headwater.store.schedules import Advance
from headwater.timer.terms import Started, Terms, begun, terms_of


@dataclass(frozen=True, slots=True)
class Plan:
    """A schedule as it is fired."""

    schedule: Schedule
    timetable: Timetable
    catch_up: CatchUp
    terms: Terms
    templates: tuple[NewRun, ...]  # one for each stream; the due time is another each time


@dataclass(frozen=True, slots=True)
class Fired:
    """How a schedule goes on, the runs that it starts, and how many due times were missed.

    `left`: of how many more due times runs are wanted; None: of all.
    """

    advance: Advance
    started: tuple[Started, ...] = ()
    missed_count: int = 0
    left: int | None = None


@lru_cache(maxsize=20_000)
def plan_of(definition: str, calendars: str, tenant: str) -> Plan:
    """The plan of a definition and its calendars, both JSON texts. Raises: ConfigError, ValueError."""
    schedule = Schedule.model_validate(loads(definition.encode()))
    named = {name: Calendar.model_validate(each) for name, each in loads(calendars.encode()).items()}
    timetable = timetable_of(schedule, tenant, calendars=named)
    if timetable is None:
        raise ConfigError("it has no time specification any more")
    templates = tuple(scheduled_run(tenant, schedule, stream, EPOCH) for stream in schedule.streams)
    return Plan(schedule, timetable, catch_up_of(schedule), terms_of(schedule), templates)


def fire(row: Mapping[str, Any], uniform: Callable[[], float]) -> Fired:
    """What becomes of a due schedule's row at its `now`. `uniform` draws numbers from 0 to below 1.

    Raises: ConfigError, ValueError, OverflowError when it cannot be computed.
    """
    plan = plan_of(row["definition"], row["calendars"], row["tenant"])
    now = row["now"].replace(microsecond=0)
    due = due_now(plan.timetable, row["next_at"], now, plan.catch_up)
    reason = None if due.next_at is not None else "ends_at" if plan.schedule.ends_at else "over"
    started = tuple(
        # a timer that is a little late keeps the boundary's window; a run that is made up for begins now
        begun(
            plan.terms,
            replace(template, due_at=boundary),
            boundary if (now - boundary).total_seconds() <= GRACE_S else now,
            now,
            uniform,
        )
        for boundary in due.boundaries
        for template in plan.templates
    )
    advance = Advance(
        row["tenant"],
        row["name"],
        due.boundaries[-1] if due.boundaries else None,
        due.next_at,
        "active" if due.next_at is not None else "expired",
        reason,
    )
    most = plan.schedule.max_runs
    return Fired(
        advance, started, due.missed_count, None if most is None else max(most - row["fired_count"], 0)
    )


def counted(fired: Fired, started: Sequence[Started]) -> tuple[Advance, Sequence[Started]]:
    """How the schedule goes on when it is known which of its runs (`started`) are skipped, and those that are left.

    A due time counts where one of its runs is not skipped. With the last one that is wanted the schedule is over.
    """
    made = list(dict.fromkeys(each.run.due_at for each in started if each.run.skip_reason is None))
    if fired.left is None or len(made) < fired.left:
        return replace(fired.advance, fired_count=len(made)), started
    made = made[: fired.left]
    last = made[-1] if made else None
    over = replace(
        fired.advance,
        last_due_at=last,
        next_at=None,
        state="expired",
        reason="max_runs",
        fired_count=len(made),
    )
    return over, [each for each in started if last is not None and each.run.due_at <= last]
