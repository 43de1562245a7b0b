"""What times a specification means before anybody relies on it; nothing is written."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import Field

from headwater.contracts.base import Closed
from headwater.contracts.calendars import Calendar
from headwater.contracts.moments import ZonedMoment
from headwater.contracts.schedule_times import Times
from headwater.contracts.schedules import Schedule as Definition
from headwater.contracts.timetable import Calendars, timetable_of_times, windows_of
from headwater.control.problems import invalid_at, not_found, schedule_refusal
from headwater.control.route import Answer, Call, Desk, NoQuery, Reply
from headwater.control.schedules import following
from headwater.control.validation import MINIMUM_INTERVAL_S
from headwater.model.schedule import (
    ScheduleError,
    Timetable,
    describe,
    left_out,
    preview,
    short_text,
    smallest_gap_s,
    surely_minutes_apart,
    warnings_for,
)
from headwater.model.schedule_window import Window, opening
from headwater.store import calendars as calendar_rows
from headwater.store import catalogue

MAX_PREVIEW = 1000
MOST_LEFT_OUT = 100
Count = Annotated[int, Field(ge=1, le=MAX_PREVIEW)]


class PreviewRequest(Times):
    """Time specifications as a schedule has them, with what bounds them.

    `calendars` are written out here; others that `exclude` names are the tenant's. `after`: the moment after which
    times are wanted (default: now). `schedule`: its name, from which H is drawn. `max_runs`: after so many due times
    that make runs it is over.
    """

    after: ZonedMoment | None = None
    count: Count = 10
    max_runs: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    schedule: Annotated[str, Field(max_length=63, description="Its name, from which H is drawn.")] = ""
    calendars: Annotated[tuple[Calendar, ...], Field(max_length=20)] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which due times: the first `count` after a moment (None: now), up to the last of `runs` that make runs."""

    after: datetime | None = None
    count: int = 10
    runs: int | None = None


class NextRunsQuery(Closed):
    """Which times."""

    count: Count = 10
    after: ZonedMoment | None = None


class PreviewOccurrence(Answer):
    """One due time with its offset, and the same instant in UTC.

    `marks`: `moved` (stands in for times that the clock leaves out), `first_pass`, `second_pass` (the clock shows it
    twice), `shifted` (a calendar moved it to another day), `outside_window` (skipped, or it waits until `begins_at`).
    """

    at: datetime
    utc: datetime
    marks: list[str]
    begins_at: datetime | None


class LeftOutOccurrence(Answer):
    """A due time that a calendar (null: the schedule itself) leaves out or moves away."""

    at: datetime
    utc: datetime
    calendar: str | None
    on_excluded: str


class Preview(Answer):
    """`excluded` are the first of those left out before the last of `next`."""

    next: list[PreviewOccurrence]
    excluded: list[LeftOutOccurrence]
    description: str
    warnings: list[str]


async def preview_schedule(desk: Desk, call: Call[NoQuery, PreviewRequest]) -> Reply:
    """The next due times; nothing is written."""
    body = call.body
    async with desk.acting(call) as connection:
        minimum_s = await _minimum_s(connection, call.tenant)
        known: Calendars = await calendar_rows.definitions(connection, call.tenant) if body.exclude else {}
    named = {**known, **{calendar.name: calendar for calendar in body.calendars}}
    key = f"{call.tenant}/{body.schedule}" if body.schedule else ""
    wanted = Wanted(body.after, body.count, body.max_runs)
    return await _answer(desk, body, key, named, wanted, minimum_s)


