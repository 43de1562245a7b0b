"""Calendars: what schedules leave out, and which of them do."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from headwater.control.ui.markup import Content, Markup, element, text
from headwater.control.ui.parts import (
    code,
    definition,
    facts,
    link,
    moment,
    new_way,
    none_like_that,
    pager,
    quiet,
    section,
    table,
)
from headwater.control.ui.visit import View, Visit

_DAYS: Final = 100
_LISTS: Final = ("dates", "ranges", "yearly", "crons")


async def show_calendars(visit: Visit) -> View:
    """By name."""
    found = await visit.get("/calendars", cursor=visit.query.get("cursor"))
    rows = [
        (
            link(visit.link("calendars", each["name"]), each["name"]),
            each["description"],
            _kinds(each["definition"]),
            _users(visit, each["used_by"]),
            moment(each["updated_at"], visit.now),
        )
        for each in found["items"]
    ]
    heads = ("Calendar", "Description", "Leaves out", "Used by", "Changed")
    body = text(
        (
            element("h1", "Calendars"),
            new_way(visit, "calendar", "calendars"),
            table(heads, rows, none_like_that("calendar", "calendars")),
            pager(visit, found["next"]),
        )
    )
    return View("Calendars", body, "calendars")


def _kinds(told: Mapping[str, Any]) -> Content:
    kinds = [f"{len(told[name])} {name}" for name in _LISTS if told.get(name)]
    return ", ".join([*kinds, "iCalendar"] if told.get("ics") else kinds) or quiet("nothing")


def _users(visit: Visit, names: list[str]) -> Content:
    """The ways to the schedules of these names."""
    return [element("div", link(visit.link("schedules", name), name)) for name in names] or quiet("nothing")


async def show_calendar(visit: Visit) -> View:
    """One calendar, and the days of a year that it leaves out."""
    at = {"calendar": visit.path["calendar"]}
    calendar = await visit.get("/calendars/{calendar}", at)
    found = await visit.get("/calendars/{calendar}/days", at)
    name = calendar["name"]
    body = text(
        (
            element("h1", name),
            element("p", calendar["description"]) if calendar["description"] else None,
            facts(
                ("used by", _users(visit, calendar["used_by"])),
                ("on excluded days", calendar["definition"].get("on_excluded", "skip")),
                ("not taken", [element("div", each) for each in calendar["notes"]] or None),
                ("made", moment(calendar["created_at"], visit.now)),
                ("changed", moment(calendar["updated_at"], visit.now)),
            ),
            section(f"Days left out, {found['since']} to {found['until']}", _days(found["days"])),
            definition(visit, calendar["definition"]),
        )
    )
    return View(name, body, "calendars")


def _days(days: list[date]) -> Markup:
    told = [(element("time", f"{day}", datetime=f"{day}"), f"{day:%A}") for day in days[:_DAYS]]
    rest = len(days) - _DAYS
    return text(
        (
            table(("Day", ""), told, "No whole day."),
            element("p", quiet(f"and {rest} more: "), code("headwater calendars days")) if rest > 0 else None,
        )
    )
