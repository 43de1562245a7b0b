"""Endpoints: the addresses that accept webhooks, what came to them, and their secrets' state."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from headwater.control.ui.deliveries import delivery_table
from headwater.control.ui.markup import Content, Markup, element, text
from headwater.control.ui.parts import (
    badge,
    code,
    definition,
    duration,
    facts,
    folded,
    link,
    moment,
    new_way,
    none_like_that,
    note,
    pager,
    quiet,
    section,
    table,
    tiles,
)
from headwater.control.ui.refusals import refusal_table
from headwater.control.ui.sheet import Sheet, asked, filters
from headwater.control.ui.visit import Given, View, Visit

_RECENT: Final = 10


async def show_endpoints(visit: Visit) -> View:
    """By name."""
    found = await visit.get("/endpoints", q=visit.query.get("q"), cursor=visit.query.get("cursor"))
    empty = none_like_that("endpoint", "endpoints")
    rows = [
        (
            link(visit.link("endpoints", each["name"]), each["name"]),
            _state(each),
            code(each["path"]),
            each["definition"].get("scheme") or quiet("a definition of its own"),
            code((each["definition"].get("destination") or {}).get("table") or "–"),
            [element("div", alarm["kind"], class_="bad") for alarm in each["alarms"]],
        )
        for each in found["items"]
    ]
    body = text(
        (
            element("h1", "Endpoints"),
            new_way(visit, "endpoint", "endpoints"),
            filters(visit, asked(visit, "q", "Name has")),
            table(("Endpoint", "State", "Senders post to", "Scheme", "Table", "Alarms"), rows, empty),
            pager(visit, found["next"]),
        )
    )
    return View("Endpoints", body, "endpoints")


def _state(endpoint: Mapping[str, Any]) -> Markup:
    return badge("enabled" if endpoint["enabled"] else "disabled")


async def show_endpoint(visit: Visit) -> View:
    """One endpoint."""
    at = {"endpoint": visit.path["endpoint"]}
    endpoint = await visit.get("/endpoints/{endpoint}", at)
    stats = await visit.get("/endpoints/{endpoint}/stats", at)
    secrets = await visit.get("/endpoints/{endpoint}/secrets", at)
    name = endpoint["name"]
    deliveries = await visit.get("/deliveries", endpoint=name, limit=_RECENT)
    refusals = await visit.get("/refusals", endpoint=name, limit=_RECENT)
    body = text(
        (
            element("h1", name, " ", _state(endpoint)),
            _acts(visit, endpoint) if visit.may("write") else None,
            [_alarm(visit, alarm) for alarm in endpoint["alarms"]],
            facts(
                ("senders post to", code(endpoint["path"])),
                ("scheme", endpoint["definition"].get("scheme") or "a definition of its own"),
                ("made", moment(endpoint["created_at"], visit.now)),
                ("changed", moment(endpoint["updated_at"], visit.now)),
                ("deliveries are kept", f"{stats['retention_days']} days"),
            ),
            section("The last 24 hours", _stats(visit, stats)),
            section(
                "Last deliveries",
                delivery_table(visit, deliveries["items"], "Nothing has come yet."),
                element("p", link(visit.link("deliveries", endpoint=name), "All its deliveries")),
            ),
            section(
                "Last refusals",
                refusal_table(visit, refusals["items"], "Nothing was turned away."),
                element("p", link(visit.link("refusals", endpoint=name), "All its refusals")),
            ),
            section("Secrets", _secrets(visit, secrets["items"])),
            definition(visit, endpoint["definition"]),
        )
    )
    return View(name, body, "endpoints")


def _acts(visit: Visit, endpoint: Mapping[str, Any]) -> Markup:
    if not endpoint["enabled"]:
        return element("div", Sheet(visit, "enable").whole("Enable", style="bare"), class_="acts")
    sheet = Sheet(visit, "disable")
    sure = sheet.whole("Disable", element("p", "It receives nothing then: senders get 404."), look="grave")
    return element("div", folded("Disable …", sure), class_="acts")


def _alarm(visit: Visit, alarm: Mapping[str, Any]) -> Markup:
    detail = ", ".join(f"{name} {value}" for name, value in alarm["detail"].items())
    return note(
        element("b", alarm["kind"]), " since ", moment(alarm["since"], visit.now), " ", detail, tone="bad"
    )


def _stats(visit: Visit, stats: Mapping[str, Any]) -> Markup:
    numbers = {name: stats[name] for name in ("received", "verified", "duplicates", "handshakes", "spooled")}
    numbers["refused"] = stats["refused_count"]
    states = {f"deliveries {state}": number for state, number in stats["deliveries"].items()}
    refused = ", ".join(f"{reason} {number}" for reason, number in stats["refused"].items())
    return text(
        (
            tiles({**numbers, **states}),
            facts(
                ("refused for", refused),
                ("last delivery", moment(stats["last_delivery_at"], visit.now)),
                ("quiet for", duration(stats["quiet_s"])),
            ),
        )
    )


def _secrets(visit: Visit, secrets: Iterable[Mapping[str, Any]]) -> Markup:
    heads = ("Secret", "State", "Last used", "Uses#", "Safe to retire", "Why")
    rows: list[list[Content]] = [
        [
            code(each["name"]),
            badge(each["state"]),
            moment(each["last_used_at"], visit.now),
            each["use_count"],
            "yes" if each["safe_to_retire"] else "no",
            each["why"],
        ]
        for each in secrets
    ]
    return table(heads, rows, "Its scheme needs none.")


async def enable(visit: Visit, _: Given) -> str:
    return await _set(visit, "enable", "enabled")


async def disable(visit: Visit, _: Given) -> str:
    return await _set(visit, "disable", "disabled-endpoint")


async def _set(visit: Visit, verb: str, done: str) -> str:
    await visit.post(f"/endpoints/{{endpoint}}/{verb}", {"endpoint": visit.path["endpoint"]})
    return visit.link("endpoints", visit.path["endpoint"], done=done)
