"""Receipts as a receiver makes them, put on the bus of a spine: for tests of what follows."""

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.spine import Spine

from headwater.bus.port import Message
from headwater.contracts import webhook
from headwater.contracts.webhook import Receipt
from headwater.model.ids import derive_id, derive_key_id, to_millisecond


def receipt(
    endpoint: str,
    body: Any = b"",
    *,
    key: str | None = None,
    kind: str | None = None,
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),),
    url: str = "http://hooks.example/in/default/orders",
    ago_s: float = 0.0,
) -> Receipt:
    """A receipt of the tenant `default`; a body that is no bytes is written as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    at = to_millisecond(datetime.now(UTC) - timedelta(seconds=ago_s))
    receipt_id = derive_id(at, "receipt", uuid.uuid4())
    return Receipt(
        id=receipt_id if key is None else derive_key_id("delivery", "default", endpoint, key),
        receipt_id=receipt_id,
        received_at=at,
        tenant="default",
        endpoint=endpoint,
        method="POST",
        url=url,
        remote="192.0.2.1",
        headers=[list(pair) for pair in headers],
        body=raw,
        verification={"scheme": "github"},
        type=kind,
        key=key,
    )


async def hand_in(spine: Spine, *receipts: Receipt) -> None:
    """Publish the receipts, one after the other."""
    for each in receipts:
        await spine.bus.publish(
            Message(webhook.TYPE, str(each.receipt_id), each.body, webhook.to_headers(each))
        )


async def settled(spine: Spine, count: int) -> list[Any]:
    """The deliveries, oldest first, once there are `count` of them."""
    await spine.until("SELECT 1 FROM delivery HAVING count(*) >= $1", count)
    return await spine.fetch("SELECT * FROM delivery ORDER BY received_at, id")
