"""Dead letters: messages that were given up, to look at, replay or discard."""

from collections.abc import Mapping
from typing import Any, Final, get_args

from headwater.control.dead_letters import State
from headwater.control.ui.markup import Content, Markup, element, text
from headwater.control.ui.parts import badge, block, code, facts, item, moment, note, pager, section, table
from headwater.control.ui.sheet import Sheet, asked, confirmed, filters
from headwater.control.ui.visit import Given, View, Visit

STATES: Final = get_args(State)


async def show_dead_letters(visit: Visit) -> View:
    """Newest first."""
    chosen: dict[str, Any] = {name: visit.query.get(name) for name in ("state", "queue", "cursor")}
    found = await visit.get("/dead-letters", **chosen)
    heads = ("Letter", "State", "Queue", "Type", "Why", "Attempts#", "Bytes#", "Given up")
    rows = [
        (
            item(visit, "dead-letters", each["id"]),
            badge(each["state"]),
            code(each["queue"]),
            code(each["type"]),
            each["reason"][:300],
            each["attempt"],
            each["body_bytes"],
            moment(each["dead_at"], visit.now),
        )
        for each in found["items"]
    ]
    body = text(
        (
            element("h1", "Dead letters"),
            filters(visit, asked(visit, "state", "State", STATES), asked(visit, "queue", "Queue", size=28)),
            table(heads, rows, "No message is like that: none waits for you."),
            pager(visit, found["next"]),
        )
    )
    return View("Dead letters", body, "dead-letters")


async def show_dead_letter(visit: Visit) -> View:
    """One message with all that is known of it."""
    letter = await visit.get("/dead-letters/{letter}", {"letter": visit.path["letter"]})
    body = text(
        (
            element("h1", "Dead letter ", badge(letter["state"])),
            _acts(visit) if letter["state"] == "open" else None,
            note(letter["reason"], tone="bad"),
            facts(
                ("id", code(letter["id"])),
                ("tenant", letter["tenant"] or "none: it names none"),
                ("queue", code(letter["queue"])),
                ("type", code(letter["type"])),
                ("message", code(letter["message_id"])),
                ("attempts", letter["attempt"]),
                ("given up", moment(letter["dead_at"], visit.now)),
                ("bytes", letter["body_bytes"]),
            ),
            section(
                "Headers",
                table(
                    ("Name", "Value"),
                    [(name, code(value)) for name, value in letter["headers"].items()],
                    "None.",
                ),
            ),
            section("Body", _body(letter)),
        )
    )
    return View("Dead letter", body, "dead-letters")


def _acts(visit: Visit) -> Markup:
    acts: list[Content] = []
    if visit.may("run"):
        acts.append(Sheet(visit, "replay").whole("Replay", style="bare"))
    if visit.may("write"):
        warned = element("p", "It is kept for a while as discarded, and never goes its way again.")
        sure = Sheet(visit, "discard").whole("Discard it for good", warned, look="grave")
        acts.append(confirmed(visit, "discard", "Discard …", sure))
    return element("div", acts, class_="acts")


def _body(letter: Mapping[str, Any]) -> Markup:
    if letter["body_text"] is not None:
        return block(letter["body_text"])
    return text(
        (element("p", "It is no UTF-8 text; in base64:", class_="quiet"), block(letter["body_base64"]))
    )


async def replay(visit: Visit, _: Given) -> str:
    """Let it go its way again; to the run, where one was started."""
    replayed = await visit.post("/dead-letters/{letter}/replay", {"letter": visit.path["letter"]})
    if replayed["run_id"] is not None:
        return visit.link("runs", replayed["run_id"], done="started")
    return visit.link("dead-letters", visit.path["letter"], done="replayed")


async def discard(visit: Visit, _: Given) -> str:
    await visit.post("/dead-letters/{letter}/discard", {"letter": visit.path["letter"]})
    return visit.link("dead-letters", visit.path["letter"], done="discarded")
