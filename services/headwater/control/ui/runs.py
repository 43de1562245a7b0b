"""Runs as a list, with its filters."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, get_args

from headwater.control.runs import State
from headwater.control.ui.markup import Content, Markup, element, text
from headwater.control.ui.parts import badge, code, duration, item, link, moment, pager, quiet, table
from headwater.control.ui.sheet import asked, filters
from headwater.control.ui.visit import View, Visit
from headwater.model.run import Trigger

STATES: Final = get_args(State)
_FILTERS: Final = ("state", "stream", "schedule", "trigger", "since", "until", "backfill", "source", "cursor")


async def show_runs(visit: Visit) -> View:
    """Newest first."""
    chosen: dict[str, Any] = {name: visit.query.get(name) for name in _FILTERS}
    runs = await visit.get("/runs", **chosen)
    empty = (
        "No run is like that.",
        " Start one on the page of a ", link(visit.link("streams"), "stream"), ", or with ",
        code("headwater runs start SOURCE.STREAM"), ".",
    )  # fmt: skip
    body = text(
        (
            element("h1", "Runs"),
            filters(
                visit,
                asked(visit, "state", "State", STATES),
                asked(visit, "stream", "Stream"),
                asked(visit, "schedule", "Schedule"),
                asked(visit, "trigger", "Trigger", [each.value for each in Trigger]),
                asked(visit, "since", "Since (UTC)"),
            ),
            run_table(visit, runs["items"], empty),
            pager(visit, runs["next"]),
        )
    )
    return View("Runs", body, "runs")


def run_table(visit: Visit, runs: Iterable[Mapping[str, Any]], empty: Content) -> Markup:
    """Runs as a list; what is known of each at a glance."""
    heads = ("Run", "State", "Stream", "Trigger", "Due", "Took#", "Received#", "New#", "Changed#")
    rows = [
        (
            item(visit, "runs", run["id"]),
            (badge(run["state"]), _why(run)),
            link(visit.link("streams", *run["stream"].split(".", 1)), run["stream"]),
            _trigger(visit, run),
            moment(run["due_at"], visit.now),
            duration(run["timings"]["ran_s"]),
            run["counts"]["received"],
            run["counts"]["inserted"],
            run["counts"]["updated"],
        )
        for run in runs
    ]
    return table(heads, rows, empty)


def _why(run: Mapping[str, Any]) -> Content:
    said = (
        run["skip_reason"]
        or run["waits_for"]
        or (run["error"] or {}).get("class")
        or ", ".join(run["warnings"])
    )
    return (" ", quiet(said)) if said else None


def _trigger(visit: Visit, run: Mapping[str, Any]) -> Content:
    if run["schedule"] is None:
        return run["trigger"]  # type: ignore[no-any-return]
    return (run["trigger"], " ", link(visit.link("schedules", run["schedule"]), run["schedule"]))
