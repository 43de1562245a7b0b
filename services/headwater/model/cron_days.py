"""Which days a cron expression names: months, days of month, days of week, with L, W and #."""

import calendar
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

from headwater.model.cron_field import FIRST_YEAR, LAST_YEAR

_SATURDAY, _SUNDAY = 5, 6  # as `calendar` counts: Monday is 0


@dataclass(frozen=True, slots=True)
class DayRule:
    """The day part of an expression. Days of week count from 0 = Sunday."""

    months: frozenset[int]
    years: frozenset[int] | None = None  # None: every year
    by_month_day: bool = False  # day of month is neither `*` nor `?`
    by_weekday: bool = False  # day of week is neither `*` nor `?`
    match_all: bool = False  # both restricted: True takes days that fit both, False days that fit either
    days: frozenset[int] = frozenset()
    before_last: frozenset[int] = frozenset()  # L is 0, L-3 is 3
    nearest: frozenset[int] = frozenset()  # 15W is 15
    nearest_before_last: frozenset[int] = frozenset()  # LW is 0, L-3W is 3
    weekdays: frozenset[int] = frozenset()
    last_weekdays: frozenset[int] = frozenset()  # 5L is 5
    nth_weekdays: frozenset[tuple[int, int]] = frozenset()  # 5#3 is (5, 3)


def next_day(rule: DayRule, start: date) -> date | None:
    """The first day of `rule` on or after `start`; None when there is none up to the end of LAST_YEAR."""
    for year, month in _months_from(rule, start):
        for day in days_in_month(rule, year, month):
            if (year, month, day) >= (start.year, start.month, start.day):
                return date(year, month, day)
    return None


def has_any_day(rule: DayRule) -> bool:
    """Whether the calendar has any day that the rule names."""
    return next_day(rule, date(FIRST_YEAR, 1, 1)) is not None


def _months_from(rule: DayRule, start: date) -> Iterator[tuple[int, int]]:
    for year in range(max(start.year, FIRST_YEAR), LAST_YEAR + 1):
        if rule.years is not None and year not in rule.years:
            continue
        first = start.month if year == start.year else 1
        yield from ((year, month) for month in range(first, 13) if month in rule.months)


@lru_cache(maxsize=4096)
def days_in_month(rule: DayRule, year: int, month: int) -> tuple[int, ...]:
    """The days of this month that `rule` names, ascending, whatever its months and years are."""
    first_weekday, length = calendar.monthrange(year, month)
    every = set(range(1, length + 1))
    by_month_day = _by_month_day(rule, first_weekday, length) if rule.by_month_day else every
    by_weekday = _by_weekday(rule, first_weekday, length) if rule.by_weekday else every
    either = rule.by_month_day and rule.by_weekday and not rule.match_all
    return tuple(sorted(by_month_day | by_weekday if either else by_month_day & by_weekday))


def _by_month_day(rule: DayRule, first_weekday: int, length: int) -> set[int]:
    found = {day for day in rule.days if day <= length}
    found |= {length - back for back in rule.before_last if back < length}
    near = {day for day in rule.nearest if day <= length}
    near |= {length - back for back in rule.nearest_before_last if back < length}
    return found | {_nearest_weekday(day, first_weekday, length) for day in near}


def _nearest_weekday(day: int, first_weekday: int, length: int) -> int:
    """The Monday to Friday nearest to `day` without leaving the month (as Quartz does)."""
    weekday = (first_weekday + day - 1) % 7
    if weekday == _SATURDAY:
        return day - 1 if day > 1 else day + 2
    if weekday == _SUNDAY:
        return day + 1 if day < length else day - 2
    return day


def _by_weekday(rule: DayRule, first_weekday: int, length: int) -> set[int]:
    found = set()
    for day in range(1, length + 1):
        weekday = (first_weekday + day) % 7  # 0 = Sunday
        if (
            weekday in rule.weekdays
            or (weekday in rule.last_weekdays and day + 7 > length)
            or (weekday, (day + 6) // 7) in rule.nth_weekdays
        ):
            found.add(day)
    return found
