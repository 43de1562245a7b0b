"""One run with everything that is known of it; cancelling it, running it again."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from headwater.control.ui.markup import Content, Markup, element, text
from headwater.control.ui.parts import (
    badge,
    block,
    code,
    duration,
    facts,
    folded,
    json_block,
    link,
    moment,
    note,
    pager,
    quiet,
    section,
    short,
    table,
    tiles,
)
from headwater.control.ui.sheet import ONCE, Sheet, confirmed
from headwater.control.ui.visit import Given, View, Visit
from headwater.model.run import RunState

_REFRESH_S: Final = 5
_PAGES: Final = 50


async def show_run(visit: Visit) -> View:
    """Everything of one run; looked at again every few seconds until it has ended."""
    at = {"run": visit.path["run"]}
    run = await visit.get("/runs/{run}", at)
    pages = await visit.get("/runs/{run}/pages", at, limit=_PAGES, cursor=visit.query.get("cursor"))
    is_final = RunState(run["state"]).is_final
    is_watched = not is_final and visit.failed is None and not visit.query.keys() & {"ask", "cursor"}
    body = text(
        (
            element("h1", "Run of ", run["stream"], " ", badge(run["state"])),
            _acts(visit, is_final=is_final) if visit.may("run") else None,
            quiet(f"This page looks again every {_REFRESH_S} s.") if is_watched else None,
            _error(run),
            _facts(visit, run),
            section("Counts", tiles(run["counts"])),
            _attempts(visit, run),
            await _rejected(visit, at) if run["counts"]["rejected"] else None,
            section("Pages", _pages(visit, pages["items"]), pager(visit, pages["next"])),
        )
    )
    return View(f"Run {short(run['id'])}", body, "runs", refresh_s=_REFRESH_S if is_watched else None)


def _acts(visit: Visit, *, is_final: bool) -> Markup:
    if is_final:
        return element(
            "div", Sheet(visit, "rerun").whole("Run again", style="bare", once=True), class_="acts"
        )
    sure = Sheet(visit, "cancel").whole(
        "Cancel this run", element("p", "What was loaded stays; nothing more is."), look="grave"
    )
    return element("div", confirmed(visit, "cancel", "Cancel …", sure), class_="acts")


def _error(run: Mapping[str, Any]) -> Content:
    told: list[Content] = []
    if run["error"] is not None:
        told.append(note(element("b", run["error"]["class"]), " ", run["error"]["message"], tone="bad"))
    if run["warnings"]:
        told.append(note("Warnings: ", ", ".join(run["warnings"])))
    return told


def _facts(visit: Visit, run: Mapping[str, Any]) -> Markup:
    now, timings = visit.now, run["timings"]
    schedule, backfill = run["schedule"], run["backfill_id"]
    return facts(
        ("id", code(run["id"])),
        ("stream", link(visit.link("streams", *run["stream"].split(".", 1)), run["stream"])),
        ("schedule", None if schedule is None else link(visit.link("schedules", schedule), schedule)),
        ("trigger", run["trigger"]),
        ("started by", run["started_by"]),
        ("ended by", run["ended_by"]),
        ("mode", run["mode"] + (", force" if run["force"] else "")),
        ("parameters", json_block(run["parameters"]) if run["parameters"] else None),
        ("window", json_block(run["window"]) if run["window"] else None),
        ("attempt", f"{run['attempt']} of {run['attempts_max']}"),
        ("generation", run["generation"] or None),
        ("skipped because", run["skip_reason"]),
        ("waits for", run["waits_for"]),
        ("parked until", _known(run["parked_until"], now)),
        ("stopped by", run["stop_reason"]),
        ("due", moment(run["due_at"], now)),
        ("made", moment(timings["created_at"], now)),
        ("admitted", _known(timings["admitted_at"], now)),
        ("started", _known(timings["started_at"], now)),
        ("finished", _known(timings["finished_at"], now)),
        ("waited", None if timings["waited_s"] is None else duration(timings["waited_s"])),
        ("took", None if timings["ran_s"] is None else duration(timings["ran_s"])),
        ("deadline", _known(run["deadline_at"], now)),
        (
            "backfill",
            None if backfill is None else link(visit.link("backfills", backfill), code(backfill)),
        ),
        ("stream's version", None if run["stream_version"] is None else code(run["stream_version"])),
    )


def _known(at: datetime | None, now: datetime) -> Content:
    return None if at is None else moment(at, now)


def _attempts(visit: Visit, run: Mapping[str, Any]) -> Content:
    if not run["attempts"]:
        return None
    rows = [
        (
            each["attempt"],
            (element("b", each["error"]["class"]), " ", each["error"]["message"]),
            moment(each["failed_at"], visit.now),
            moment(each["again_at"], visit.now),
        )
        for each in run["attempts"]
    ]
    return section("Failed attempts", table(("Attempt#", "Why", "Failed", "Again"), rows, ""))


async def _rejected(visit: Visit, at: Mapping[str, str]) -> Markup:
    report = await visit.get("/runs/{run}/report", at)
    rows = [
        (f"{each['page']}.{each['position']}", each["reason"], block(each["record"][:2000]))
        for each in report["rejected"]
    ]
    title = f"Rejected records ({report['rejected_count']})"
    return section(title, table(("Place", "Why", "Record"), rows, "They are kept no more."))


def _pages(visit: Visit, pages: Iterable[Mapping[str, Any]]) -> Markup:
    heads = (
        "Page#",
        "Walk#",
        "Attempt#",
        "Status#",
        "Received#",
        "Rejected#",
        "Bytes#",
        "Begun",
        "Settled",
        "Ended by",
    )
    rows = [
        (
            page["number"],
            page["walk"],
            page["attempt"],
            page["status"],
            page["received"],
            page["rejected"],
            page["body_bytes"],
            moment(page["begun_at"], visit.now),
            moment(page["settled_at"], visit.now),
            (
                page["stop_reason"],
                None if page["sample"] is None else folded("answer", block(page["sample"])),
            ),
        )
        for page in pages
    ]
    return table(heads, rows, "No page was asked for yet.")


async def cancel(visit: Visit, _: Given) -> str:
    """Cancel the run."""
    await visit.post("/runs/{run}/cancel", {"run": visit.path["run"]})
    return visit.link("runs", visit.path["run"], done="cancelled")


async def rerun(visit: Visit, given: Given) -> str:
    """Run it again, and go to the new one."""
    started = await visit.post("/runs/{run}/rerun", {"run": visit.path["run"]}, key=given.get(ONCE))
    return visit.link("runs", started["id"], done="started")
