"""The times of a schedule, from the words of the manifest."""

from datetime import datetime

from headwater.contracts.manifest import Schedule
from headwater.model.schedule import Timetable, parse_timetable


def timetable_of(schedule: Schedule, tenant: str, now: datetime | None = None) -> Timetable | None:
    """The schedule's times; None for a manual one. With `now`, a schedule that can never be due again is refused.

    Raises: ScheduleError.
    """
    if schedule.is_manual:
        return None
    return parse_timetable(
        crons=schedule.crons if schedule.cron is None else (schedule.cron,),
        interval=schedule.interval,
        once=schedule.once,
        preset=schedule.preset,
        timezone=schedule.timezone,
        day_match=schedule.day_match,
        hash_key=f"{tenant}/{schedule.name}",
        now=now,
    )
