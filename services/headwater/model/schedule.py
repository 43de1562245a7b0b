"""When schedules are due: the one door to cron expressions, intervals, single times and presets.

The expression is parsed and checked by our own rules and expanded to plain values; croniter finds the
matching times of a day on naive wall-clock time, the calendar rules of `cron_days` find the days, and
`schedule_clock` turns wall-clock times into instants. croniter by itself doubles daily jobs when clocks are
set back.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

from croniter import croniter

from headwater.model.calendar_rule import Exclusion
from headwater.model.cron_days import next_day
from headwater.model.cron_expression import CronExpression
from headwater.model.cron_field import FIRST_YEAR, LAST_YEAR
from headwater.model.schedule_clock import Fire, change_at, first_fire
from headwater.model.schedule_describe import describe
from headwater.model.schedule_error import ScheduleError
from headwater.model.schedule_exclusion import MOST_WORK, Base, Patience, excluded, next_kept
from headwater.model.schedule_interval import short_text
from headwater.model.schedule_moves import Moves, moves
from headwater.model.schedule_preset import PRESETS
from headwater.model.schedule_refusal import is_over, nothing_left, refuse_too_many_to_move
from headwater.model.schedule_timetable import Timetable, build_timetable, find_zone, specification_name
from headwater.model.schedule_warning import warnings_for

__all__ = [
    "PRESETS",
    "LeftOut",
    "Occurrence",
    "ScheduleError",
    "Timetable",
    "describe",
    "due_times",
    "find_zone",
    "forget_zones",
    "left_out",
    "next_after",
    "parse_timetable",
    "preview",
    "short_text",
    "smallest_gap_s",
    "surely_minutes_apart",
    "warnings_for",
]

_SECOND = timedelta(seconds=1)
_BEFORE_ALL = datetime(FIRST_YEAR, 1, 1, tzinfo=UTC) - timedelta(days=2)
_AFTER_ALL = datetime(LAST_YEAR + 1, 1, 1, tzinfo=UTC) + timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One due time. `at` is in the schedule's zone, with its offset; `utc` is the same instant.

    `marks`: `moved` (stands in for times that the clock left out), `first_pass` and `second_pass` (the clock
    shows this time twice on that day), `shifted` (a calendar moved it to another day).
    """

    at: datetime
    utc: datetime
    marks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A due time that `calendar` (empty: the schedule itself) leaves out, or moves (`on_excluded`)."""

    at: datetime
    utc: datetime
    calendar: str
    on_excluded: str


def parse_timetable(
    *,
    crons: Sequence[str] = (),
    interval: str | None = None,
    once: datetime | None = None,
    preset: str | None = None,
    timezone: str = "UTC",
    day_match: str = "any",
    hash_key: str = "",
    anchor: datetime | None = None,
    exclusions: Sequence[Exclusion] = (),
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
    now: datetime | None = None,
) -> Timetable:
    """The timetable of one or several specifications.

    Args: `once` is rounded up to a whole second; without a zone it is wall-clock time of `timezone`.
    `day_match` joins day of month and day of week: `any` (POSIX) or `all`. `hash_key` names the schedule
    (tenant and name): H draws from it. `anchor` sets the phase of an interval, default 1970-01-01T00:00:00Z.
    `exclusions` are left out or moved; nothing is due before `starts_at` or after `ends_at`.
    With `now` (aware) an expression that has no due time left after it is refused as well, which is right
    when a schedule is defined and wrong when a stored one is read.
    Raises: ScheduleError (a ConfigError) with field, position, cause and mend.
    """
    timetable = build_timetable(
        crons=crons,
        interval=interval,
        once=once,
        preset=preset,
        timezone=timezone,
        day_match=day_match,
        hash_key=hash_key,
        anchor=anchor,
        exclusions=exclusions,
        starts_at=starts_at,
        ends_at=ends_at,
    )
    if moves(exclusions):
        refuse_too_many_to_move(timetable)
    if now is not None:
        _refuse_what_is_over(timetable, _whole_utc(now))
    return timetable


def _refuse_what_is_over(timetable: Timetable, now: datetime) -> None:
    """Raises: ScheduleError for an expression without a due time after `now`, and when none is left of all."""
    for index, cron in enumerate(timetable.crons):
        if _cron_fire(cron, timetable.timezone, now) is None:
            raise is_over(cron, now).within(specification_name(index, len(timetable.crons)))
    bounded = timetable.exclusions or timetable.ends_at is not None
    if bounded and _base_fire(timetable, now) is not None and _next_fire(timetable, now) is None:
        raise nothing_left(timetable, now)


def next_after(timetable: Timetable, moment: datetime) -> datetime | None:
    """The first due time strictly after `moment`.

    Args: `moment` is aware; any zone.
    Returns: aware UTC, whole seconds; None when the timetable is over (cron: at the end of the year 2099).
    Wall-clock times that a change of the clock skips or repeats follow the one rule of `schedule_clock`.
    Raises: ScheduleError where so much is left out that it is not found in reasonable time.
    """
    fire = _next_fire(timetable, _whole_utc(moment))
    return None if fire is None else fire.at


def due_times(timetable: Timetable, after: datetime, *, work: int = MOST_WORK) -> Iterator[datetime]:
    """All due times strictly after `after`, ascending, in UTC. `work`: what looking through those left out may cost.

    Raises: ScheduleError, as for `next_after`.
    """
    return (fire.at for fire in _fires(timetable, _whole_utc(after), work))


def preview(timetable: Timetable, after: datetime, count: int) -> list[Occurrence]:
    """The next `count` due times strictly after `after`, fewer when the timetable ends before.

    Raises: ScheduleError, as for `next_after`.
    """
    zone = timetable.zone
    found: list[Occurrence] = []
    for fire in islice(_fires(timetable, _whole_utc(after)), count):
        local = fire.at.astimezone(zone)
        marks = [name for name, holds in (("moved", fire.moved), ("shifted", fire.shifted)) if holds]
        if change_at(zone, local.replace(tzinfo=None, fold=0)) is not None:
            marks.append("second_pass" if local.fold else "first_pass")
        found.append(Occurrence(local, fire.at, tuple(marks)))
    return found


def left_out(timetable: Timetable, after: datetime, until: datetime, most: int) -> list[LeftOut]:
    """The first `most` due times in (after, until] that calendars leave out or move away, ascending."""
    zone, moment = timetable.zone, _whole_utc(after)
    if timetable.starts_at is not None:
        moment = max(moment, timetable.starts_at - _SECOND)
    found: list[LeftOut] = []
    while timetable.exclusions and len(found) < most:
        fire = _base_fire(timetable, moment)
        if fire is None or fire.at > until:
            break
        moment = fire.at
        left = excluded(timetable.exclusions, zone, fire.at)
        if left is not None:
            found.append(LeftOut(fire.at.astimezone(zone), fire.at, left.name, left.on_excluded))
    return found


def surely_minutes_apart(timetable: Timetable) -> bool:
    """Whether a look at the fields shows that due times are a minute or more apart, but for changes of the clock."""
    has_one = len(timetable.crons) == 1 and timetable.interval is None and timetable.once is None
    return has_one and len(timetable.crons[0].seconds) == 1 and not timetable.exclusions


def smallest_gap_s(timetable: Timetable, after: datetime, fires: int = 100) -> float | None:
    """The least distance in seconds between the next `fires` due times; None when fewer than two are left."""
    found = islice(due_times(timetable, after), fires)
    return min(((later - sooner).total_seconds() for sooner, later in pairwise(found)), default=None)


def _whole_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a moment needs a zone")
    return moment.astimezone(UTC).replace(microsecond=0)


def _next_fire(timetable: Timetable, moment: datetime) -> Fire | None:
    """The first due time after `moment` (UTC, whole seconds) that is kept, between beginning and end."""
    return next(_fires(timetable, moment), None)


def _fires(timetable: Timetable, moment: datetime, work: int = MOST_WORK) -> Iterator[Fire]:
    """All of them after `moment`, ascending. What is left out among them is looked through with one patience."""
    if timetable.starts_at is not None:
        moment = max(moment, timetable.starts_at - _SECOND)
    search = _search_of(timetable, work)
    while (fire := search(moment)) is not None:
        if timetable.ends_at is not None and fire.at > timetable.ends_at:
            return
        yield fire
        moment = fire.at


def _search_of(timetable: Timetable, work: int) -> Base:
    """What finds the first due time after a moment that is kept, or moved there."""
    base, exclusions, zone = partial(_base_fire, timetable), timetable.exclusions, timetable.zone
    if not exclusions:
        return base
    patience = Patience(len(timetable.crons), exclusions, work)
    if moves(exclusions):
        return Moves(base, exclusions, zone, patience).next_after
    return lambda moment: next_kept(base, exclusions, zone, moment, patience)


def _base_fire(timetable: Timetable, moment: datetime) -> Fire | None:
    """The first due time after `moment` over all specifications, whatever leaves it out."""
    candidates = [_cron_fire(cron, timetable.timezone, moment) for cron in timetable.crons]
    if timetable.interval is not None:
        due = timetable.interval.next_after(moment)
        candidates.append(None if due is None else Fire(due))
    if timetable.once is not None and timetable.once > moment:
        candidates.append(Fire(timetable.once))
    # on a tie the one that was not moved: that due time exists by itself
    return min(
        (fire for fire in candidates if fire is not None),
        key=lambda fire: (fire.at, fire.moved),
        default=None,
    )


def _cron_fire(cron: CronExpression, timezone: str, moment: datetime) -> Fire | None:
    """What is due next stays so up to that moment: of several specifications most are asked for it again and again."""
    last = _last_fire(cron, timezone)
    since, fire = last[0]  # one look: other threads put something else there
    if fire is not None and since <= moment < fire.at:
        return fire
    fire = _search(cron, timezone, moment)
    if fire is not None:
        last[0] = (moment, fire)
    return fire


@lru_cache(maxsize=4096)
def _last_fire(_cron: CronExpression, _timezone: str) -> list[tuple[datetime, Fire | None]]:
    """A place for what was found last: from which moment on, and what."""
    return [(_BEFORE_ALL, None)]


@lru_cache(maxsize=16_384)
def _search(cron: CronExpression, timezone: str, moment: datetime) -> Fire | None:
    """Memoised, since many schedules share an expression and fall due at the same instant."""
    if moment >= _AFTER_ALL:
        return None
    return first_fire(
        find_zone(timezone),
        partial(_next_wall, cron),
        max(moment, _BEFORE_ALL),
        is_interval=cron.is_interval,
        makes_up=cron.has_plain_hours,
    )


def forget_zones() -> None:
    """Read the rules of time zones anew: they were changed on this machine."""
    ZoneInfo.clear_cache()
    _last_fire.cache_clear()
    _search.cache_clear()


def _next_wall(cron: CronExpression, after: datetime) -> datetime | None:
    """The first matching wall-clock time strictly after `after` (both naive, whole seconds)."""
    today = after.date()
    day = next_day(cron.days, today)
    if day == today:
        if after.time() < cron.first_time:
            return datetime.combine(day, cron.first_time)
        if after.time() < cron.last_time:
            matcher = _matcher(cron.seconds, cron.minutes, cron.hours)
            found: datetime = matcher.get_next(datetime, start_time=after)
            return found
        day = next_day(cron.days, today + timedelta(days=1))
    return None if day is None else datetime.combine(day, cron.first_time)


def _matcher(seconds: tuple[int, ...], minutes: tuple[int, ...], hours: tuple[int, ...]) -> croniter:
    """A croniter of its own: they keep their position, so one must not be shared between threads."""
    return copy.copy(_prepared_matcher(seconds, minutes, hours))


@lru_cache(maxsize=1024)
def _prepared_matcher(seconds: tuple[int, ...], minutes: tuple[int, ...], hours: tuple[int, ...]) -> croniter:
    fields = (_listed(values, size) for values, size in ((seconds, 60), (minutes, 60), (hours, 24)))
    return croniter(f"{' '.join(fields)} * * *", 0.0, second_at_beginning=True)


def _listed(values: tuple[int, ...], size: int) -> str:
    return "*" if len(values) == size else ",".join(map(str, values))
