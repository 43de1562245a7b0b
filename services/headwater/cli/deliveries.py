"""Verbs of `refusals`, `deliveries` and `replays`: what came, what was turned away, what is done again."""

import argparse
import asyncio
import sys
from typing import Any

from headwater.cli.asking import Counter, Verb, given, moment, show, show_list
from headwater.cli.exits import Exit
from headwater.cli.faults import NotFound
from headwater.cli.printing import form_of
from headwater.control import deliveries, refusals, replays
from headwater.control.paging import ListQuery

_LOOK_S = 0.3


async def _list_refusals(chosen: argparse.Namespace, counter: Counter) -> int:
    query = given(
        refusals.RefusalsQuery,
        endpoint=chosen.endpoint,
        reason=chosen.reason,
        since=moment(chosen.since),
        until=moment(chosen.until),
        limit=chosen.limit,
    )
    items = await counter.listed(refusals.Refusal, refusals.list_refusals, query)
    columns = ("id", "endpoint", "refused_at", "status", "reason", "detail", "remote", "body_bytes")
    return show_list(chosen, columns, items, empty="nothing was refused")


async def _show_refusal(chosen: argparse.Namespace, counter: Counter) -> int:
    found = await counter.shown(refusals.Refusal, refusals.show_refusal, path={"refusal": chosen.id})
    return show(chosen, _with_headers(chosen, found))


async def _list_deliveries(chosen: argparse.Namespace, counter: Counter) -> int:
    query = given(
        deliveries.DeliveriesQuery,
        endpoint=chosen.endpoint,
        state=chosen.state,
        type=chosen.type,
        since=moment(chosen.since),
        until=moment(chosen.until),
        q=chosen.q,
        header=chosen.header,
        payload=chosen.payload,
        limit=chosen.limit,
    )
    items = await counter.listed(deliveries.Delivery, deliveries.list_deliveries, query)
    columns = (
        "id",
        "endpoint",
        "state",
        "received_at",
        "type",
        "provider_id",
        "body_bytes",
        "duplicates",
        "reason",
    )
    return show_list(
        chosen, columns, items, empty="no such deliveries; endpoints answer at /in/<tenant>/<endpoint>"
    )


async def _show_delivery(chosen: argparse.Namespace, counter: Counter) -> int:
    path = {"delivery": chosen.id}
    found = await counter.shown(deliveries.DeliveryDetail, deliveries.show_delivery, path=path)
    return show(chosen, _with_headers(chosen, found))


def _with_headers(chosen: argparse.Namespace, found: dict[str, Any]) -> dict[str, Any]:
    """For people: a line for each header, in wire order."""
    if form_of(chosen) != "table":
        return found
    return {**found, "headers": [{name: value} for name, value in found["headers"]]}


async def _raw_delivery(chosen: argparse.Namespace, counter: Counter) -> int:
    body = await counter.ask(deliveries.raw_delivery, path={"delivery": chosen.id})
    sys.stdout.buffer.write(body)
    sys.stdout.buffer.flush()
    return Exit.OK


async def _duplicates(chosen: argparse.Namespace, counter: Counter) -> int:
    value = await counter.ask(
        deliveries.list_duplicates, path={"delivery": chosen.id}, query=ListQuery(limit=500)
    )
    items = [deliveries.Duplicate.model_validate(each).model_dump(mode="python") for each in value["items"]]
    columns = ("receipt_id", "received_at", "is_conflict", "body_sha256")
    return show_list(chosen, columns, items, empty="it has no duplicates")


async def _replay(chosen: argparse.Namespace, counter: Counter) -> int:
    wanted = given(
        replays.ReplayFilter,
        ids=chosen.ids or None,
        endpoint=chosen.endpoint,
        state=chosen.state,
        type=chosen.type,
        since=moment(chosen.since),
        until=moment(chosen.until),
        q=chosen.q,
        header=chosen.header,
        payload=chosen.payload,
        all=chosen.all or None,
        rate=chosen.rate,
        limit=chosen.limit,
        dry_run=chosen.dry_run or None,
    )
    asked = await counter.shown(replays.Asked, replays.replay_deliveries, body=wanted)
    if chosen.ids and not asked["by_state"]:
        raise NotFound(
            "There are no such deliveries that are settled; `headwater deliveries list` shows their ids"
        )
    await counter.ring()
    if not chosen.wait or asked["id"] is None:
        return show(chosen, asked)
    return await _until_done(chosen, counter, str(asked["id"]))


async def _until_done(chosen: argparse.Namespace, counter: Counter, request: str) -> int:
    shows_progress = sys.stderr.isatty() and form_of(chosen) == "table"
    while True:
        found = await counter.shown(replays.Replay, replays.show_replay, path={"replay": request})
        if found["state"] != "running":
            break
        if shows_progress:
            sys.stderr.write(f"\r{found['settled']} of {found['count']} ")
            sys.stderr.flush()
        await asyncio.sleep(_LOOK_S)
    if shows_progress:
        sys.stderr.write("\r\x1b[K")
    show(chosen, found)
    return Exit.FAILURE if found["counts"].get("dead") or found["state"] == "cancelled" else Exit.OK


async def _list_replays(chosen: argparse.Namespace, counter: Counter) -> int:
    query = given(ListQuery, limit=chosen.limit)
    items = await counter.listed(replays.Replay, replays.list_replays, query)
    columns = ("id", "state", "requested_at", "count", "settled", "rate", "requested_by")
    return show_list(chosen, columns, items, empty="nothing was replayed")


def _one_replay(handler: Any) -> Verb:
    async def run(chosen: argparse.Namespace, counter: Counter) -> int:
        return show(chosen, await counter.shown(replays.Replay, handler, path={"replay": chosen.id}))

    return run


REFUSALS: dict[str, Verb] = {"list": _list_refusals, "show": _show_refusal}
DELIVERIES: dict[str, Verb] = {
    "list": _list_deliveries,
    "show": _show_delivery,
    "raw": _raw_delivery,
    "duplicates": _duplicates,
    "replay": _replay,
}
REPLAYS: dict[str, Verb] = {
    "list": _list_replays,
    "show": _one_replay(replays.show_replay),
    "cancel": _one_replay(replays.cancel_replay),
}
