"""Deliveries: what came in, what became of it, and its exact bytes."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

from pydantic import Field

from headwater.control.paging import Instant, ListQuery, after_moment, in_utc, listing, token_of
from headwater.control.problems import not_found
from headwater.control.route import Answer, Call, Desk, NoQuery, Reply
from headwater.control.searching import Searched
from headwater.model.errors import ContractError
from headwater.plugins.webhooks.parsing import parse
from headwater.store import config, deliveries

State = Literal["accepted", "done", "filtered", "dead"]
SHOWN_BYTES = 64 * 1024
READ_BYTES = 1024 * 1024  # of bodies that are read for people alone


class DeliveriesQuery(ListQuery, Searched):
    """Deliveries, newest first."""

    endpoint: Annotated[str | None, Field(max_length=63)] = None
    state: State | None = None
    type: Annotated[str | None, Field(max_length=512, description="The provider's type of event.")] = None
    since: Instant | None = None
    until: Annotated[Instant | None, Field(description="Before this moment.")] = None


class Verification(Answer):
    """How the signature was verified: which scheme, which of the secrets, the signed time."""

    scheme: str | None = None
    secret: int | None = None
    timestamp: float | None = None


class Delivery(Answer):
    """One accepted webhook. `duplicates` counts the receipts that were merged into it.

    `parsed_as` is what its body was read as, null where nothing needed it (one delivery alone tells it then as well);
    `reason` says why it is dead, or what of it could not be read. `replays` counts how often it was asked to be done
    again. `id` is that of the provider's id: where that came again after its window, several have it, and `receipt_id`
    names one of them.
    """

    id: UUID
    receipt_id: UUID
    endpoint: str
    received_at: datetime
    settled_at: datetime | None
    state: State
    reason: str | None
    type: str | None
    provider_id: str | None
    method: str
    url: str
    remote: str | None
    body_bytes: int
    body_sha256: str
    verification: Verification
    duplicates: int
    parsed_as: str | None
    replays: int
    replayed_at: datetime | None


class DeliveryDetail(Delivery):
    """With the request's headers: [name, value] in wire order, latin-1; what authorises is starred.

    `body_text` is the body where it is UTF-8 and no longer than 64 KiB; `…/raw` gives its bytes. `parse_fault` says why
    the body could not be read, or could not if anything needed it.
    """

    headers: list[tuple[str, str]]
    body_text: str | None
    parse_fault: str | None


class Duplicate(Answer):
    """A receipt that was merged into a delivery. `is_conflict`: its bytes are others than the first one's."""

    receipt_id: UUID
    received_at: datetime
    body_sha256: str
    is_conflict: bool


_SAME = (
    "id", "receipt_id", "endpoint", "received_at", "settled_at", "state", "reason", "type", "provider_id", "method",
    "url", "remote",
)  # fmt: skip


def delivery_view(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **{name: row[name] for name in _SAME},
        "body_bytes": row["body_bytes"],
        "body_sha256": row["body_sha256"],
        "verification": row["verification"],
        "duplicates": row["duplicate_count"],
        "parsed_as": row["form"],
        "replays": row["replay_count"],
        "replayed_at": row["replayed_at"],
    }


def _detail_view(row: Mapping[str, Any]) -> dict[str, Any]:
    sized = {**row, "body_bytes": len(row["body"]), "body_sha256": bytes(row["body_sha256"]).hex()}
    return {
        **delivery_view(sized),
        "headers": row["headers"],
        "body_text": _text(bytes(row["body"])),
    }


def _text(body: bytes) -> str | None:
    if len(body) > SHOWN_BYTES:
        return None
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return None


async def list_deliveries(desk: Desk, call: Call[DeliveriesQuery, None]) -> Reply:
    query, search = call.query, call.query.search()
    async with desk.acting(call) as connection:
        rows = await deliveries.list_deliveries(
            connection,
            endpoint=query.endpoint,
            state=query.state,
            kind=query.type,
            since=in_utc(query.since),
            until=in_utc(query.until),
            limit=query.limit + 1,
            after=after_moment(query, "deliveries"),
            search=search,
        )
    return Reply(
        listing(
            rows,
            query.limit,
            delivery_view,
            lambda row: token_of("deliveries", row["received_at"], row["id"]),
        )
    )


async def _found(desk: Desk, call: Call[Any, Any]) -> Mapping[str, Any]:
    identifier = call.id("delivery")
    async with desk.acting(call) as connection:
        row = await deliveries.get(connection, identifier)
        if row is None:
            row = await deliveries.get_by_receipt(connection, identifier)
    if row is None:
        raise not_found("delivery")
    return row


async def show_delivery(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    row = await _found(desk, call)
    reading = _Reading(row["form"], None)
    if row["form"] is None and row["state"] != "accepted" and len(row["body"]) <= READ_BYTES:
        async with desk.acting(call) as connection:
            endpoint = await config.one_endpoint(connection, call.tenant, row["endpoint"])
        form = "auto" if endpoint is None else str(endpoint["definition"].get("parse") or "auto")
        reading = await asyncio.to_thread(_read, bytes(row["body"]), row["headers"], form)
    return Reply({**_detail_view(row), "parsed_as": reading.form, "parse_fault": reading.fault})


class _Reading(NamedTuple):
    """What a body was read as, or why it could not be."""

    form: str | None
    fault: str | None


def _read(body: bytes, headers: Sequence[Sequence[str]], form: str) -> _Reading:
    """What the body is to people who look at it. Persisters read it only where something of the endpoint needs it."""
    if form == "none":
        return _Reading(None, None)
    try:
        parsed = parse(body, headers, form)
    except ContractError as error:
        return _Reading(None, str(error)[:1000])
    except Exception as error:  # noqa: BLE001 - as where deliveries are judged: a body makes no fault of ours
        return _Reading(None, f"it could not be read: {type(error).__name__}")
    return _Reading(parsed.form, "; ".join(parsed.faults)[:1000] or None)


async def raw_delivery(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    """The bytes as they came, never as something that a browser would show."""
    row = await _found(desk, call)
    return Reply(
        raw=bytes(row["body"]),
        content_type="application/octet-stream",
        headers={"Content-Disposition": f'attachment; filename="{row["id"]}.bin"'},
    )


async def list_duplicates(desk: Desk, call: Call[ListQuery, None]) -> Reply:
    """The receipts that were merged into the delivery, newest first."""
    row = await _found(desk, call)
    async with desk.acting(call) as connection:
        rows = await deliveries.duplicates_of(
            connection, row["id"], limit=call.query.limit + 1, after=after_moment(call.query, "duplicates")
        )
    return Reply(
        listing(
            rows,
            call.query.limit,
            dict,
            lambda row: token_of("duplicates", row["received_at"], row["receipt_id"]),
        )
    )