async def next_runs(desk: Desk, call: Call[NextRunsQuery, None]) -> Reply:
    """The next due times of a schedule as it is defined, whether or not it is active."""
    name = call.path["schedule"]
    async with desk.acting(call) as connection:
        row = await catalogue.get_schedule(connection, call.tenant, name)
        if row is None:
            raise not_found("schedule")
        minimum_s = await _minimum_s(connection, call.tenant)
        known: Calendars = await calendar_rows.definitions(connection, call.tenant)
    schedule = Definition.model_validate(row["definition"])
    if schedule.is_manual:
        words = "Only when it is started" if schedule.after is None else following(schedule.after)
        return Reply({"next": [], "excluded": [], "description": words, "warnings": []})
    left = None if schedule.max_runs is None else max(schedule.max_runs - row["fired_count"], 0)
    wanted = Wanted(call.query.after, call.query.count, left)
    return await _answer(desk, schedule, f"{call.tenant}/{name}", known, wanted, minimum_s, is_stored=True)


async def _minimum_s(connection: Any, tenant: str) -> float:
    row = await catalogue.get_tenant(connection, tenant)
    return float((row["settings"] if row else {}).get("minimum_interval_s", MINIMUM_INTERVAL_S))


async def _answer(
    desk: Desk,
    times: Times,
    key: str,
    calendars: Calendars,
    wanted: Wanted,
    minimum_s: float,
    *,
    is_stored: bool = False,
) -> Reply:
    now = desk.clock.now()
    try:
        return Reply(
            await asyncio.to_thread(
                preview_of, times, key, calendars, now, wanted, minimum_s, is_stored=is_stored
            )
        )
    except ScheduleError as error:
        raise schedule_refusal(error) from error
    except OverflowError:
        raise invalid_at("/after", "is out of the range of time") from None


def preview_of(
    times: Times,
    hash_key: str,
    calendars: Calendars,
    now: datetime,
    wanted: Wanted,
    minimum_s: float = MINIMUM_INTERVAL_S,
    *,
    is_stored: bool = False,
) -> dict[str, Any]:
    """The document of a preview. A stored schedule may have come to its end. Raises: ScheduleError, OverflowError."""
    start = (wanted.after or now).astimezone(UTC)
    timetable = timetable_of_times(times, hash_key, None if is_stored else start, calendars)
    windows = windows_of(times)
    found = preview(timetable, start, wanted.count)
    shown = [_shown(each.at, each.utc, list(each.marks), timetable, windows) for each in found]
    shown = shown[: _last_place(shown, wanted.runs)]
    until = shown[-1]["utc"] if shown else start
    return {
        "next": shown,
        "excluded": [
            {
                "at": each.at,
                "utc": each.utc,
                "calendar": each.calendar or None,
                "on_excluded": each.on_excluded,
            }
            for each in left_out(timetable, start, until, MOST_LEFT_OUT)
        ],
        "description": describe(timetable, windows),
        "warnings": [*warnings_for(timetable, now), *_too_often(timetable, start, minimum_s)],
    }


def _last_place(shown: Sequence[Mapping[str, Any]], runs: int | None) -> int | None:
    """How many of the due times come until `runs` of them made runs; None: all. What a window skips makes none."""
    if runs is None:
        return None
    makers = [place for place, each in enumerate(shown, 1) if each["begins_at"] or not _is_outside(each)]
    return None if len(makers) < runs else makers[runs - 1] if runs else 0


def _is_outside(each: Mapping[str, Any]) -> bool:
    return "outside_window" in each["marks"]


def _shown(
    at: datetime, utc: datetime, marks: list[str], timetable: Timetable, windows: tuple[Window, ...]
) -> dict[str, Any]:
    begins = opening(windows, timetable.zone, utc) if windows else utc
    if begins == utc:
        return {"at": at, "utc": utc, "marks": marks, "begins_at": None}
    begins_at = None if begins is None else begins.astimezone(timetable.zone)
    return {"at": at, "utc": utc, "marks": [*marks, "outside_window"], "begins_at": begins_at}


def _too_often(timetable: Timetable, after: datetime, minimum_s: float) -> list[str]:
    if minimum_s <= 60 and surely_minutes_apart(timetable):
        return []
    gap_s = smallest_gap_s(timetable, after)
    if gap_s is None or gap_s >= minimum_s:
        return []
    return [
        f"Two due times are {short_text(int(gap_s))} apart; the tenant's minimum is {short_text(int(minimum_s))}."
    ]
