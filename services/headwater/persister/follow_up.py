"""What follows from a delivery in its own transaction: runs, and the event that tells of it (DESIGN.md §2.1)."""

from typing import Any

from headwater.bus.port import MAX_BODY_BYTES
from headwater.model.ids import derive_id
from headwater.model.run import Trigger
from headwater.model.topics import ATTRIBUTE_PREFIX, EXCHANGE, event_headers, routing_key
from headwater.persister.items import Item
from headwater.plugins.webhooks.effects import Event, StartedRun
from headwater.plugins.webhooks.parsing import header
from headwater.store import outbox, runs
from headwater.store.outbox import OutboxRow
from headwater.store.runs import NewRun


async def start_run(connection: Any, item: Item, run: StartedRun) -> None:
    """Insert the run; the same delivery (or replay) handled again is the same run."""
    receipt, replay = item.receipt, item.replay_number
    new = NewRun(
        tenant=receipt.tenant,
        source=run.source,
        stream=run.stream,
        due_at=item.requested_at or receipt.received_at,
        trigger=Trigger.WEBHOOK.value,
        key=f"delivery {receipt.receipt_id} {replay} {run.number}",
        mode=run.mode,
        parameters=run.parameters,
        started_by=f"endpoint {receipt.endpoint}, delivery {receipt.id}",
    )
    await runs.insert(connection, new)


async def tell(connection: Any, item: Item, event: Event) -> None:
    """Owe the event: CloudEvents headers, the raw body. A body over 1 MiB is not sent: its delivery names it."""
    receipt, replay = item.receipt, item.replay_number
    identifier = derive_id(receipt.received_at, "event", receipt.receipt_id, replay)
    headers = event_headers(
        receipt.tenant,
        identifier=str(receipt.id if not replay else identifier),
        kind=f"webhook.{event.type}",
        subject=f"deliveries/{receipt.id}",
        at=receipt.received_at,
        source=f"endpoints/{receipt.endpoint}",
    )
    content_type = header(receipt.headers, "content-type")
    if content_type and content_type.isascii() and content_type.isprintable():
        headers[f"{ATTRIBUTE_PREFIX}datacontenttype"] = content_type[:255]
    if replay:
        headers["headwater-replay"] = str(replay)
    body = receipt.body
    if len(body) > MAX_BODY_BYTES:
        headers["headwater-body"] = f"deliveries/{receipt.id}/raw"
        body = b""
    key = routing_key(receipt.tenant, "webhook", receipt.endpoint, event.type)
    await outbox.add(connection, OutboxRow(identifier, receipt.tenant, key, body, headers, exchange=EXCHANGE))
