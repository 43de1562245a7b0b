"""Refusals: what was turned away, and why."""

from collections.abc import Iterable, Mapping
from typing import Any

from headwater.control.ui.markup import Content, Markup, element, text
from headwater.control.ui.parts import code, facts, item, link, moment, note, pager, quiet, section, table
from headwater.control.ui.sheet import asked, filters
from headwater.control.ui.visit import View, Visit


async def show_refusals(visit: Visit) -> View:
    """Newest first."""
    names = ("endpoint", "reason", "since", "until", "cursor")
    chosen: dict[str, Any] = {name: visit.query.get(name) for name in names}
    found = await visit.get("/refusals", **chosen)
    body = text(
        (
            element("h1", "Refusals"),
            element("p", "A sample of the requests that were turned away: why, and what they looked like.",
                    class_="quiet"),
            filters(
                visit,
                asked(visit, "endpoint", "Endpoint"),
                asked(visit, "reason", "Reason"),
                asked(visit, "since", "Since (UTC)"),
            ),
            refusal_table(visit, found["items"], "No refusal is like that."),
            pager(visit, found["next"]),
        )
    )  # fmt: skip
    return View("Refusals", body, "refusals")


def refusal_table(visit: Visit, refusals: Iterable[Mapping[str, Any]], empty: Content) -> Markup:
    """Refusals as a list."""
    heads = ("Refusal", "Answer#", "Reason", "What it means", "Endpoint", "At")
    rows = [
        (
            item(visit, "refusals", each["id"]),
            each["status"],
            code(each["reason"]),
            (each["explanation"], " ", quiet(each["detail"]) if each["detail"] else None),
            link(visit.link("endpoints", each["endpoint"]), each["endpoint"]),
            moment(each["refused_at"], visit.now),
        )
        for each in refusals
    ]
    return table(heads, rows, empty)


async def show_refusal(visit: Visit) -> View:
    """One refusal. Values of headers are not kept, only their lengths."""
    refusal = await visit.get("/refusals/{refusal}", {"refusal": visit.path["refusal"]})
    skew = refusal["skew_s"]
    body = text(
        (
            element("h1", "Refused: ", refusal["reason"]),
            note(refusal["explanation"], " ", refusal["detail"]),
            facts(
                ("id", code(refusal["id"])),
                ("endpoint", link(visit.link("endpoints", refusal["endpoint"]), refusal["endpoint"])),
                ("at", moment(refusal["refused_at"], visit.now)),
                ("answer", refusal["status"]),
                ("request", code(f"{refusal['method']} {refusal['path']}")),
                ("from", refusal["remote"]),
                ("our time less the signed one", None if skew is None else f"{skew:g} s"),
                ("bytes", refusal["body_bytes"]),
                ("SHA-256", None if refusal["body_sha256"] is None else code(refusal["body_sha256"])),
            ),
            section("Headers", table(("Name", "Length#"), refusal["headers"], "It had none.")),
        )
    )
    return View("Refusal", body, "refusals")
