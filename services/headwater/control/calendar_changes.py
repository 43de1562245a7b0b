"""Calendars over the API: listed, made, replaced, merged, removed, and what they leave out."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import Field

from headwater.contracts.base import Closed
from headwater.contracts.calendars import Calendar as Definition
from headwater.contracts.timetable import busy_of, exclusion_of
from headwater.control.documents import Part, version_of
from headwater.control.export import lean
from headwater.control.frame import API
from headwater.control.kinds import Kind
from headwater.control.paging import ListQuery, Page, after_name, listing, token_of
from headwater.control.problems import conflict, not_found
from headwater.control.route import Answer, Call, Desk, NoQuery, Reply, Route
from headwater.control.schedule_changes import Cascade
from headwater.control.schedule_writing import forget_calendar
from headwater.store import calendars, config

_ONE = f"{API}/calendars/{{calendar}}"
MOST_DAYS = 3700  # ten years


class KeptCalendar(Answer):
    """Days and times that schedules leave out. `used_by` are the schedules that name it; `notes` tell what of its
    iCalendar text was not taken.
    """

    name: str
    description: str
    definition: dict[str, Any]
    used_by: list[str]
    notes: list[str]
    created_at: datetime
    updated_at: datetime


class DaysQuery(Closed):
    """Which days, both ends included; by default a year from today."""

    since: date | None = None
    until: date | None = None


class Days(Answer):
    """Whole days that the calendar leaves out; times of day are not among them."""

    days: list[date]
    since: date
    until: Annotated[date, Field(description="At most ten years after `since`.")]


def calendar_rows() -> tuple[Route, ...]:
    """The routes."""
    return (
        Route("GET", f"{API}/calendars", list_calendars, "Calendars", "read", Page[KeptCalendar], query=ListQuery,
              tag="calendars"),
        Route("POST", f"{API}/calendars", create_calendar, "Make a calendar", "write", KeptCalendar, body=Part,
              status=201, tag="calendars", problems=(409,)),
        Route("GET", _ONE, show_calendar, "One calendar", "read", KeptCalendar, matched=True, tag="calendars"),
        Route("GET", f"{_ONE}/days", calendar_days, "The days that a calendar leaves out", "read", Days,
              query=DaysQuery, tag="calendars"),
        Route("PUT", _ONE, put_calendar, "Make or replace a calendar; schedules that name it are computed anew",
              "write", KeptCalendar, body=Part, matched=True, also=201, tag="calendars"),
        Route("PATCH", _ONE, patch_calendar, "Change parts of a calendar", "write", KeptCalendar, body=Part,
              matched=True, tag="calendars"),
        Route("DELETE", _ONE, delete_calendar, "Remove a calendar", "write", None, query=Cascade, status=204,
              matched=True, tag="calendars", problems=(409,)),
    )  # fmt: skip


async def _view(connection: Any, tenant: str, row: Mapping[str, Any]) -> dict[str, Any]:
    definition = Definition.model_validate(row["definition"])
    return {
        "name": row["name"],
        "description": definition.description,
        "definition": lean(definition),
        "used_by": await calendars.users(connection, tenant, row["name"]),
        "notes": [] if definition.ics is None else list(busy_of(definition.ics).notes),
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
    }


async def list_calendars(desk: Desk, call: Call[ListQuery, None]) -> Reply:
    query = call.query
    after = after_name(query, "calendars")
    async with desk.acting(call) as connection:
        rows = await calendars.list_calendars(connection, call.tenant, after=after, limit=query.limit + 1)
        views = [await _view(connection, call.tenant, row) for row in rows]
    return Reply(listing(views, query.limit, dict, lambda view: token_of("calendars", view["name"])))


def _document(row: Mapping[str, Any]) -> dict[str, Any]:
    return lean(Definition.model_validate(row["definition"]))


_KIND = Kind(
    "calendar",
    "calendars",
    find=calendars.get,
    view=_view,
    document=_document,
    version=lambda row: version_of(_document(row)),
)


async def show_calendar(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    return await _KIND.show(desk, call)


async def create_calendar(desk: Desk, call: Call[NoQuery, Part]) -> Reply:
    return await _KIND.create(desk, call)


async def put_calendar(desk: Desk, call: Call[NoQuery, Part]) -> Reply:
    return await _KIND.put(desk, call)


async def patch_calendar(desk: Desk, call: Call[NoQuery, Part]) -> Reply:
    return await _KIND.patch(desk, call)


async def calendar_days(desk: Desk, call: Call[DaysQuery, None]) -> Reply:
    async with desk.acting(call) as connection:
        row = await calendars.get(connection, call.tenant, call.path["calendar"])
    if row is None:
        raise not_found("calendar")
    since = call.query.since or desk.clock.now().astimezone(UTC).date()
    until = min(call.query.until or since + timedelta(days=365), since + timedelta(days=MOST_DAYS))
    rule = exclusion_of(Definition.model_validate(row["definition"]), ZoneInfo("UTC"))
    days = [since + timedelta(days=step) for step in range((until - since).days + 1)]
    return Reply({"days": [day for day in days if rule.takes_day(day)], "since": since, "until": until})


async def delete_calendar(desk: Desk, call: Call[Cascade, None]) -> Reply:
    """With `cascade` the schedules that name it go on without it."""
    name = call.path["calendar"]
    async with desk.acting(call) as connection:
        await _KIND.seen(connection, call)
        users = await calendars.users(connection, call.tenant, name)
        if users and not call.query.cascade:
            raise conflict(
                f"It is used: {', '.join(users)} leave it out; change them, or delete it with ?cascade=true"
            )
        await forget_calendar(connection, call.tenant, name)
        await calendars.delete(connection, call.tenant, name)
        await config.announce_change(connection, call.tenant)
    return Reply()
