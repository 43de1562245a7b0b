"""The times of a schedule, from the words of the manifest."""

from datetime import datetime, timedelta

from headwater.contracts.durations import seconds_of
from headwater.contracts.schedules import IntervalForm, Schedule
from headwater.model.schedule import Timetable, parse_timetable
from headwater.model.schedule_interval import EPOCH


def timetable_of(schedule: Schedule, tenant: str, now: datetime | None = None) -> Timetable | None:
    """The schedule's times; None for a manual one. With `now`, a schedule that can never be due again is refused.

    Raises: ScheduleError.
    """
    if schedule.is_manual:
        return None
    every, anchor = rhythm_of(schedule.interval)
    return parse_timetable(
        crons=schedule.crons if schedule.cron is None else (schedule.cron,),
        interval=every,
        anchor=anchor,
        once=schedule.once,
        preset=schedule.preset,
        timezone=schedule.timezone,
        day_match=schedule.day_match,
        hash_key=f"{tenant}/{schedule.name}",
        now=now,
    )


def rhythm_of(interval: str | IntervalForm | None) -> tuple[str | None, datetime | None]:
    """The interval's text and where its rhythm begins (None: at the epoch)."""
    if not isinstance(interval, IntervalForm):
        return interval, None
    if interval.phase is None:
        return interval.every, interval.anchor
    return interval.every, (interval.anchor or EPOCH) + timedelta(seconds=seconds_of(interval.phase))
