"""Notifications: who is told of what, what was sent, and each attempt."""

from collections.abc import Mapping
from typing import Any, Final, get_args

from headwater.contracts.notifications import EVENTS
from headwater.control.notifications import State
from headwater.control.ui.markup import Content, Markup, element, text
from headwater.control.ui.parts import (
    badge,
    block,
    code,
    duration,
    facts,
    folded,
    item,
    json_block,
    link,
    moment,
    new_way,
    none_like_that,
    pager,
    quiet,
    section,
    table,
)
from headwater.control.ui.sheet import Sheet, asked, filters
from headwater.control.ui.visit import Given, View, Visit

STATES: Final = get_args(State)
_FILTERS: Final = ("state", "notification", "event", "schedule", "run", "since", "until", "cursor")
_RULES: Final = 100


async def show_notifications(visit: Visit) -> View:
    """The rules, and what was sent, newest first."""
    rules = await visit.get("/notifications", limit=_RULES)
    chosen: dict[str, Any] = {name: visit.query.get(name) for name in _FILTERS}
    sent = await visit.get("/notifications/deliveries", **chosen)
    nobody = none_like_that("notification", "notifications")
    body = text(
        (
            element("h1", "Notifications"),
            section(
                "Who is told",
                new_way(visit, "notification", "notifications"),
                _rules(visit, rules["items"], nobody),
            ),
            section(
                "What was sent, and what waits",
                filters(
                    visit,
                    asked(visit, "state", "State", STATES),
                    asked(visit, "notification", "Notification"),
                    asked(visit, "event", "Event", EVENTS),
                    asked(visit, "since", "Since (UTC)"),
                ),
                _sent(visit, sent["items"]),
                pager(visit, sent["next"]),
            ),
        )
    )
    return View("Notifications", body, "notifications")


def _rules(visit: Visit, rules: list[Mapping[str, Any]], empty: Content) -> Markup:
    rows = [
        (
            (element("b", rule["name"]), " ", quiet(rule["description"]), _edit(visit, rule["name"])),
            badge("enabled" if rule["enabled"] else "disabled"),
            ", ".join(rule["events"]),
            [_target(target) for target in rule["targets"]],
        )
        for rule in rules
    ]
    return table(("Notification", "State", "Events", "Targets"), rows, empty)


def _edit(visit: Visit, name: str) -> Content:
    where = visit.link("notifications", name, "edit")
    return element("div", link(where, "Edit …")) if visit.may("write") else None


def _target(target: Mapping[str, Any]) -> Markup:
    stopped = target["stopped"]
    told = None if stopped is None else (" ", badge("stopped"), " ", stopped["reason"])
    return element("div", quiet(target["type"]), " ", target["address"], told)


def _sent(visit: Visit, sent: list[Mapping[str, Any]]) -> Markup:
    heads = ("Sent", "State", "Event", "Notification", "To", "Subject", "Attempts#", "Made")
    rows = [
        (
            item(visit, "notifications", each["id"]),
            badge(each["state"]),
            each["event"],
            each["notification"] or quiet("callback of a schedule"),
            (quiet(each["type"]), " ", each["address"]),
            each["subject"],
            each["attempts"],
            moment(each["created_at"], visit.now),
        )
        for each in sent
    ]
    return table(heads, rows, "Nothing like that was sent.")


async def show_sent(visit: Visit) -> View:
    """One notification to one target, with every attempt."""
    sent = await visit.get("/notifications/deliveries/{sent}", {"sent": visit.path["sent"]})
    again = None
    if visit.may("run"):
        again = element("div", Sheet(visit, "redeliver").whole("Send it again", style="bare"), class_="acts")
    body = text(
        (
            element("h1", sent["subject"], " ", badge(sent["state"])),
            again,
            _facts(visit, sent),
            section("Text", block(sent["text"])),
            section("Attempts", _attempts(visit, sent["tries"])),
            section("Facts", folded("Show", json_block(sent["facts"]))),
        )
    )
    return View(sent["subject"][:80], body, "notifications")


def _facts(visit: Visit, sent: Mapping[str, Any]) -> Markup:
    now, schedule, endpoint, run = visit.now, sent["schedule"], sent["endpoint"], sent["run"]
    return facts(
        ("id", code(sent["id"])),
        ("notification", sent["notification"] or "callback of a schedule"),
        ("event", sent["event"]),
        ("to", (quiet(sent["type"]), " ", sent["address"])),
        ("schedule", None if schedule is None else link(visit.link("schedules", schedule), schedule)),
        ("stream", sent["stream"]),
        ("endpoint", None if endpoint is None else link(visit.link("endpoints", endpoint), endpoint)),
        ("run", None if run is None else link(visit.link("runs", run), code(run))),
        ("made", moment(sent["created_at"], now)),
        ("next attempt", None if sent["next_at"] is None else moment(sent["next_at"], now)),
        ("settled", None if sent["settled_at"] is None else moment(sent["settled_at"], now)),
        ("last error", sent["last_error"]),
    )


def _attempts(visit: Visit, tries: list[Mapping[str, Any]]) -> Markup:
    rows = [
        (
            each["number"],
            badge(each["outcome"]),
            each["status"],
            moment(each["at"], visit.now),
            duration(each["duration_s"]),
            (each["error"], block(each["answer"]) if each["answer"] else None),
        )
        for each in tries
    ]
    return table(("Attempt#", "Outcome", "Status#", "At", "Took#", "Answer"), rows, "None yet.")


async def redeliver(visit: Visit, _: Given) -> str:
    """Again, under its own id."""
    await visit.post("/notifications/deliveries/{sent}/redeliver", {"sent": visit.path["sent"]})
    return visit.link("notifications", visit.path["sent"], done="redelivered")
