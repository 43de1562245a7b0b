"""Backfills: a past window of a schedule run again; counted before, watched, cancelled."""

from collections.abc import Mapping
from typing import Any, Final, get_args

from headwater.control.backfill_door import BackfillState
from headwater.control.problems import Refusal
from headwater.control.ui.markup import Content, Markup, element, text
from headwater.control.ui.parts import (
    badge,
    code,
    facts,
    item,
    json_block,
    link,
    moment,
    note,
    pager,
    quiet,
    table,
    tiles,
)
from headwater.control.ui.sheet import ONCE, Sheet, asked, confirmed, filters, hidden, in_utc, told
from headwater.control.ui.visit import Given, View, Visit

STATES: Final = get_args(BackfillState)
_WINDOW: Final = ("from", "to", "force")
_REFRESH_S: Final = 5


async def show_form(visit: Visit) -> View:
    """Which window; then what it would make, and the form that makes it."""
    name = visit.path["schedule"]
    schedule = await visit.get("/schedules/{schedule}", {"schedule": name})
    given = visit.query if visit.failed is None else visit.failed.given
    body = text(
        (
            element("h1", "Backfill of ", link(visit.link("schedules", name), name)),
            element("p", schedule["timing"] or "It is only started by hand.", class_="quiet"),
            filters(
                visit,
                asked(visit, "from", "From (UTC)", kind="datetime-local", value=given.get("from")),
                asked(visit, "to", "To, without it (UTC)", kind="datetime-local", value=given.get("to")),
                asked(
                    visit, "force", "Also what has its runs", ("yes",), value=given.get("force"), other="no"
                ),
                button="Count",
                at=_address(visit),
            ),
            await _counted(visit, given) if given.get("from") and given.get("to") else None,
        )
    )
    return View(f"Backfill of {name}", body, "schedules")


def _address(visit: Visit) -> str:
    return visit.link("schedules", visit.path["schedule"], "backfill")


def _body(given: Given) -> dict[str, Any]:
    return {
        "from": in_utc(given.get("from", "")),
        "to": in_utc(given.get("to", "")),
        "force": given.get("force") == "yes",
    }


async def _counted(visit: Visit, given: Given) -> Markup:
    at = {"schedule": visit.path["schedule"]}
    try:
        counted = await visit.post("/schedules/{schedule}/backfill", at, {**_body(given), "dry_run": True})
    except Refusal as refusal:
        return note("; ".join(map(told, refusal.faults)) or refusal.detail, tone="bad")
    numbers = {
        "due times": counted["boundaries"],
        "have their runs": counted["existing"],
        "runs to make": counted["runs"],
    }
    span = facts(
        ("first", moment(counted["first_at"], visit.now)), ("last", moment(counted["last_at"], visit.now))
    )
    return text((tiles(numbers), span, _make_form(visit, given, counted["runs"])))


def _make_form(visit: Visit, given: Given, count: int) -> Content:
    if not visit.may("run") or not count:
        return None
    sheet = Sheet(visit, "backfill", at=_address(visit))
    return sheet.whole(
        f"Make {count} runs",
        [hidden(name, given[name]) for name in _WINDOW if given.get(name)],
        sheet.text("parallel", "Due times under way at once", "1", size=6),
        sheet.text(
            "rate", "At most", hint="Due times, such as 30/m or 100/h; empty: as fast as they end.", size=10
        ),
        look="main",
        once=True,
    )


async def backfill(visit: Visit, given: Given) -> str:
    """Make it, and go where its progress shows."""
    body = _body(given) | {name: given[name] for name in ("parallel", "rate") if given.get(name)}
    at = {"schedule": visit.path["schedule"]}
    made = await visit.post("/schedules/{schedule}/backfill", at, body, given.get(ONCE))
    return visit.link("backfills", made["id"], done="backfill")


async def show_backfills(visit: Visit) -> View:
    """Newest first."""
    chosen: dict[str, Any] = {name: visit.query.get(name) for name in ("schedule", "state", "cursor")}
    found = await visit.get("/backfills", **chosen)
    rows = [
        (
            item(visit, "backfills", each["id"]),
            badge(each["state"]),
            link(visit.link("schedules", each["schedule"]), each["schedule"]),
            moment(each["from"], visit.now),
            moment(each["to"], visit.now),
            f"{each['progress']['done_share']:.0%}",
            each["created_by"],
        )
        for each in found["items"]
    ]
    heads = ("Backfill", "State", "Schedule", "From", "To", "Done#", "By")
    empty = ("There is none. Ask for one on the page of a ", link(visit.link("schedules"), "schedule"), ".")
    chooser = filters(visit, asked(visit, "schedule", "Schedule"), asked(visit, "state", "State", STATES))
    body = text((element("h1", "Backfills"), chooser, table(heads, rows, empty), pager(visit, found["next"])))
    return View("Backfills", body, "schedules")


async def show_backfill(visit: Visit) -> View:
    """One, and how far it is; looked at again until it has ended."""
    found = await visit.get("/backfills/{backfill}", {"backfill": visit.path["backfill"]})
    is_running = found["state"] == "running"
    is_watched = is_running and visit.failed is None and "ask" not in visit.query
    cancel = None
    if is_running and visit.may("run"):
        words = element("p", "Its runs that have not ended are cancelled too; what was loaded stays.")
        sure = Sheet(visit, "cancel").whole("Cancel it", words, look="grave")
        cancel = element("div", confirmed(visit, "cancel", "Cancel …", sure), class_="acts")
    progress = {name: number for name, number in found["progress"].items() if name != "done_share"}
    body = text(
        (
            element("h1", "Backfill of ", found["schedule"], " ", badge(found["state"])),
            cancel,
            quiet(f"This page looks again every {_REFRESH_S} s.") if is_watched else None,
            note(found["reason"], tone="bad") if found["reason"] else None,
            tiles(progress),
            element("h2", "Its runs"),
            tiles(found["runs"]),
            element("p", link(visit.link("runs", backfill=found["id"]), "All its runs")),
            _facts(visit, found),
        )
    )
    return View("Backfill", body, "schedules", refresh_s=_REFRESH_S if is_watched else None)


def _facts(visit: Visit, found: Mapping[str, Any]) -> Markup:
    rate, finished = found["rate"], found["finished_at"]
    return facts(
        ("id", code(found["id"])),
        ("schedule", link(visit.link("schedules", found["schedule"]), found["schedule"])),
        ("from", moment(found["from"], visit.now)),
        ("to", moment(found["to"], visit.now)),
        ("also what has its runs", "yes" if found["force"] else None),
        ("due times at once", found["parallel"]),
        ("rate", None if rate is None else f"{rate:g} a minute"),
        ("parameters", json_block(found["parameters"]) if found["parameters"] else None),
        ("by", found["created_by"]),
        ("made", moment(found["created_at"], visit.now)),
        ("finished", None if finished is None else moment(finished, visit.now)),
    )


async def cancel(visit: Visit, _: Given) -> str:
    """End it, and the runs of it that have not ended."""
    await visit.post("/backfills/{backfill}/cancel", {"backfill": visit.path["backfill"]})
    return visit.link("backfills", visit.path["backfill"], done="backfill-cancelled")
