"""From a verified request to its message: pure."""

import json
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any
from uuid import UUID

from headwater.bus.port import Message
from headwater.contracts import webhook
from headwater.contracts.webhook import Receipt
from headwater.model.ids import derive_id, derive_key_id, moment_id, to_millisecond
from headwater.plugins.signatures.request import SignedRequest
from headwater.plugins.signatures.shield import STARS
from headwater.plugins.signatures.verify import Verdict
from headwater.plugins.webhooks.facts import Known
from headwater.receiver.address import Address

MAX_MESSAGE_BODY_BYTES = 1024 * 1024  # larger ones travel by reference
REMEMBERED_HEADERS_BYTES = 48 * 1024  # with the rest of the envelope within a message's header limit
_URL_CHARACTERS = 8192
_MAX_ESCAPE = 6  # bytes that one byte may become in JSON


def receipt_of(
    address: Address,
    request: SignedRequest,
    known: Known,
    verdict: Verdict,
    *,
    secret_index: int | None,
    now: datetime,
    nonce: bytes,
    remote: str | None,
) -> Receipt:
    """The receipt of a verified request. `nonce` tells apart two receipts of one millisecond.

    `secret_index` is the place of the secret that verified in the endpoint's list.
    """
    key = known.key
    at = to_millisecond(now)
    receipt_id = derive_id(at, "receipt", address.tenant, address.endpoint.name, nonce)
    identity = (address.tenant, address.endpoint.name, key)
    return Receipt(
        id=receipt_id if key is None else derive_key_id("delivery", *identity),
        receipt_id=receipt_id,
        received_at=at,
        tenant=address.tenant,
        endpoint=address.endpoint.name,
        method=request.method,
        url=request.url[:_URL_CHARACTERS].encode("utf-8", "replace").decode("utf-8").replace("\0", "?"),
        remote=remote,
        headers=_headers(request, address.shield.headers),
        body=request.body,
        verification=_verification(address, verdict, secret_index),
        type=known.type,
        key=key,
        dedupe_s=address.endpoint.dedupe.window_s,
    )


def _headers(request: SignedRequest, shielded: AbstractSet[bytes]) -> list[list[str]]:
    """Names and values in wire order. What authorises a caller is kept as stars."""
    return [
        [name.decode("latin-1"), STARS if name.lower() in shielded else value.decode("latin-1")]
        for name, value in request.headers
    ]


def _verification(address: Address, verdict: Verdict, secret_index: int | None) -> dict[str, Any]:
    return {
        "scheme": address.endpoint.scheme or "definition",
        "secret": secret_index,
        "timestamp": verdict.timestamp_s,
    }


def prompt_message(
    address: Address,
    request: SignedRequest,
    known: Known,
    verdict: Verdict,
    *,
    secret_index: int | None,
    now: datetime,
    random: bytes,
    remote: str | None,
) -> Message:
    """The message of a verified request whose headers are there once each; as `message_of` its receipt.

    `random` are ten bytes, which tell apart two receipts of one millisecond.
    """
    key = known.key
    receipt_id = moment_id(now, random)
    url = request.url
    headers = webhook.headers_of(
        address.tenant,
        address.endpoint.name,
        receipt_id if key is None else address.delivery_ids.text(key),
        now,
        (request.method, url if len(url) <= _URL_CHARACTERS else url[:_URL_CHARACTERS], remote),
        _plain_headers(request, address.shield.headers),
        _verification(address, verdict, secret_index),
        (key, address.endpoint.dedupe.window_s, known.type),
    )
    return Message(webhook.TYPE, receipt_id, request.body, headers)


def _plain_headers(request: SignedRequest, shielded: AbstractSet[bytes]) -> list[list[str]]:
    unique = request.unique
    if unique is None or not shielded.isdisjoint(unique):
        return _headers(request, shielded)
    return [[name.decode("latin-1"), value.decode("latin-1")] for name, value in request.headers]


def message_of(receipt: Receipt, payload_id: UUID | None) -> Message:
    """`webhook.received`, with the body or with the place where it stands."""
    headers = webhook.to_headers(receipt)
    if payload_id is not None:
        headers["payload-id"] = str(payload_id)
    body = receipt.body if payload_id is None else b""
    return Message(webhook.TYPE, str(receipt.receipt_id), body, headers)


def header_bytes(request: SignedRequest) -> int:
    """How much of a message's headers the request's headers take, escapes included; small ones are estimated."""
    size = sum(len(name) + len(value) for name, value in request.headers) + 8 * len(request.headers)
    if size * _MAX_ESCAPE <= REMEMBERED_HEADERS_BYTES:
        return size
    return len(json.dumps(_headers(request, frozenset()), separators=(",", ":")))
