"""Deliveries: what came in, its bytes as text, and what became of it."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, get_args

from headwater.control.deliveries import State
from headwater.control.route import Reply
from headwater.control.ui.markup import Content, Markup, element, text
from headwater.control.ui.parts import (
    badge,
    block,
    code,
    facts,
    item,
    link,
    moment,
    note,
    pager,
    quiet,
    section,
    short,
    table,
)
from headwater.control.ui.replays import replay_form
from headwater.control.ui.sheet import ONCE, Sheet, asked, filters
from headwater.control.ui.visit import Given, View, Visit

STATES: Final = get_args(State)
_FILTERS: Final = ("endpoint", "state", "type", "since", "until", "q", "header", "payload", "cursor")
_DUPLICATES: Final = 20
_SETTLED: Final = frozenset({"done", "filtered", "dead"})


async def show_deliveries(visit: Visit) -> View:
    """Newest first."""
    chosen: dict[str, Any] = {name: visit.query.get(name) for name in _FILTERS}
    found = await visit.get("/deliveries", **chosen)
    body = text(
        (
            element("h1", "Deliveries"),
            filters(
                visit,
                asked(visit, "endpoint", "Endpoint"),
                asked(visit, "state", "State", STATES),
                asked(visit, "type", "Type"),
                asked(visit, "since", "Since (UTC)"),
                asked(visit, "q", "Id, or a text in the body", size=24),
            ),
            await replay_form(visit),
            delivery_table(visit, found["items"], _none_yet(visit)),
            pager(visit, found["next"]),
            element("p", link(visit.link("replays"), "Replays that were asked for")),
        )
    )
    return View("Deliveries", body, "deliveries")


def _none_yet(visit: Visit) -> Content:
    return ("No delivery is like that. What was turned away stands among the ",
            link(visit.link("refusals"), "refusals"), "; senders post to the path of an ",
            link(visit.link("endpoints"), "endpoint"), ".")  # fmt: skip


def delivery_table(visit: Visit, deliveries: Iterable[Mapping[str, Any]], empty: Content) -> Markup:
    """Deliveries as a list."""
    heads = ("Delivery", "State", "Endpoint", "Type", "Received", "Bytes#", "Duplicates#", "Replays#")
    rows = [
        (
            item(visit, "deliveries", each["receipt_id"]),
            (badge(each["state"]), " ", quiet(each["reason"][:200]) if each["reason"] else None),
            link(visit.link("endpoints", each["endpoint"]), each["endpoint"]),
            each["type"],
            moment(each["received_at"], visit.now),
            each["body_bytes"],
            each["duplicates"],
            each["replays"],
        )
        for each in deliveries
    ]
    return table(heads, rows, empty)


async def show_delivery(visit: Visit) -> View:
    """One delivery: its headers and body as text."""
    at = {"delivery": visit.path["delivery"]}
    delivery = await visit.get("/deliveries/{delivery}", at)
    duplicates = await visit.get("/deliveries/{delivery}/duplicates", at, limit=_DUPLICATES)
    body = text(
        (
            element("h1", "Delivery to ", delivery["endpoint"], " ", badge(delivery["state"])),
            await _replay_form(visit, delivery),
            note(delivery["reason"], tone="bad" if delivery["state"] == "dead" else "")
            if delivery["reason"]
            else None,
            note("The body: ", delivery["parse_fault"]) if delivery["parse_fault"] else None,
            _facts(visit, delivery),
            section("Headers", _headers(delivery["headers"])),
            section("Body", _body(visit, delivery)),
            section("Duplicates", _duplicates(visit, duplicates["items"]))
            if delivery["duplicates"]
            else None,
            await _replays(visit, delivery),
        )
    )
    return View(f"Delivery {short(delivery['receipt_id'])}", body, "deliveries")


async def _replay_form(visit: Visit, delivery: Mapping[str, Any]) -> Content:
    """Of several with one id the API does the newest again: the form stands on its page alone."""
    if not visit.may("run") or delivery["state"] not in _SETTLED:
        return None
    newest = await visit.get("/deliveries/{delivery}", {"delivery": str(delivery["id"])})
    if newest["receipt_id"] != delivery["receipt_id"]:
        return None
    return element("div", Sheet(visit, "replay").whole("Do it again", style="bare", once=True), class_="acts")


def _facts(visit: Visit, delivery: Mapping[str, Any]) -> Markup:
    now, verified = visit.now, delivery["verification"]
    proof = [verified["scheme"]]
    if verified["secret"] is not None:
        proof.append(f"by secret {verified['secret']}")
    settled, replayed = delivery["settled_at"], delivery["replayed_at"]
    return facts(
        ("id", code(delivery["id"])),
        ("receipt", code(delivery["receipt_id"])),
        ("provider's id", None if delivery["provider_id"] is None else code(delivery["provider_id"])),
        ("endpoint", link(visit.link("endpoints", delivery["endpoint"]), delivery["endpoint"])),
        ("type", delivery["type"]),
        ("received", moment(delivery["received_at"], now)),
        ("settled", None if settled is None else moment(settled, now)),
        ("from", delivery["remote"]),
        ("request", code(f"{delivery['method']} {delivery['url']}")),
        ("verified", " ".join(filter(None, proof))),
        ("read as", delivery["parsed_as"]),
        ("bytes", delivery["body_bytes"]),
        ("SHA-256", code(delivery["body_sha256"])),
        ("duplicates", delivery["duplicates"] or None),
        ("replayed", None if replayed is None else moment(replayed, now)),
    )


def _headers(headers: Iterable[tuple[str, str]]) -> Markup:
    return table(("Name", "Value"), [(name, code(value)) for name, value in headers], "It had none.")


def _body(visit: Visit, delivery: Mapping[str, Any]) -> Markup:
    exact = element("p", link(visit.here("raw"), "Download the exact bytes"))
    if delivery["body_text"] is None:
        why = "It is no UTF-8 text, or longer than 64 KiB."
        return text((element("p", why, class_="quiet"), exact))
    if not delivery["body_text"]:
        return element("p", "It is empty.", class_="quiet")
    return text((block(delivery["body_text"]), exact))


def _duplicates(visit: Visit, duplicates: Iterable[Mapping[str, Any]]) -> Markup:
    rows = [
        (
            code(each["receipt_id"]),
            moment(each["received_at"], visit.now),
            element("span", "other bytes", class_="bad") if each["is_conflict"] else "the same bytes",
        )
        for each in duplicates
    ]
    return table(("Receipt", "Received", "Body"), rows, "None.")


async def _replays(visit: Visit, delivery: Mapping[str, Any]) -> Content:
    if not delivery["replays"]:
        return None
    found = await visit.get("/deliveries/{delivery}/replays", {"delivery": str(delivery["id"])})
    rows = [
        (each["number"], badge(each["state"]), each["reason"], each["requested_by"],
         moment(each["requested_at"], visit.now), moment(each["settled_at"], visit.now))
        for each in found["items"]
    ]  # fmt: skip
    return section("Replays", table(("Number#", "State", "Why", "By", "Asked for", "Settled"), rows, "None."))


async def raw(visit: Visit) -> Reply:
    """The exact bytes, as a file."""
    return await visit.raw("/deliveries/{delivery}/raw", {"delivery": visit.path["delivery"]})


async def replay(visit: Visit, given: Given) -> str:
    """Do it again from its original bytes."""
    delivery = await visit.get("/deliveries/{delivery}", {"delivery": visit.path["delivery"]})
    at = {"delivery": str(delivery["id"])}
    await visit.post("/deliveries/{delivery}/replay", at, key=given.get(ONCE))
    return visit.link("deliveries", visit.path["delivery"], done="replay")
