"""The times of a schedule, from the words of the manifest."""

import datetime as dt
import difflib
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from headwater.contracts.calendars import WEEKDAYS, Calendar, DateRange, OnExcluded
from headwater.contracts.durations import seconds_of
from headwater.contracts.schedule_times import ExcludedCalendar, ExcludedCron, IntervalForm, Times
from headwater.contracts.schedule_times import Window as WindowForm
from headwater.contracts.schedules import Schedule
from headwater.model.calendar_ics import Busy, parse_ics
from headwater.model.calendar_rule import Exclusion, as_utc
from headwater.model.cron_expression import CronExpression
from headwater.model.cron_parse import parse_cron
from headwater.model.errors import ConfigError
from headwater.model.schedule import ScheduleError, Timetable, find_zone, parse_timetable
from headwater.model.schedule_interval import EPOCH
from headwater.model.schedule_policy import CatchUp
from headwater.model.schedule_window import Window

Calendars = Mapping[str, Calendar]
NO_CALENDARS: Calendars = {}
_MOST_SINGLE_DAYS = 100  # a longer range stays a range


def timetable_of(
    schedule: Schedule, tenant: str, now: datetime | None = None, calendars: Calendars = NO_CALENDARS
) -> Timetable | None:
    """The schedule's times; None for a manual one. With `now`, a schedule that can never be due again is refused.

    `calendars` are those that it may name. Raises: ScheduleError.
    """
    if schedule.is_manual:
        return None
    return timetable_of_times(schedule, f"{tenant}/{schedule.name}", now, calendars)


def timetable_of_times(times: Times, hash_key: str, now: datetime | None, calendars: Calendars) -> Timetable:
    """The times as a timetable; `hash_key` is what H is drawn from. Raises: ScheduleError, also when there are none."""
    every, anchor = rhythm_of(times.interval)
    return parse_timetable(
        crons=(*(() if times.cron is None else (times.cron,)), *times.crons),
        interval=every,
        anchor=anchor,
        once=times.once,
        preset=times.preset,
        timezone=times.timezone,
        day_match=times.day_match,
        hash_key=hash_key,
        exclusions=exclusions_of(times, calendars) if times.exclude else (),
        starts_at=times.starts_at,
        ends_at=times.ends_at,
        now=now,
    )


def span_of(schedule: Schedule) -> tuple[datetime | None, datetime | None]:
    """`starts_at` and `ends_at` in UTC; those without an offset show the clock of its zone. Raises: ScheduleError."""
    zone = find_zone(schedule.timezone)
    return (
        None if schedule.starts_at is None else as_utc(zone, schedule.starts_at),
        None if schedule.ends_at is None else as_utc(zone, schedule.ends_at),
    )


def rhythm_of(interval: str | IntervalForm | None) -> tuple[str | None, datetime | None]:
    """The interval's text and where its rhythm begins (None: at the epoch)."""
    if not isinstance(interval, IntervalForm):
        return interval, None
    if interval.phase is None:
        return interval.every, interval.anchor
    return interval.every, (interval.anchor or EPOCH) + timedelta(seconds=seconds_of(interval.phase))


def exclusions_of(schedule: Times, calendars: Calendars) -> tuple[Exclusion, ...]:
    """What `exclude` leaves out: the schedule's own items as one, and each calendar. Raises: ScheduleError."""
    zone = find_zone(schedule.timezone)
    named: dict[str, Exclusion] = {}
    days: list[date] = []
    ranges: list[DateRange] = []
    crons: list[tuple[str, str]] = []
    for index, item in enumerate(schedule.exclude):
        if isinstance(item, ExcludedCalendar):
            calendar = calendars.get(item.calendar)
            if calendar is None:
                raise _unknown(item.calendar, calendars, index)
            try:
                named[item.calendar] = exclusion_of(calendar, zone, schedule.on_excluded)
            except ScheduleError as error:
                raise error.within(f"exclude[{index}]") from None
        elif isinstance(item, ExcludedCron):
            crons.append((f"exclude[{index}].cron", item.cron))
        elif isinstance(item, DateRange):
            ranges.append(item)
        else:
            days.append(item)
    own = _exclusion(zone, days, ranges, crons, on_excluded=schedule.on_excluded or "skip")
    has_own = bool(days or ranges or crons)
    return (*([own] if has_own else []), *named.values())


