"""Replays of many deliveries: asked for by the filter of a list, counted before, watched, cancelled."""

from collections.abc import Mapping
from typing import Any, Final

from headwater.control.problems import Refusal
from headwater.control.ui.markup import Content, Markup, element, text
from headwater.control.ui.parts import (
    badge,
    code,
    facts,
    item,
    link,
    moment,
    note,
    pager,
    quiet,
    table,
    tiles,
)
from headwater.control.ui.sheet import ONCE, Sheet, confirmed, hidden, told
from headwater.control.ui.visit import Given, View, Visit

# What deliveries are found by, and done again by.
BY: Final = ("endpoint", "state", "type", "since", "until", "q", "header", "payload")
_FORM: Final = "replay"
_REFRESH_S: Final = 5


async def replay_form(visit: Visit) -> Content:
    """Below a filtered list: all that the filter means done again, counted before."""
    is_back = visit.failed is not None and visit.failed.form == _FORM
    given = visit.failed.given if visit.failed is not None else visit.query
    chosen = {name: given[name] for name in BY if given.get(name)}
    if not visit.may("run") or not chosen or chosen.get("state") == "accepted":
        return None
    if not is_back and visit.query.get("ask") != _FORM:
        where = visit.link("deliveries", **chosen, ask=_FORM)
        return element("p", link(where, "Do all of these again …"))
    try:
        counted = await visit.post("/deliveries/replay", body={**chosen, "dry_run": True})
    except Refusal as refusal:
        return note("; ".join(map(told, refusal.faults)) or refusal.detail, tone="bad")
    sheet = Sheet(visit, _FORM)
    return sheet.whole(
        f"Do {counted['count']} deliveries again",
        element("p", "They are done again from their original bytes: ", _words(chosen), "."),
        tiles(counted["by_state"]),
        [hidden(name, value) for name, value in chosen.items()],
        sheet.text("rate", "At most so many a second", hint="Empty: as fast as it goes.", size=8),
        look="main",
        once=True,
    )


def _words(chosen: Mapping[str, str]) -> Markup:
    return text(
        [
            (", " if number else "", f"{name} ", code(value))
            for number, (name, value) in enumerate(chosen.items())
        ]
    )


async def replay_all(visit: Visit, given: Given) -> str:
    """Ask for it, and go where its progress shows."""
    body = {name: given[name] for name in (*BY, "rate") if given.get(name)}
    asked = await visit.post("/deliveries/replay", body=body, key=given.get(ONCE))
    return visit.link("replays", asked["id"], done="replay-all")


async def show_replays(visit: Visit) -> View:
    """Newest first."""
    found = await visit.get("/replays", cursor=visit.query.get("cursor"))
    rows = [
        (
            item(visit, "replays", each["id"]),
            badge(each["state"]),
            _words(_filter(each)),
            f"{each['settled']} of {each['count']}",
            each["requested_by"],
            moment(each["requested_at"], visit.now),
        )
        for each in found["items"]
    ]
    empty = (
        "None was asked for. Filter the ",
        link(visit.link("deliveries"), "deliveries"),
        " and do them again.",
    )
    heads = ("Replay", "State", "Of", "Settled#", "By", "Asked for")
    body = text((element("h1", "Replays"), table(heads, rows, empty), pager(visit, found["next"])))
    return View("Replays", body, "deliveries")


def _filter(replay: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        for name, value in replay["filter"].items()
        if value not in (None, [], "")
    }


async def show_replay(visit: Visit) -> View:
    """One request and how far it is; looked at again until it is finished."""
    replay = await visit.get("/replays/{replay}", {"replay": visit.path["replay"]})
    is_running = replay["state"] == "running"
    is_watched = is_running and visit.failed is None and "ask" not in visit.query
    cancel = None
    if is_running and visit.may("run"):
        sure = Sheet(visit, "cancel").whole(
            "Cancel the rest", element("p", "What was done stays; what waits is left out."), look="grave"
        )
        cancel = element("div", confirmed(visit, "cancel", "Cancel …", sure), class_="acts")
    rate, finished, cancelled = replay["rate"], replay["finished_at"], replay["cancelled_at"]
    body = text(
        (
            element("h1", "Replay of ", replay["count"], " deliveries ", badge(replay["state"])),
            cancel,
            quiet(f"This page looks again every {_REFRESH_S} s.") if is_watched else None,
            tiles({"settled": replay["settled"], **replay["counts"]}),
            facts(
                ("id", code(replay["id"])),
                ("of", _words(_filter(replay))),
                ("rate", None if rate is None else f"{rate:g} a second"),
                ("by", replay["requested_by"]),
                ("asked for", moment(replay["requested_at"], visit.now)),
                ("finished", None if finished is None else moment(finished, visit.now)),
                ("cancelled", None if cancelled is None else moment(cancelled, visit.now)),
            ),
            element("p", link(visit.link("replays"), "All replays")),
        )
    )
    return View("Replay", body, "deliveries", refresh_s=_REFRESH_S if is_watched else None)


async def cancel_replay(visit: Visit, _: Given) -> str:
    """Do no more of it."""
    await visit.post("/replays/{replay}/cancel", {"replay": visit.path["replay"]})
    return visit.link("replays", visit.path["replay"], done="replay-cancelled")
