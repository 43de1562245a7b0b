"""Schedules: the list, and one with its times, its runs and its numbers."""

from collections.abc import Mapping
from typing import Any, Final, get_args

from headwater.control.problems import Refusal
from headwater.control.schedules import State
from headwater.control.ui.markup import Content, Markup, element, text
from headwater.control.ui.parts import (
    badge,
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
from headwater.control.ui.runs import run_table
from headwater.control.ui.schedule_forms import schedule_forms
from headwater.control.ui.sheet import asked, filters
from headwater.control.ui.visit import View, Visit

STATES: Final = get_args(State)
_NEXT: Final = 10
_RUNS: Final = 10


async def show_schedules(visit: Visit) -> View:
    """By name."""
    names = ("state", "stream", "q", "cursor")
    chosen: dict[str, Any] = {name: visit.query.get(name) for name in names}
    found = await visit.get("/schedules", **chosen)
    empty = none_like_that("schedule", "schedules")
    heads = ("Schedule", "State", "When", "Streams", "Next", "Last run", "Failures in a row#")
    body = text(
        (
            element("h1", "Schedules"),
            new_way(visit, "schedule", "schedules"),
            filters(
                visit,
                asked(visit, "state", "State", STATES),
                asked(visit, "stream", "Stream"),
                asked(visit, "q", "Name or description has"),
            ),
            table(heads, [_row(visit, each) for each in found["items"]], empty),
            pager(visit, found["next"]),
        )
    )
    return View("Schedules", body, "schedules")


def _row(visit: Visit, schedule: Mapping[str, Any]) -> list[Content]:
    return [
        link(visit.link("schedules", schedule["name"]), schedule["name"]),
        badge(schedule["state"]),
        schedule["timing"] or quiet("only by hand"),
        [element("div", _stream(visit, name)) for name in schedule["streams"]],
        moment(schedule["next_at"], visit.now),
        _last(visit, schedule["last_run"]),
        schedule["consecutive_failures"],
    ]


def _stream(visit: Visit, name: str) -> Markup:
    return link(visit.link("streams", *name.split(".", 1)), name)


def _last(visit: Visit, run: Mapping[str, Any] | None) -> Content:
    if run is None:
        return quiet("–")
    at = run["finished_at"] or run["started_at"]
    return (
        link(visit.link("runs", run["id"]), badge(run["state"])),
        " ",
        moment(at, visit.now) if at else None,
    )


async def show_schedule(visit: Visit) -> View:
    """One schedule."""
    at = {"schedule": visit.path["schedule"]}
    schedule = await visit.get("/schedules/{schedule}", at)
    history = await visit.get("/schedules/{schedule}/history", at, limit=_RUNS)
    stats = await visit.get("/stats/schedules/{schedule}", at)
    name = schedule["name"]
    body = text(
        (
            element("h1", name, " ", badge(schedule["state"])),
            element("p", schedule["description"]) if schedule["description"] else None,
            _reason(schedule),
            schedule_forms(visit, schedule),
            _facts(visit, schedule),
            section("Next runs", await _next(visit, at)),
            section(
                "Last runs",
                run_table(visit, history["items"], "It has not run yet."),
                element("p", link(visit.link("runs", schedule=name), "All its runs")),
                element("p", link(visit.link("backfills", schedule=name), "Its backfills")),
            ),
            section("The last 30 days", _statistics(stats)),
            section("Since ever", tiles(schedule["counts"])),
            definition(visit, schedule["definition"]),
        )
    )
    return View(name, body, "schedules")


def _reason(schedule: Mapping[str, Any]) -> Content:
    if not schedule["state_reason"]:
        return None
    return note(schedule["state_reason"], tone="bad" if schedule["state"] in {"failed", "error"} else "")


def _facts(visit: Visit, schedule: Mapping[str, Any]) -> Markup:
    now, paused_at, until = visit.now, schedule["paused_at"], schedule["paused_until"]
    by = schedule["created_by"]
    return facts(
        ("when", schedule["timing"] or "only by hand"),
        ("streams", [element("div", _stream(visit, name)) for name in schedule["streams"]]),
        ("next", moment(schedule["next_at"], now)),
        ("last due", moment(schedule["last_due_at"], now)),
        ("last run", _last(visit, schedule["last_run"])),
        ("last success", moment(schedule["last_success_at"], now)),
        ("failures in a row", schedule["consecutive_failures"]),
        ("paused", None if paused_at is None else (moment(paused_at, now), " by ", schedule["paused_by"])),
        ("paused until", None if until is None else moment(until, now)),
        ("made", (moment(schedule["created_at"], now), f" by {by}" if by else None)),
        ("changed", moment(schedule["updated_at"], now)),
    )


async def _next(visit: Visit, at: Mapping[str, str]) -> Markup:
    try:
        preview = await visit.get("/schedules/{schedule}/next-runs", at, count=_NEXT)
    except Refusal as refusal:
        return note(refusal.detail, tone="bad")
    rows = [
        (each["at"].isoformat(), moment(each["utc"], visit.now), ", ".join(each["marks"]))
        for each in preview["next"]
    ]
    left_out = [
        (each["at"].isoformat(), moment(each["utc"], visit.now), each["calendar"] or "the schedule itself")
        for each in preview["excluded"]
    ]
    return text(
        (
            [note(warning) for warning in preview["warnings"]],
            table(("By its clock", "UTC", "Notes"), rows, "None by the clock."),
            folded(
                f"Left out by calendars ({len(left_out)})", table(("By its clock", "UTC", "By"), left_out, "")
            )
            if left_out
            else None,
        )
    )


def _statistics(stats: Mapping[str, Any]) -> Markup:
    durations, waits, rate = stats["durations"], stats["waits"], stats["success_rate"]
    return text(
        (
            tiles(stats["runs"]),
            facts(
                ("success", None if rate is None else f"{rate:.1%}"),
                ("took", _span(durations)),
                ("waited", None if waits["avg_s"] is None else f"{duration(waits['avg_s'])} on average"),
            ),
            tiles(stats["records"]),
        )
    )


def _span(durations: Mapping[str, float | None]) -> str | None:
    if durations["avg_s"] is None:
        return None
    return (
        f"{duration(durations['p50_s'])} (median), {duration(durations['p95_s'])} (95 %), "
        f"{duration(durations['max_s'])} (longest)"
    )
