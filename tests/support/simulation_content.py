"""What goes through the rooms in a simulation: the API's first records, webhooks, and messages that nobody can read."""

import json
import random
from datetime import UTC, datetime
from typing import Any

from tests.support.simulation_api import Shelf
from tests.support.simulation_plan import STREAMS, Plan

from headwater.contracts.webhook import Receipt
from headwater.model.ids import derive_id, derive_key_id, to_millisecond

START = datetime(
    2025, 12, 31, 23, 59, 30, tzinfo=UTC
)  # so that runs and walks pass from one partition to the next

_NOBODY = "01890000-0000-8000-8000-000000000000"
POISON: list[tuple[str, bytes, dict[str, str]]] = [
    ("page.due", b"no json", {}),
    ("batch.ready", b'{"run_id": 7}', {}),
    ("run.close", b"[]", {}),
    ("run.due", b"\xff\xfe", {}),
    ("webhook.received", b"{}", {"tenant": "default"}),
    ("page.due", json.dumps({"run_id": _NOBODY, "attempt": 1, "tenant": "default", "stream_version": _NOBODY,
                             "number": 1, "token": {"place": {}}}).encode(), {}),
    ("run.due", json.dumps({"run_id": _NOBODY, "attempt": 1, "tenant": "x", "stream_version": _NOBODY}).encode(), {}),
]  # fmt: skip


def shelves_for(plan: Plan) -> dict[str, Shelf]:
    draw = random.Random(f"shelves {plan.seed}")
    shelves = {}
    for name, (_, _, paging, mode) in STREAMS.items():
        shelf = Shelf(name, paging, is_marked=mode == "append")
        shelf.add(plan.first_records[name], "first")
        if plan.has_bad and draw.random() < 0.5:
            add_bad(shelf, draw)
            shelf.add(2, "first")
        shelves[name] = shelf
    return shelves


def add_bad(shelf: Shelf, draw: random.Random) -> None:
    kinds: list[Any] = [{"id": 0, "note": "a nul: \0"}]
    if not shelf.is_marked:
        kinds.append({"note": "without its key"})
    if shelf.paging == "offset":
        kinds.append("no object")
    shelf.add_bad(draw.choice(kinds))


def receipt_for(request: dict[str, Any], now: datetime) -> Receipt:
    """What the receiver makes of a request that it accepts."""
    endpoint, key = request["endpoint"], request["provider_id"]
    receipt_id = derive_id(now, "receipt", "default", endpoint, now.isoformat(), request["number"])
    return Receipt(
        id=receipt_id if key is None else derive_key_id("delivery", "default", endpoint, key),
        receipt_id=receipt_id,
        received_at=to_millisecond(now),
        tenant="default",
        endpoint=endpoint,
        method="POST",
        url=f"http://x/in/default/{endpoint}",
        remote=None,
        headers=[["X-GitHub-Event", "sale"]],
        body=body_of(request),
        verification={"scheme": "github"},
        type="sale",
        key=key,
    )


def body_of(request: dict[str, Any]) -> bytes:
    """The body of one kind of webhook."""
    number, sku = request["number"], request["sku"]
    one = {"sku": sku, "number": number, "text": f"webhook {number}"}
    match request["kind"]:
        case "list":
            return json.dumps([one, {**one, "sku": sku + 10}]).encode()
        case "mixed":
            return json.dumps([one, 7]).encode()
        case "no json":
            return b"{sku: " + str(number).encode()
        case "no object":
            return b"[7]"
        case "large":
            return json.dumps({**one, "text": "x" * 3000}).encode()
        case _:
            return json.dumps(one).encode()
