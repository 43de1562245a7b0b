"""What is refused although each part of it can be read: what never comes, and what is too much."""

import re
from datetime import UTC, datetime

from headwater.model.cron_expression import CronExpression
from headwater.model.cron_field import LAST_YEAR
from headwater.model.schedule_error import ScheduleError
from headwater.model.schedule_moves import MOST_A_DAY
from headwater.model.schedule_timetable import Timetable


def is_over(cron: CronExpression, now: datetime) -> ScheduleError:
    """Either its years have passed, or it names times only that changes of the clock leave out."""
    if now.year > LAST_YEAR:
        cause = f"no due time is looked for after the year {LAST_YEAR}"
        return ScheduleError("cron", 1, cause, "ask for times after an earlier moment")
    by_year = cron.days.years is not None
    starts = [word.start() + 1 for word in re.finditer(r"[^ \t]+", cron.text)]
    return ScheduleError(
        "year" if by_year else "hour",
        starts[0] if len(starts) == 1 else starts[-1 if by_year else cron.field_count - 4],
        f"`{cron.text.strip()}` has no due time left after {now.astimezone(UTC):%Y-%m-%d}",
        "write a year to come, or `*`" if by_year else "write an hour that the clock does not leave out",
    )


def nothing_left(timetable: Timetable, now: datetime) -> ScheduleError:
    """Every due time to come is left out, or lies behind the end."""
    if timetable.ends_at is not None and (timetable.ends_at <= now or not timetable.exclusions):
        end = f"{timetable.ends_at:%Y-%m-%d %H:%M:%S} UTC"
        cause = f"no due time comes before the end, {end}"
        return ScheduleError("ends_at", None, cause, "move `ends_at`, or leave it out")
    return ScheduleError(
        "exclude", None, "every due time is left out: it never fires", "leave less out, or change the times"
    )


def refuse_too_many_to_move(timetable: Timetable) -> None:
    """Raises: ScheduleError when a day has more due times than can be moved to another day."""
    for cron in timetable.crons:
        count = len(cron.hours) * len(cron.minutes) * len(cron.seconds)
        if count > MOST_A_DAY:
            raise _too_many("cron", f"`{cron.text.strip()}` is due {count} times a day")
    if timetable.interval is not None and timetable.interval.every_s * MOST_A_DAY < 86_400:
        raise _too_many("interval", f"the interval of {timetable.interval.every_s} s is due more often")


def _too_many(field: str, what: str) -> ScheduleError:
    cause = f"{what}, and at most {MOST_A_DAY} a day can be moved to another day"
    return ScheduleError(field, None, cause, "set `on_excluded: skip`, or make it rarer")
