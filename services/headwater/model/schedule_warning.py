"""What is allowed and yet often not meant."""

import re
from collections.abc import Iterator
from datetime import datetime

from headwater.model.cron_expression import CronExpression
from headwater.model.cron_field import DAY_OF_MONTH, HOUR, MINUTE, SECOND, CronField
from headwater.model.schedule_interval import Interval
from headwater.model.schedule_timetable import Timetable

_UNEVEN = ((SECOND, 0), (MINUTE, 1), (HOUR, 2), (DAY_OF_MONTH, 3))
_SHORT_MONTHS = frozenset({2, 4, 6, 9, 11})


def warnings_for(timetable: Timetable, now: datetime | None = None) -> list[str]:
    """Sentences about what may surprise, none twice; with `now` (aware) also about what is over."""
    found: list[str] = []
    for cron in timetable.crons:
        found += _about_days(cron)
        found += _about_times(cron)
        found += _about_notation(cron)
        if cron.is_hashed and not timetable.hash_key:
            found.append("H is drawn from the schedule's name: without one these times are only an example.")
    if timetable.interval is not None:
        found += _about_interval(timetable.interval, timetable.timezone)
    if now is not None and timetable.once is not None and timetable.once <= now:
        found.append(
            f"The single time {timetable.once:%Y-%m-%d %H:%M:%S} UTC has passed: it does not come again."
        )
    return list(dict.fromkeys(found))


def _about_days(cron: CronExpression) -> Iterator[str]:
    rule = cron.days
    if rule.by_month_day and rule.by_weekday:
        if rule.match_all:
            yield f"`{cron.text}`: only days that fit day of month and day of week both count (all)."
        else:
            yield (
                f"`{cron.text}`: day of month and day of week are both set, so a day that fits either counts "
                "(POSIX). For days that fit both set day_match: all."
            )
        return
    only_days = rule.by_month_day and not (rule.before_last or rule.nearest or rule.nearest_before_last)
    if not only_days:
        return
    if rule.months == {2} and rule.days == {29}:
        yield f"`{cron.text}`: 29 February comes in leap years only."
    elif min(rule.days) >= 29 and rule.months & _SHORT_MONTHS:
        yield (
            f"`{cron.text}`: months without day {min(rule.days)} are left out. L is the last day of a month."
        )


def _about_times(cron: CronExpression) -> Iterator[str]:
    at_midnight = (cron.hours, cron.minutes, cron.seconds) == ((0,), (0,), (0,))
    if at_midnight and not cron.is_hashed:
        years = cron.items[6:] if cron.field_count == 7 else ()
        spread = " ".join((*(("0",) if years else ()), "H", "H", *cron.items[3:6], *years))
        yield f"`{cron.text}`: midnight is when most schedules run; `{spread}` spreads them over the day."
    for field, index in _UNEVEN:
        if (step := _uneven_step(field, cron.items[index])) and field is DAY_OF_MONTH:
            yield (
                f"`{cron.text}`: the step begins again on the 1st of each month, so the gap over its end "
                f"is not {step} days. For an even rhythm use interval {step}d."
            )
        elif step:
            yield (
                f"`{cron.text}`: {field.size} is no multiple of {step}, so the last gap in the {field.words} "
                f"field is shorter than {step}. For an even rhythm use interval {step}{field.unit}."
            )


def _uneven_step(field: CronField, item: str) -> int | None:
    matched = re.fullmatch(r"(?:\*|0)/([0-9]+)", item)
    step = int(matched[1]) if matched else 1
    if field is DAY_OF_MONTH:  # months differ in length: no step but 1 is even
        return step if 1 < step <= field.size // 2 else None
    return step if field.size % step else None


def _about_notation(cron: CronExpression) -> Iterator[str]:
    if cron.field_count == 6 and cron.items[0] == "*":
        yield f"`{cron.text}`: with six fields the first is the second, so this runs every second."
    if cron.field_count > 5 and "?" in cron.items and re.search(r"[1-7]", re.sub(r"#.", "", cron.items[5])):
        yield f"`{cron.text}`: days of week count from 0 = Sunday, not from 1 as in Quartz. Names are safe."


def _about_interval(interval: Interval, timezone: str) -> Iterator[str]:
    if interval.every_s % 86_400 == 0 and timezone != "UTC":
        yield "An interval counts elapsed time: when clocks change, its local time moves. A cron keeps it."
    elif interval.every_s % 86_400 and 86_400 % interval.every_s and interval.every_s > 3600:
        yield "This interval does not divide a day: it falls on other times every day."
