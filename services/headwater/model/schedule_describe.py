"""A timetable as a sentence that a person understands."""

from collections.abc import Sequence
from itertools import product

from headwater.model.calendar_rule import Exclusion
from headwater.model.cron_days import DayRule
from headwater.model.cron_expression import CronExpression
from headwater.model.schedule_interval import EPOCH, Interval
from headwater.model.schedule_timetable import Timetable
from headwater.model.schedule_window import Window
from headwater.model.schedule_words import MONTHS, WEEKDAYS, duration, joined, ordinal, runs_of, step_of

_MOST_TIMES = 6  # more single times of day than this make no readable list


def describe(timetable: Timetable, windows: Sequence[Window] = ()) -> str:
    """One sentence, for example `At 02:00, Monday to Friday (Europe/Berlin)`."""
    clauses = _cron_clauses(timetable.crons)
    if timetable.interval is not None:
        clauses.append(_interval(timetable.interval))
    if timetable.once is not None:
        local = timetable.once.astimezone(timetable.zone)
        clauses.append(f"once, on {local:%Y-%m-%d} at {local:%H:%M:%S}")
    sentence = "; ".join(clauses) + _bounds(timetable) + _left_out(timetable) + _open(windows)
    return f"{sentence[:1].upper()}{sentence[1:]} ({timetable.timezone})"


def _bounds(timetable: Timetable) -> str:
    text = ""
    for word, moment in (("from", timetable.starts_at), ("until", timetable.ends_at)):
        if moment is not None:
            text += f", {word} {moment.astimezone(timetable.zone):%Y-%m-%d %H:%M:%S}".removesuffix(":00")
    return text


def _left_out(timetable: Timetable) -> str:
    """What is left out, and what is done about it."""
    text = ""
    for policy, verb in (("skip", "but not on"), ("next", "moved to the next working day from"),
                         ("previous", "moved to the previous working day from")):  # fmt: skip
        names = [f"the days of {each.name}" if each.name else _own(each) for each in timetable.exclusions
                 if each.on_excluded == policy]  # fmt: skip
        text += f", {verb} {joined(names)}" if names else ""
    return text


def _own(exclusion: Exclusion) -> str:
    days = sorted(exclusion.days)
    if days and len(days) <= _MOST_TIMES and not (exclusion.ranges or exclusion.moments or exclusion.crons):
        return joined([f"{day:%Y-%m-%d}" for day in days])
    if exclusion.crons and not (days or exclusion.ranges or exclusion.moments):
        return f"the times of {joined([f'`{cron.text.strip()}`' for cron in exclusion.crons])}"
    return "its excluded days"


def _open(windows: Sequence[Window]) -> str:
    if not windows:
        return ""
    spans = []
    for window in windows:
        times = f"{_time(window.from_s)} to {_time(window.to_s)}"
        spans.append(times if len(window.days) == 7 else f"{_day_names(window.days)} {times}")
    verb = "else it waits" if any(window.waits for window in windows) else "else it is skipped"
    return f", only within {joined(spans)} ({verb})"


def _time(second: int) -> str:
    text = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
    return text.removesuffix(":00")


def _day_names(days: frozenset[int]) -> str:
    spans = []
    for first, last in runs_of(sorted(days), (0, 6)):
        names = [WEEKDAYS[(first + after + 1) % 7] for after in range((last - first) % 7 + 1)]
        spans += names if len(names) < 3 else [f"{names[0]} to {names[-1]}"]
    return joined(spans)


def _cron_clauses(crons: Sequence[CronExpression]) -> list[str]:
    """One clause for each expression; those that differ only in plain times of day share one."""
    times_on: dict[DayRule, set[str]] = {}
    others = []
    for cron in crons:
        if times := _plain_times(cron):
            times_on.setdefault(cron.days, set()).update(times)
        else:
            days = _days(cron.days)
            others.append(_clock(cron) if days == "every day" else f"{_clock(cron)}, {days}")
    return [f"at {joined(sorted(times))}, {_days(rule)}" for rule, times in times_on.items()] + others


