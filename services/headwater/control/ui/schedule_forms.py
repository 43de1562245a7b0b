"""What can be done to a schedule, by its state."""

from collections.abc import Mapping
from typing import Any, Final

from headwater.control.ui.markup import Content, Markup, element
from headwater.control.ui.parts import folded, link
from headwater.control.ui.sheet import ONCE, Sheet, in_utc, json_object
from headwater.control.ui.streams import MODES
from headwater.control.ui.visit import Given, Visit

_MODES: Final = (("", "as the schedule says"), *MODES)
_TIMES: Final = frozenset({"cron", "crons", "interval", "once", "preset"})
_FORCES: Final = (("", "as the schedule says"), ("yes", "yes: rebuild the table"), ("no", "no"))


def schedule_forms(visit: Visit, schedule: Mapping[str, Any]) -> Markup:
    """The forms that the state allows and the key may send."""
    state, forms = schedule["state"], list[Content]()
    if visit.may("run"):
        forms.append(_folded(visit, "run", "Run now …", _run_form(visit)))
        if schedule["definition"].keys() & _TIMES:
            forms.append(link(visit.here("backfill"), "Backfill …"))
    if visit.may("write"):
        if state in {"active", "paused"}:
            title = "Pause …" if state == "active" else "Pause anew …"
            forms.append(_folded(visit, "pause", title, _pause_form(visit)))
        if state == "paused":
            forms.append(Sheet(visit, "resume").whole("Resume", style="bare"))
        if state in {"disabled", "failed"}:
            forms.append(Sheet(visit, "enable").whole("Enable", style="bare"))
        if state != "disabled":
            forms.append(_folded(visit, "disable", "Disable …", _disable_form(visit)))
        if schedule["consecutive_failures"]:
            forms.append(Sheet(visit, "reset-failures").whole("Reset failures", style="bare"))
    return element("div", forms, class_="acts")


def _folded(visit: Visit, name: str, title: str, form: Markup) -> Markup:
    return folded(title, form, is_open=visit.failed is not None and visit.failed.form == name)


def _run_form(visit: Visit) -> Markup:
    sheet = Sheet(visit, "run")
    return sheet.whole(
        "Run now",
        sheet.choice("mode", "Mode", _MODES),
        sheet.choice("force", "Force", _FORCES),
        sheet.area("parameters", "Parameters", hint="A JSON object; goes over the schedule's own.", rows=3),
        look="main",
        once=True,
    )


def _pause_form(visit: Visit) -> Markup:
    sheet = Sheet(visit, "pause")
    return sheet.whole(
        "Pause",
        sheet.text("note", "Why", size=40),
        sheet.text("until", "Until (UTC)", hint="Empty: until it is resumed.", kind="datetime-local"),
    )


def _disable_form(visit: Visit) -> Markup:
    sheet = Sheet(visit, "disable")
    return sheet.whole("Disable", sheet.text("note", "Why", size=40))


def _at(visit: Visit) -> dict[str, str]:
    return {"schedule": visit.path["schedule"]}


def _back(visit: Visit, done: str) -> str:
    return visit.link("schedules", visit.path["schedule"], done=done)


async def run(visit: Visit, given: Given) -> str:
    """Start a run of each of its streams; to its page where there is one."""
    force = {"yes": True, "no": False}.get(given.get("force", ""))
    body: dict[str, Any] = {"parameters": json_object(given, "parameters")}
    body |= {"mode": given["mode"]} if given.get("mode") else {}
    body |= {} if force is None else {"force": force}
    started = await visit.post("/schedules/{schedule}/run", _at(visit), body, given.get(ONCE))
    if len(started["runs"]) == 1:
        return visit.link("runs", started["id"], done="started")
    return _back(visit, "started-many")


async def pause(visit: Visit, given: Given) -> str:
    """Let it rest, until it is resumed or a time of UTC."""
    body = {"note": given.get("note") or None, "until": in_utc(given.get("until", "")) or None}
    await visit.post("/schedules/{schedule}/pause", _at(visit), body)
    return _back(visit, "paused")


async def resume(visit: Visit, _: Given) -> str:
    await visit.post("/schedules/{schedule}/resume", _at(visit))
    return _back(visit, "resumed")


async def enable(visit: Visit, _: Given) -> str:
    await visit.post("/schedules/{schedule}/enable", _at(visit))
    return _back(visit, "enabled")


async def disable(visit: Visit, given: Given) -> str:
    await visit.post("/schedules/{schedule}/disable", _at(visit), {"note": given.get("note") or None})
    return _back(visit, "disabled")


async def reset_failures(visit: Visit, _: Given) -> str:
    await visit.post("/schedules/{schedule}/reset-failures", _at(visit))
    return _back(visit, "reset")
