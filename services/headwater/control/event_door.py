"""Events over AMQP: `event.<endpoint>` on `headwater.in` is a delivery of that endpoint (DESIGN.md §5, AMQP).

The broker has verified who publishes, so no signature is asked for. The message id is the identity: the same id again
is a mark on the first delivery. From here on it goes the way of every webhook: the message is owed by the transaction
that took it.
"""

import hashlib
import os
from datetime import datetime
from typing import Any

from headwater.bus.port import Message
from headwater.contracts import webhook
from headwater.contracts.endpoint import Endpoint
from headwater.contracts.webhook import Receipt
from headwater.model.errors import ConfigError, Reject
from headwater.model.ids import derive_id, derive_key_id, to_millisecond
from headwater.model.topics import ATTRIBUTE_PREFIX
from headwater.plugins.signatures.request import SignedRequest
from headwater.plugins.webhooks.facts import compile_facts
from headwater.plugins.webhooks.schemes import scheme_of
from headwater.store import config, endpoints, idempotency, ordering, outbox, payloads
from headwater.store.endpoints import Count
from headwater.store.outbox import OutboxRow

PREFIX = "event."
METHOD = "AMQP"
MAX_HEADERS_BYTES = 48 * 1024  # with the rest of the envelope within a message's header limit
MAX_BODY_BYTES = 1024 * 1024  # larger ones travel by reference
SLOT_S = 300


async def hand_in(
    connection: Any, tenant: str, message: Message, now: datetime, *, is_replay: bool = False
) -> None:
    """Take the event in the caller's transaction (ring the bell after it). Raises: Reject for what nobody takes.

    `is_replay`: from a dead letter, under the API's role, which neither counts nor puts anything into an order.
    """
    name = message.type.removeprefix(PREFIX)
    row = await config.one_endpoint(connection, tenant, name)
    if row is None:
        raise Reject(f"event: tenant {tenant!r} has no endpoint {name[:80]!r} that is enabled")
    endpoint = Endpoint.model_validate(row["definition"])
    if len(message.body) > endpoint.limits.body_bytes:
        limit = endpoint.limits.body_bytes
        raise Reject(f"event: the body has {len(message.body)} bytes, the endpoint takes {limit}")
    digest = hashlib.sha256(message.body).digest()
    first = await idempotency.claim(connection, tenant, f"event {name}", message.id, digest)
    if not first.is_now and message.redelivered:
        return  # the broker hands it out again: it was taken
    at = first.at if first.is_now else to_millisecond(now)
    nonce = message.id if first.is_now else os.urandom(16)
    receipt, order_key = _receipt(tenant, endpoint, message, at, nonce)
    if len(webhook.ascii_json(receipt.headers)) > MAX_HEADERS_BYTES:
        raise Reject(
            f"event: its headers take more than {MAX_HEADERS_BYTES} bytes; put what they say into the body"
        )
    if is_replay and order_key is not None:
        raise Reject(f"event: endpoint {name} keeps an order; publish the event again under a new message_id")
    await _keep(connection, receipt, order_key)
    if is_replay:
        return
    slot = datetime.fromtimestamp(int(at.timestamp()) // SLOT_S * SLOT_S, at.tzinfo)
    await endpoints.count(connection, [Count(tenant, name, slot, "accepted", 1, at)])


def _receipt(
    tenant: str, endpoint: Endpoint, message: Message, at: datetime, nonce: str | bytes
) -> tuple[Receipt, str | None]:
    """The event as a receipt, and its place in an order. Raises: Reject."""
    headers = [_header(name, value) for name, value in message.headers.items()]
    url = f"amqp://headwater.in/{message.type}"
    raw = tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in headers)
    try:
        known = compile_facts(endpoint, scheme_of(endpoint)).read(
            SignedRequest(METHOD, url, raw, message.body)
        )
    except ConfigError as error:
        raise Reject(f"event: endpoint {endpoint.name} is out of service: {error}") from error
    receipt = Receipt(
        id=derive_key_id("delivery", tenant, endpoint.name, message.id),
        receipt_id=derive_id(at, "event", tenant, endpoint.name, nonce),
        received_at=at,
        tenant=tenant,
        endpoint=endpoint.name,
        method=METHOD,
        url=url,
        remote=None,
        headers=[list(pair) for pair in headers],
        body=message.body,
        verification={"scheme": "amqp", "secret": None, "timestamp": None},
        type=known.type,
        key=message.id,
        dedupe_s=endpoint.dedupe.window_s,
    )
    return receipt, known.order_key


def _header(name: str, value: str) -> tuple[str, str]:
    """As HTTP would carry it: the bytes of UTF-8 read as latin-1; CloudEvents attributes as `ce-…`."""
    for prefix in (ATTRIBUTE_PREFIX, "cloudEvents_"):  # some clients cannot write the colon
        if name.startswith(prefix):
            name = "ce-" + name.removeprefix(prefix)
    return _latin(name), _latin(value)


def _latin(text: str) -> str:
    return text.encode("utf-8", "replace").decode("latin-1").replace("\0", "?")


async def _keep(connection: Any, receipt: Receipt, order_key: str | None) -> None:
    if order_key is not None:
        await ordering.add(connection, receipt, order_key)
        return
    headers, body = webhook.to_headers(receipt), receipt.body
    if len(body) > MAX_BODY_BYTES:
        payload_id = derive_id(receipt.received_at, "payload", receipt.receipt_id)
        await payloads.put(connection, payload_id, receipt.tenant, body)
        headers, body = {**headers, "payload-id": str(payload_id)}, b""
    await outbox.add(connection, OutboxRow(receipt.receipt_id, receipt.tenant, webhook.TYPE, body, headers))
