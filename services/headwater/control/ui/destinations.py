"""Destinations with a name: where records go besides headwater's own tables, who sends there, and what is wrong."""

from collections.abc import Mapping
from typing import Any

from headwater.control.ui.markup import Content, Markup, element, text
from headwater.control.ui.parts import (
    code,
    definition,
    facts,
    link,
    moment,
    new_way,
    none_like_that,
    note,
    pager,
    quiet,
    table,
)
from headwater.control.ui.visit import View, Visit


async def show_destinations(visit: Visit) -> View:
    """By name."""
    found = await visit.get("/destinations", cursor=visit.query.get("cursor"))
    rows = [
        (
            link(visit.link("destinations", each["name"]), each["name"]),
            each["definition"].get("kind", "postgres"),
            _place(each["definition"]),
            _users(visit, each["used_by"]),
            each["owed"],
            element("span", each["trouble"], class_="bad") if each["trouble"] else None,
        )
        for each in found["items"]
    ]
    empty = (
        none_like_that("destination", "destinations"),
        " Without one, records go to tables of headwater's own database.",
    )
    heads = ("Destination", "Kind", "Where", "Used by", "Owed#", "What is wrong")
    body = text(
        (
            element("h1", "Destinations"),
            new_way(visit, "destination", "destinations"),
            table(heads, rows, empty),
            pager(visit, found["next"]),
        )
    )
    return View("Destinations", body, "destinations")


def _place(told: Mapping[str, Any]) -> Content:
    is_elsewhere = told.get("url") is not None
    if told.get("kind") == "amqp":
        return "exchange ", code(told["exchange"]), " of another broker" if is_elsewhere else None
    if not is_elsewhere:
        return "headwater's own database"
    return "schema ", code(told.get("schema") or "public"), " of another database"


def _users(visit: Visit, users: list[str]) -> Content:
    return [element("div", _user(visit, *user.split(" ", 1))) for user in users] or quiet("nothing")


def _user(visit: Visit, kind: str, name: str) -> Markup:
    where = visit.link("streams", *name.split(".", 1)) if kind == "stream" else visit.link("endpoints", name)
    return text((quiet(kind), " ", link(where, name)))


async def show_destination(visit: Visit) -> View:
    """One destination."""
    at = {"destination": visit.path["destination"]}
    destination = await visit.get("/destinations/{destination}", at)
    name, told, trouble = destination["name"], destination["definition"], destination["trouble"]
    since = destination["trouble_since"]
    body = text(
        (
            element("h1", name),
            element("p", told["description"]) if told.get("description") else None,
            note("Since ", moment(since, visit.now), ": ", trouble, tone="bad") if trouble else None,
            facts(
                ("kind", told.get("kind", "postgres")),
                ("where", _place(told)),
                ("used by", _users(visit, destination["used_by"])),
                ("records owed", destination["owed"]),
                ("made", moment(destination["created_at"], visit.now)),
                ("changed", moment(destination["updated_at"], visit.now)),
            ),
            definition(visit, told),
        )
    )
    return View(name, body, "destinations")