def _unknown(name: str, calendars: Iterable[str], index: int) -> ScheduleError:
    close = difflib.get_close_matches(name, list(calendars), n=1)
    mend = f"write {close[0]}" if close else "define it under `calendars`, or correct the name"
    return ScheduleError(
        "exclude", None, f"there is no calendar {name}", mend, specification=f"exclude[{index}]"
    )


def exclusion_of(calendar: Calendar, zone: ZoneInfo, on_excluded: OnExcluded | None = None) -> Exclusion:
    """What a calendar leaves out of a schedule in `zone`. Raises: ScheduleError."""
    busy = None if calendar.ics is None else busy_of(calendar.ics)
    return _exclusion(
        zone,
        calendar.dates,
        calendar.ranges,
        [(f"crons[{index}]", text) for index, text in enumerate(calendar.crons)],
        busy=busy,
        yearly=calendar.yearly,
        weekend=calendar.weekend,
        on_excluded=on_excluded or calendar.on_excluded,
        name=calendar.name,
    )


@lru_cache(maxsize=64)
def busy_of(ics: str) -> Busy:
    """What an iCalendar text takes. Raises: ScheduleError of field `ics`."""
    try:
        return parse_ics(ics)
    except ConfigError as error:
        raise ScheduleError("ics", None, str(error), "give the whole text of an .ics file") from None


def _exclusion(
    zone: ZoneInfo,
    days: Iterable[date],
    ranges: Iterable[DateRange],
    crons: Iterable[tuple[str, str]],
    *,
    busy: Busy | None = None,
    yearly: Iterable[str] = (),
    weekend: Iterable[str] = ("sat", "sun"),
    on_excluded: OnExcluded,
    name: str = "",
) -> Exclusion:
    spans = [(each.from_, each.to) for each in ranges] + ([] if busy is None else list(busy.ranges))
    moments = [] if busy is None else list(busy.moments)
    moments += [
        (first, last)
        for first, last in spans
        if isinstance(first, dt.datetime) and isinstance(last, dt.datetime)
    ]
    whole = [(first, last) for first, last in spans if not isinstance(first, dt.datetime)]
    short = [(first, last) for first, last in whole if (last - first).days < _MOST_SINGLE_DAYS]
    single = {
        first + timedelta(days=step) for first, last in short for step in range((last - first).days + 1)
    }
    fixed = [text for text in yearly if not text.startswith("easter")]
    return Exclusion(
        days=frozenset({*days, *single}),
        ranges=tuple(span for span in whole if span not in short),
        moments=tuple(sorted((as_utc(zone, first), as_utc(zone, last)) for first, last in moments)),
        yearly=frozenset(day for text in fixed for day in _yearly_days(text)),
        easter=frozenset(
            int(text.removeprefix("easter") or 0) for text in yearly if text.startswith("easter")
        ),
        crons=tuple(_cron(place, text) for place, text in crons),
        weekend=frozenset(WEEKDAYS.index(day) for day in weekend),
        on_excluded=on_excluded,
        name=name,
    )


def _yearly_days(text: str) -> list[tuple[int, int]]:
    """`12-25`, or `12-24..01-02` with every day between; 2024 has a 29 February."""
    first, _, last = text.partition("..")
    begin = date.fromisoformat(f"2024-{first}")
    end = date.fromisoformat(f"2024-{last or first}")
    length = (end - begin).days if end >= begin else (end - begin).days + 366
    days = (begin + timedelta(days=step) for step in range(length + 1))
    return [(day.month, day.day) for day in days]


def _cron(place: str, text: str) -> CronExpression:
    try:
        return parse_cron(text)
    except ScheduleError as error:
        raise error.within(place) from None


def windows_of(schedule: Times) -> tuple[Window, ...]:
    """The execution windows."""
    return tuple(_window(form) for form in schedule.windows)


def _window(form: WindowForm) -> Window:
    return Window(
        days=frozenset(WEEKDAYS.index(day) for day in form.days),
        from_s=_second_of_day(form.from_),
        to_s=_second_of_day(form.to),
        waits=form.outside == "wait",
    )


def _second_of_day(text: str) -> int:
    hour, minute, second = (int(part) for part in (*text.split(":"), "0")[:3])
    return hour * 3600 + minute * 60 + second


def catch_up_of(schedule: Schedule) -> CatchUp:
    """What is made up for."""
    form = schedule.catch_up
    window_s = None if form.window is None else seconds_of(form.window)
    if form.kind == "all":
        return CatchUp("all", window_s=window_s, most=form.all or 1)
    return CatchUp(form.kind, window_s=window_s)
