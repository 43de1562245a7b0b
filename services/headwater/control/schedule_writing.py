"""Schedules and calendars as rows: a schedule's next due time, and what it keeps of the calendars that it names."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from headwater.contracts.calendars import Calendar
from headwater.contracts.schedule_times import ExcludedCalendar
from headwater.contracts.schedules import Schedule
from headwater.contracts.timetable import Calendars, timetable_of
from headwater.model.errors import ConfigError
from headwater.model.schedule import next_after
from headwater.store import calendars as calendar_rows
from headwater.store import schedules

OVER = "over"


def named_calendars(schedule: Schedule) -> tuple[str, ...]:
    """The calendars that a schedule leaves out."""
    return tuple(
        dict.fromkeys(item.calendar for item in schedule.exclude if isinstance(item, ExcludedCalendar))
    )


async def write_schedule(connection: Any, tenant: str, schedule: Schedule, known: Calendars) -> None:
    """Write the schedule with its next due time by the database's clock. `known` are the tenant's calendars.

    Raises: ScheduleError. A schedule whose times are over is written as expired.
    """
    now = await schedules.now(connection)
    timetable = timetable_of(schedule, tenant, calendars=known)
    upcoming = None if timetable is None else next_after(timetable, now)
    definition = schedule.model_dump(mode="json", by_alias=True)
    state, reason = "active", None
    if not schedule.enabled:
        state = "disabled"
    elif timetable is not None and upcoming is None:
        state, reason = "expired", "ends_at" if schedule.ends_at is not None else OVER
    kept = {name: known[name].model_dump(mode="json", by_alias=True) for name in named_calendars(schedule)}
    await schedules.put(
        connection,
        tenant,
        schedule.name,
        definition,
        state,
        upcoming if state == "active" else None,
        calendars=kept,
        reason=reason,
        max_runs=schedule.max_runs,
    )


async def write_calendar(connection: Any, tenant: str, calendar: Calendar) -> None:
    """Write the calendar, and compute anew when the schedules are due that name it."""
    definition = calendar.model_dump(mode="json", by_alias=True)
    if not await calendar_rows.put(connection, tenant, calendar.name, definition):
        return
    now = await schedules.now(connection)
    for row in await schedules.with_calendar(connection, tenant, calendar.name):
        await _again(connection, tenant, row, {**row["calendars"], calendar.name: definition}, now)


async def forget_calendar(connection: Any, tenant: str, name: str) -> None:
    """Take the calendar out of the schedules that name it, and compute anew when these are due."""
    now = await schedules.now(connection)
    for row in await schedules.with_calendar(connection, tenant, name):
        schedule = Schedule.model_validate(row["definition"])
        rest = tuple(
            item
            for item in schedule.exclude
            if not (isinstance(item, ExcludedCalendar) and item.calendar == name)
        )
        definition = schedule.model_copy(update={"exclude": rest}).model_dump(mode="json", by_alias=True)
        kept = {each: value for each, value in row["calendars"].items() if each != name}
        await schedules.set_definition(connection, tenant, row["name"], definition)
        await _again(connection, tenant, {**row, "definition": definition}, kept, now)


async def _again(
    connection: Any, tenant: str, row: Mapping[str, Any], kept: Mapping[str, Any], now: datetime
) -> None:
    """What is due already stays due: only what is to come is computed anew."""
    state, reason, next_at = row["state"], row["state_reason"], row["next_at"]
    is_due = next_at is not None and next_at <= now
    if state in {"active", "expired", "error"} and not is_due and reason != "max_runs":
        known = {name: Calendar.model_validate(each) for name, each in kept.items()}
        try:
            timetable = timetable_of(Schedule.model_validate(row["definition"]), tenant, calendars=known)
            next_at = None if timetable is None else next_after(timetable, now)
            state, reason = (
                ("active", None) if timetable is None or next_at is not None else ("expired", OVER)
            )
        except ConfigError as error:
            next_at, state, reason = None, "error", str(error)[:500]
    await schedules.set_calendars(connection, tenant, row["name"], kept, next_at, state, reason)
