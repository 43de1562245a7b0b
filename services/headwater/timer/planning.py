"""What a schedule that is due comes to: its runs, and when it is due next. Pure.

Many schedules differ in their names and streams alone. What follows from the rest (their shape) is worked out once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from headwater.contracts.calendars import Calendar
from headwater.contracts.codec import loads
from headwater.contracts.schedules import Schedule
from headwater.contracts.timetable import catch_up_of, timetable_of
from headwater.model.errors import ConfigError
from headwater.model.ids import EPOCH, to_millisecond
from headwater.model.schedule import Timetable
from headwater.model.schedule_policy import GRACE_S, CatchUp, Due, due_now
from headwater.store.runs import NewRun
from headwater.store.scheduled_runs import scheduled_run
from headwater.store.schedules import Advance
from headwater.store.starts import Kind, Start, kind_of, start_of
from headwater.timer.terms import Started, Terms, begun, terms_of

_ANY = "any"  # stands for the name of a schedule, and for its stream, where it does not matter


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """How schedules of one shape are fired. `template` and `kind` are their runs, but for names and due time.

    `is_plain`: nothing is to be asked for one run alone (window, condition, jitter, how many are left).
    """

    schedule: Schedule
    timetable: Timetable
    catch_up: CatchUp
    terms: Terms
    template: NewRun
    kind: Kind
    is_plain: bool


class Fired(NamedTuple):
    """How a schedule goes on, its runs, and how many due times were missed.

    `starts`: the runs of a plain schedule, by due time. `started`: those of another one, of which some may be skipped;
    `left`: of how many more due times they are wanted, None: of all.
    """

    advance: Advance
    starts: Sequence[Sequence[Start]] = ()
    missed_count: int = 0
    started: Sequence[Started] = ()
    left: int | None = None


def plan_of(shape: str, calendars: str, tenant: str, name: str) -> Plan:
    """The plan of a definition without its names, and of its calendars, both JSON texts.

    Raises: ConfigError, ValueError.
    """
    return _plan(shape, calendars, tenant, name if _asks_for_name(shape) else _ANY)


@lru_cache(maxsize=20_000)
def _asks_for_name(shape: str) -> bool:
    """Whether the name may matter to the times: H in an expression is drawn from it."""
    times = loads(shape.encode())
    return any("H" in str(times.get(field)).upper() for field in ("cron", "crons"))


@lru_cache(maxsize=20_000)
def _plan(shape: str, calendars: str, tenant: str, name: str) -> Plan:
    definition = {**loads(shape.encode()), "name": name, "streams": [f"{_ANY}.{_ANY}"]}
    schedule = Schedule.model_validate(definition)
    named = {of: Calendar.model_validate(each) for of, each in loads(calendars.encode()).items()}
    timetable = timetable_of(schedule, tenant, calendars=named)
    if timetable is None:
        raise ConfigError("it has no time specification any more")
    terms = terms_of(schedule)
    template = scheduled_run(tenant, schedule, schedule.streams[0], EPOCH)
    has_terms = bool(terms.windows) or terms.condition is not None or terms.jitter.kind != "none"
    return Plan(
        schedule,
        timetable,
        catch_up_of(schedule),
        terms,
        template,
        kind_of(template, may_go=schedule.max_running is None),
        is_plain=not has_terms and schedule.max_runs is None,
    )


def forget_plans() -> None:
    """Work plans out anew: the rules of time zones have changed."""
    _plan.cache_clear()
    _common.cache_clear()


def fire(row: Mapping[str, Any], uniform: Callable[[], float]) -> Fired:
    """What becomes of a due schedule's row at its `now`. `uniform` draws numbers from 0 to below 1.

    Raises: ConfigError, ValueError, OverflowError when it cannot be computed.
    """
    tenant, name = row["tenant"], row["name"]
    plan = plan_of(row["shape"], row["calendars"], tenant, name)
    now = max(row["now"].replace(microsecond=0), row["next_at"])  # due it is, also in the middle of a second
    due, kinds, goes_on = _common(plan, row["next_at"], now)
    advance = Advance(tenant, name, *goes_on[2:])
    streams = [stream.partition(".") for stream in loads(row["streams"].encode())]
    if plan.is_plain:
        starts = [[start_of(kind, name, source, stream) for source, _, stream in streams] for kind in kinds]
        return Fired(advance, starts, due.missed_count)
    own = [
        replace(plan.template, schedule=name, source=source, stream=stream, started_by=f"schedule {name}")
        for source, _, stream in streams
    ]
    started = [
        # a timer that is a little late keeps the boundary's window; a run that is made up for begins now
        begun(
            plan.terms,
            replace(run, due_at=boundary),
            boundary if (now - boundary).total_seconds() <= GRACE_S else now,
            now,
            uniform,
        )
        for boundary in due.boundaries
        for run in own
    ]
    most = plan.schedule.max_runs
    left = None if most is None else max(most - row["fired_count"], 0)
    return Fired(advance, (), due.missed_count, started, left)


@lru_cache(maxsize=4096)
def _common(plan: Plan, due_at: datetime, now: datetime) -> tuple[Due, Sequence[Kind], Advance]:
    """What schedules of one shape have in common that have been due since `due_at`: runs, and how they go on."""
    due = due_now(plan.timetable, due_at, now, plan.catch_up)
    kinds = [plan.kind._replace(due_at=to_millisecond(boundary)) for boundary in due.boundaries]
    reason = None if due.next_at is not None else "ends_at" if plan.schedule.ends_at else "over"
    last_at = due.boundaries[-1] if due.boundaries else None
    state = "active" if due.next_at is not None else "expired"
    return due, kinds, Advance("", "", last_at, due.next_at, state, reason, len(kinds))


def counted(fired: Fired, started: Sequence[Started]) -> tuple[Advance, Sequence[Started]]:
    """How the schedule goes on when it is known which of its runs (`started`) are skipped, and those that are left.

    A due time counts where one of its runs is not skipped. With the last one that is wanted the schedule is over.
    """
    if not started and fired.left is None:
        return fired.advance, started
    made = list(dict.fromkeys(each.run.due_at for each in started if each.run.skip_reason is None))
    if fired.left is None or len(made) < fired.left:
        return fired.advance._replace(fired_count=len(made)), started
    made = made[: fired.left]
    last = made[-1] if made else None
    over = fired.advance._replace(
        last_due_at=last,
        next_at=None,
        state="expired",
        reason="max_runs",
        fired_count=len(made),
    )
    return over, [each for each in started if last is not None and each.run.due_at <= last]