def _interval(interval: Interval) -> str:
    text = f"every {duration(interval.every_s)}"
    if interval.anchor == EPOCH:
        return text
    return f"{text}, counted from {interval.anchor:%Y-%m-%d %H:%M:%S} UTC"


def _plain_times(cron: CronExpression) -> list[str]:
    """The times of day as a list, empty when they are too many for one."""
    if len(cron.hours) * len(cron.minutes) * len(cron.seconds) > _MOST_TIMES:
        return []
    return [
        f"{hour:02}:{minute:02}" + (f":{second:02}" if cron.seconds != (0,) else "")
        for hour, minute, second in product(cron.hours, cron.minutes, cron.seconds)
    ]


def _clock(cron: CronExpression) -> str:
    if cron.seconds != (0,):
        return _seconds(cron) + _minutes_and_hours(cron)
    if len(cron.minutes) > 1:
        step = step_of(cron.minutes, 60)
        if step is None:
            return f"at minutes {_numbers(cron.minutes)}{_hours(cron.hours, ' of every hour')}"
        start = _from_minute(cron.minutes, step)
        if 60 % step:
            return f"every {ordinal(step)} minute{start}{_hours(cron.hours, ' of every hour')}"
        comma = "," if start and len(cron.hours) < 24 else ""
        return f"every {duration(step * 60)}{start}{comma}{_hours(cron.hours, '')}"
    return _hourly(cron.hours, cron.minutes[0])


def _from_minute(minutes: tuple[int, ...], step: int) -> str:
    """Where the rhythm of a list of minutes begins, and ends if the last gap is another one."""
    if minutes[0] >= step:
        return f" from minute {minutes[0]} to {minutes[-1]} of the hour"
    return f" from minute {minutes[0]}" if minutes[0] else ""


def _hourly(hours: tuple[int, ...], minute: int) -> str:
    """Many hours, one minute each."""
    step = step_of(hours, 24)
    if step is not None and hours[0] == 0 and 24 % step == 0:
        return f"every {duration(step * 3600)}" + (f" at minute {minute}" if minute else "")
    spans = [
        f"{first:02}:{minute:02}" + (f" to {last:02}:{minute:02}" if last != first else "")
        for first, last in runs_of(hours, (0, 23))
    ]
    if any("to" in span for span in spans):
        return f"every hour from {joined(spans)}" if len(spans) == 1 else f"hourly at {joined(spans)}"
    return f"at {joined(spans)}"


def _seconds(cron: CronExpression) -> str:
    step = step_of(cron.seconds, 60)
    if step is None or 60 % step:
        return f"at second{'s' if len(cron.seconds) > 1 else ''} {_numbers(cron.seconds)}"
    return f"every {duration(step)}" + (f" from second {cron.seconds[0]}" if cron.seconds[0] else "")


def _minutes_and_hours(cron: CronExpression) -> str:
    """Where the seconds lie."""
    if len(cron.minutes) < 60:
        step = step_of(cron.minutes, 60)
        if step is not None and len(cron.minutes) > _MOST_TIMES:
            start = _from_minute(cron.minutes, step)
            return f" of every {ordinal(step)} minute{start}" + _hours(cron.hours, " of every hour")
        plural = "s" if len(cron.minutes) > 1 else ""
        minutes = f" of minute{plural} {_numbers(cron.minutes)}"
        return minutes + _hours(cron.hours, " of every hour")
    if 60 % (step_of(cron.seconds, 60) or 60 + 1) == 0:
        return _hours(cron.hours, "")
    return " of every minute" + _hours(cron.hours, "")


