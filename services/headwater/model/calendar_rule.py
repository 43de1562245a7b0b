"""What a schedule leaves out: days, days of every year, stretches of time, times that cron expressions match."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

from headwater.model.cron_days import days_in_month
from headwater.model.cron_expression import CronExpression
from headwater.model.schedule_clock import change_at, to_utc

OnExcluded = Literal["skip", "next", "previous"]
_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Exclusion:
    """One calendar, or what a schedule leaves out by itself. Days are those of the schedule's zone.

    `on_excluded`: a due time on it is left out (`skip`), or moves to the same time of the next or previous day that
    is neither excluded nor one of `weekend` (0 = Monday).
    """

    days: frozenset[date] = frozenset()
    ranges: tuple[tuple[date, date], ...] = ()  # both ends included
    moments: tuple[tuple[datetime, datetime], ...] = ()  # aware UTC, the end not included
    yearly: frozenset[tuple[int, int]] = frozenset()  # (month, day)
    easter: frozenset[int] = frozenset()  # days after Easter Sunday (Western)
    crons: tuple[CronExpression, ...] = field(default=())
    weekend: frozenset[int] = frozenset({5, 6})
    on_excluded: OnExcluded = "skip"
    name: str = ""  # of the calendar; empty: the schedule's own

    @property
    def has_times(self) -> bool:
        """Whether it may leave out a part of a day."""
        return bool(self.moments or self.crons)

    def takes_day(self, day: date) -> bool:
        """Whether the whole of `day` is left out by a date."""
        if day in self.days or (day.month, day.day) in self.yearly:
            return True
        if self.easter and (day - easter_sunday(day.year)).days in self.easter:
            return True
        return any(first <= day <= last for first, last in self.ranges)

    def last_excluded(self, zone: ZoneInfo, moment: datetime) -> datetime | None:
        """The last second of the stretch around `moment` (aware UTC) that is left out for one reason; None when it is
        not left out.
        """
        wall = moment.astimezone(zone).replace(tzinfo=None, fold=0)
        if self.takes_day(wall.date()):
            return end_of_day(zone, wall.date())
        for begin, end in self.moments:
            if begin <= moment < end:
                return end - _SECOND
        lasts = [last for cron in self.crons if (last := _cron_stretch(cron, wall)) is not None]
        if not lasts:
            return None
        return _until(zone, moment, wall, max(lasts))


def _until(zone: ZoneInfo, moment: datetime, wall: datetime, last: datetime) -> datetime:
    """The instant up to which the wall clock, which shows `wall` at `moment`, goes on to `last` without a jump back."""
    end = change_at(zone, last)
    if end is not None and end.is_gap:
        return end.at - _SECOND
    fold = moment.astimezone(zone).fold
    until = to_utc(zone, last, fold)
    begin = change_at(zone, wall)
    if begin is not None and not begin.is_gap and fold == 0:  # the first pass: then the clock goes back
        until = min(until, begin.at - _SECOND)
    return until


@lru_cache(maxsize=256)
def easter_sunday(year: int) -> date:
    """Western Easter. Source: the Gregorian computus of Meeus, Jones and Butcher."""
    a, b, c = year % 19, year // 100, year % 100
    h = (19 * a + b - b // 4 - (b - (b + 8) // 25 + 1) // 3 + 15) % 30
    rest = (32 + 2 * (b % 4) + 2 * (c // 4) - h - c % 4) % 7
    m = (a + 11 * h + 22 * rest) // 451
    month, day = divmod(h + rest - 7 * m + 114, 31)
    return date(year, month, day + 1)


def start_of_day(zone: ZoneInfo, day: date) -> datetime:
    """The first instant of a local day, in UTC."""
    wall = datetime.combine(day, datetime.min.time())
    change = change_at(zone, wall)
    return change.at if change is not None and change.is_gap else to_utc(zone, wall)


def end_of_day(zone: ZoneInfo, day: date) -> datetime:
    """The last whole second of a local day, in UTC."""
    return start_of_day(zone, day + _DAY) - _SECOND


def names_time(cron: CronExpression, wall: datetime) -> bool:
    """Whether `cron` matches the wall-clock time; without a field for seconds it matches whole minutes."""
    return _cron_stretch(cron, wall) is not None


def _cron_stretch(cron: CronExpression, wall: datetime) -> datetime | None:
    """The last wall-clock second up to which `cron` surely goes on matching; None when it does not match `wall`."""
    rule = cron.days
    fits_day = (
        wall.month in rule.months
        and (rule.years is None or wall.year in rule.years)
        and wall.day in days_in_month(rule, wall.year, wall.month)
    )
    if not fits_day or wall.hour not in cron.hours or wall.minute not in cron.minutes:
        return None
    whole_minutes = cron.field_count == 5 or len(cron.seconds) == 60
    if not whole_minutes:
        return wall.replace(second=_run(cron.seconds, wall.second)) if wall.second in cron.seconds else None
    if len(cron.minutes) < 60:
        return wall.replace(minute=_run(cron.minutes, wall.minute), second=59)
    return wall.replace(hour=_run(cron.hours, wall.hour), minute=59, second=59)


def _run(values: Sequence[int], value: int) -> int:
    """The last of the `values` (ascending) that follow `value` without a hole."""
    place = bisect_left(values, value)
    while place + 1 < len(values) and values[place + 1] == values[place] + 1:
        place += 1
    return values[place]


def as_utc(zone: ZoneInfo, moment: datetime) -> datetime:
    """An instant; without an offset it shows the clock of `zone` (in an overlap the first pass, in a gap its end)."""
    if moment.tzinfo is not None:
        return moment.astimezone(UTC)
    wall = moment.replace(fold=0)
    change = change_at(zone, wall)
    return change.at if change is not None and change.is_gap else to_utc(zone, wall)
