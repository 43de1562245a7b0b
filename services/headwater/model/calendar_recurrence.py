"""Recurrence rules of iCalendar, as days. Source: RFC 5545 §3.3.10."""

import calendar
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from headwater.model.cron_field import LAST_YEAR

MOST_DAYS = 2000  # of one rule
_WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_KNOWN = {"FREQ", "INTERVAL", "COUNT", "UNTIL", "BYMONTH", "BYMONTHDAY", "BYDAY", "WKST"}


@dataclass(frozen=True, slots=True)
class Rule:
    """FREQ with its parts. `weekdays` are (place, weekday from 0 = Monday); place 0: every one."""

    frequency: str
    interval: int = 1
    count: int | None = None
    until: date | None = None
    months: tuple[int, ...] = ()
    month_days: tuple[int, ...] = ()
    weekdays: tuple[tuple[int, int], ...] = ()
    week_start: int = 0  # tells which days are of one week where the interval is more than one

    def days_from(self, first: date) -> tuple[list[date], bool]:
        """The days up to LAST_YEAR, ascending, `first` among them; and whether MOST_DAYS cut them off."""
        found = [first]
        for day in self._after(first):
            if self.until is not None and day > self.until:
                return found, False
            if self.count is not None and len(found) >= self.count:
                return found, False
            if len(found) >= MOST_DAYS:
                return found, True
            found.append(day)
        return found, False

    def _after(self, first: date) -> Iterator[date]:
        for period in self._periods(first):
            yield from (day for day in sorted(set(period)) if day > first and day.year <= LAST_YEAR)

    def _periods(self, first: date) -> Iterator[list[date]]:
        """The days of each period, one period after the other."""
        match self.frequency:
            case "YEARLY":
                for year in range(first.year, LAST_YEAR + 1, self.interval):
                    yield self._of_year(year, first)
            case "MONTHLY":
                last = LAST_YEAR * 12 + 11
                for index in range(first.year * 12 + first.month - 1, last + 1, self.interval):
                    if not self.months or index % 12 + 1 in self.months:
                        yield self._of_month(index // 12, index % 12 + 1, first)
            case "WEEKLY":
                names = [weekday for _, weekday in self.weekdays] or [first.weekday()]
                places = [(name - self.week_start) % 7 for name in names]
                begin = first - timedelta(days=(first.weekday() - self.week_start) % 7)
                while begin.year < LAST_YEAR:
                    yield [day for place in places if self._fits(day := begin + timedelta(days=place))]
                    begin += timedelta(weeks=self.interval)
            case _:
                day = first
                while day.year < LAST_YEAR:
                    yield [day] if self._fits(day) else []
                    day += timedelta(days=self.interval)

    def _fits(self, day: date) -> bool:
        return (
            (not self.months or day.month in self.months)
            and (not self.weekdays or any(name == day.weekday() for _, name in self.weekdays))
            and (not self.month_days or day in _month_days(day.year, day.month, self.month_days))
        )

    def _of_year(self, year: int, first: date) -> list[date]:
        # RFC 5545 §3.3.10: without BYMONTH, BYMONTHDAY names days of every month
        months = self.months or (tuple(range(1, 13)) if self.month_days else (first.month,))
        if self.weekdays and not (self.months or self.month_days):
            months = ()
        if months:
            return [day for month in months for day in self._of_month(year, month, first)]
        span = [
            date(year, 1, 1) + timedelta(days=day) for day in range(366 if calendar.isleap(year) else 365)
        ]
        return _weekdays_of(span, self.weekdays)

    def _of_month(self, year: int, month: int, first: date) -> list[date]:
        span = [date(year, month, day) for day in range(1, calendar.monthrange(year, month)[1] + 1)]
        if self.month_days:
            numbered = _month_days(year, month, self.month_days)
            return [day for day in numbered if not self.weekdays or day in _weekdays_of(span, self.weekdays)]
        if self.weekdays:
            return _weekdays_of(span, self.weekdays)
        return [day for day in span if day.day == first.day]


def _month_days(year: int, month: int, numbers: tuple[int, ...]) -> list[date]:
    length = calendar.monthrange(year, month)[1]
    days = [number if number > 0 else length + 1 + number for number in numbers]
    return [date(year, month, day) for day in days if 1 <= day <= length]


def _weekdays_of(span: list[date], weekdays: tuple[tuple[int, int], ...]) -> list[date]:
    found = []
    for place, name in weekdays:
        days = [day for day in span if day.weekday() == name]
        if place == 0:
            found += days
        elif abs(place) <= len(days):
            found.append(days[place - 1 if place > 0 else place])
    return found


def parse_rule(text: str) -> Rule:
    """The rule in `text`. Raises: ValueError with what cannot be taken."""
    parts: dict[str, str] = {}
    for item in text.split(";"):
        name, sign, value = item.partition("=")
        if sign:
            parts[name.strip().upper()] = value.strip().upper()
    if unknown := sorted(set(parts) - _KNOWN):
        raise ValueError(f"its rule has {unknown[0]}, which is not taken")
    if parts.get("FREQ") not in {"YEARLY", "MONTHLY", "WEEKLY", "DAILY"}:
        raise ValueError(f"its rule recurs {parts.get('FREQ', 'never')}, which is not taken")
    try:
        until = parts.get("UNTIL")
        return Rule(
            frequency=parts["FREQ"],
            interval=_at_least_one(parts.get("INTERVAL", "1")),
            count=_at_least_one(parts["COUNT"]) if "COUNT" in parts else None,
            until=None if until is None else date(int(until[:4]), int(until[4:6]), int(until[6:8])),
            months=_numbers(parts.get("BYMONTH")),
            month_days=_numbers(parts.get("BYMONTHDAY")),
            weekdays=tuple(_weekday(item) for item in parts["BYDAY"].split(",")) if "BYDAY" in parts else (),
            week_start=_WEEKDAYS.index(parts.get("WKST", "MO")),
        )
    except (ValueError, IndexError) as error:
        raise ValueError(f"its rule {text[:60]!r} cannot be read") from error


def _numbers(text: str | None) -> tuple[int, ...]:
    return () if text is None else tuple(int(item) for item in text.split(","))


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _weekday(text: str) -> tuple[int, int]:
    return int(text[:-2] or 0), _WEEKDAYS.index(text[-2:])