def _hours(hours: tuple[int, ...], when_all: str) -> str:
    if len(hours) == 24:
        return when_all
    spans = [f"{first:02}:00 to {last:02}:59" for first, last in runs_of(hours, (0, 23))]
    return f" from {joined(spans)}" if len(spans) <= 3 else f" in the hours {_numbers(hours)}"


def _numbers(values: Sequence[int]) -> str:
    return joined([f"{first}" if first == last else f"{first} to {last}" for first, last in runs_of(values)])


def _days(rule: DayRule) -> str:
    month_days, weekdays, months = _month_days(rule), _weekdays(rule), _months(rule)
    if rule.by_month_day and rule.by_weekday:
        of_month = month_days if _mentions_month(rule) else f"{month_days} of the month"
        days = f"{of_month} if also {weekdays}" if rule.match_all else f"{of_month} or {weekdays}"
    elif rule.by_month_day and months and not _mentions_month(rule):
        return f"{month_days} of{months.removeprefix(' in')}"
    elif rule.by_month_day:
        days = month_days if _mentions_month(rule) else f"{month_days} of every month"
    else:
        days = weekdays if rule.by_weekday and len(rule.weekdays) < 7 else "every day"
    return days + months


def _mentions_month(rule: DayRule) -> bool:
    return bool(rule.before_last or rule.nearest_before_last)


def _month_days(rule: DayRule) -> str:
    days = sorted(rule.days)
    step = step_of(days, 32)
    if step is not None and step > 1 and len(days) > 4:
        spans = [f"every {ordinal(step)} day from the {ordinal(days[0])}"]
    else:
        spans = [
            ordinal(first) if first == last else f"{ordinal(first)} to {ordinal(last)}"
            for first, last in runs_of(days)
        ]
    spans += [
        f"{ordinal(back + 1)} last day of the month" if back else "last day of the month"
        for back in sorted(rule.before_last)
    ]
    near = [f"the {ordinal(day)}" for day in sorted(rule.nearest)] + [
        f"the {ordinal(back + 1)} last day of the month" if back else "the last day of the month"
        for back in sorted(rule.nearest_before_last)
    ]
    if near:
        spans.append(f"{'the ' if spans else ''}weekday (Monday to Friday) nearest {joined(near)}")
    if spans and spans[0].startswith("every"):
        return joined([spans[0], *(f"on the {span}" for span in spans[1:])])
    return f"on the {joined(spans)}"


def _weekdays(rule: DayRule) -> str:
    monday_first = sorted(rule.weekdays, key=lambda day: (day - 1) % 7)
    spans = []
    for first, last in runs_of([(day - 1) % 7 for day in monday_first], (0, 6)):
        names = [WEEKDAYS[(first + after + 1) % 7] for after in range((last - first) % 7 + 1)]
        spans += names if len(names) < 3 else [f"{names[0]} to {names[-1]}"]
    spans += [
        f"the {ordinal(count)} {WEEKDAYS[day]} of the month" for day, count in sorted(rule.nth_weekdays)
    ]
    spans += [f"the last {WEEKDAYS[day]} of the month" for day in sorted(rule.last_weekdays)]
    return f"on {joined(spans)}"


def _months(rule: DayRule) -> str:
    text = ""
    if len(rule.months) < 12:
        spans: list[str] = []
        for first, last in runs_of(sorted(rule.months), (1, 12)):
            names = [MONTHS[(first + after - 1) % 12] for after in range((last - first) % 12 + 1)]
            spans += names if len(names) < 3 else [f"{names[0]} to {names[-1]}"]
        text = f" in {joined(spans)}"
    if rule.years is not None:
        text += f"{'' if text else ' in'} {_years(sorted(rule.years))}"
    return text


def _years(years: Sequence[int]) -> str:
    step = years[1] - years[0] if len(years) > _MOST_TIMES else 1
    if step > 1 and list(years) == list(range(years[0], years[-1] + 1, step)):
        return f"every {ordinal(step)} year from {years[0]} to {years[-1]}"
    return _numbers(years)
