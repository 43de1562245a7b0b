"""The tenant at a glance: what is wrong, what happened in the last day, what ran last."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from headwater.control.ui.markup import Content, Markup, element, text
from headwater.control.ui.parts import badge, code, link, moment, quiet, section, table
from headwater.control.ui.runs import run_table
from headwater.control.ui.visit import View, Visit

_RUNS: Final = 10
_RUN_STATES: Final = ("running", "queued", "succeeded", "partial", "failed", "cancelled", "skipped")
_OF_STREAMS: Final = frozenset({"failed", "stuck", "late"})
_OF_SCHEDULES: Final = frozenset(
    {"stale", "not_fired", "auto_disabled", "schedule_error", "paused", "disabled"}
)
_OF_ENDPOINTS: Final = frozenset({"silence", "refusals", "dead_deliveries"})
_OF_NOTIFICATIONS: Final = frozenset({"notification_dead", "notification_late", "target_gone"})
_DELIVERY_STATES: Final = ("accepted", "done", "filtered", "dead")


async def show_overview(visit: Visit) -> View:
    """Where somebody who logs in begins."""
    health = await visit.get("/health")
    monitor = await visit.get("/monitor")
    runs = await visit.get("/runs", limit=_RUNS)
    empty = ("Nothing has run yet: start a run on the page of a ", link(visit.link("streams"), "stream"), ".")
    body = text(
        (
            element("h1", "Overview ", badge(monitor["status"])),
            _health(health),
            section("What is wrong", _problems(visit, monitor["problems"])),
            section("The last day", _tiles(visit, monitor["counts"])),
            section("Last runs", run_table(visit, runs["items"], empty)),
            section("Queues", _queues(monitor["queues"])) if monitor["queues"] else None,
        )
    )
    return View("Overview", body, "")


def _health(health: Mapping[str, str]) -> Markup:
    return element("p", quiet("database "), badge(health["database"]), quiet(" bus "), badge(health["bus"]))


def _problems(visit: Visit, problems: list[Mapping[str, Any]]) -> Markup:
    heads = ("Kind", "Of", "Since", "What", "Next")
    rows = [
        (
            element("span", each["kind"], class_="bad" if each["severity"] == "error" else "quiet"),
            _subject(visit, each["kind"], each["subject"]),
            moment(each["since"], visit.now),
            each["what"],
            _spoken(each["next"]),
        )
        for each in problems
    ]
    return table(heads, rows, "Nothing.")


def _spoken(sentence: str) -> Content:
    """What stands between backticks is code."""
    return [code(part) if number % 2 else part for number, part in enumerate(sentence.split("`"))]


def _subject(visit: Visit, kind: str, subject: str) -> Content:
    """The way to what is wrong."""
    if kind in _OF_STREAMS and "." in subject:
        return link(visit.link("streams", *subject.split(".", 1)), subject)
    if kind in _OF_SCHEDULES:
        return link(visit.link("schedules", subject), subject)
    if kind in _OF_ENDPOINTS:
        return link(visit.link("endpoints", subject), subject)
    if kind == "dead_letters":
        return link(visit.link("dead-letters", state="open"), subject)
    if kind in _OF_NOTIFICATIONS:
        return link(visit.link("notifications"), subject)
    return subject


def _tiles(visit: Visit, counts: Mapping[str, Any]) -> Markup:
    since = (visit.now - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    tiles: list[Content] = []
    for kind, name, states in (("runs", "runs", _RUN_STATES), ("deliveries", "deliveries", _DELIVERY_STATES)):
        tiles += [
            _tile(visit.link(kind, state=state, since=since), counts[name][state], f"{name} {state}")
            for state in states
            if counts[name].get(state)
        ]
    if counts["dead_letters"]:
        tiles.append(_tile(visit.link("dead-letters", state="open"), counts["dead_letters"], "dead letters"))
    if not tiles:
        return element("p", "Nothing came and nothing ran.", class_="quiet")
    return element("div", tiles, class_="tiles")


def _tile(where: str, number: int, words: str) -> Markup:
    return link(where, element("b", number), words)


def _queues(queues: Mapping[str, int]) -> Markup:
    rows = [(element("code", name), depth) for name, depth in sorted(queues.items()) if depth]
    return table(("Queue", "Messages#"), rows, "All are empty.")
