"""Deliveries: what came in, what became of it, and its exact bytes."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from headwater.control.paging import Instant, ListQuery, after_moment, in_utc, listing, token_of
from headwater.control.problems import not_found
from headwater.control.route import Answer, Call, Desk, NoQuery, Reply
from headwater.store import deliveries

State = Literal["accepted", "done", "filtered", "dead"]


class DeliveriesQuery(ListQuery):
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
    """One accepted webhook. `duplicates` counts the receipts that were merged into it."""

    id: UUID
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


class DeliveryDetail(Delivery):
    """With the request's headers: [name, value] in wire order, latin-1; what authorises is starred."""

    receipt_id: UUID
    headers: list[tuple[str, str]]


_SAME = (
    "id", "endpoint", "received_at", "settled_at", "state", "reason", "type", "provider_id", "method", "url", "remote",
)  # fmt: skip


def delivery_view(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **{name: row[name] for name in _SAME},
        "body_bytes": row["body_bytes"],
        "body_sha256": row["body_sha256"],
        "verification": row["verification"],
        "duplicates": row["duplicate_count"],
    }


def _detail_view(row: Mapping[str, Any]) -> dict[str, Any]:
    sized = {**row, "body_bytes": len(row["body"]), "body_sha256": bytes(row["body_sha256"]).hex()}
    return {**delivery_view(sized), "receipt_id": row["receipt_id"], "headers": row["headers"]}


async def list_deliveries(desk: Desk, call: Call[DeliveriesQuery, None]) -> Reply:
    query = call.query
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
    async with desk.acting(call) as connection:
        row = await deliveries.get(connection, call.id("delivery"))
    if row is None:
        raise not_found("delivery")
    return row


async def show_delivery(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    return Reply(_detail_view(await _found(desk, call)))


async def raw_delivery(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    """The bytes as they came, never as something that a browser would show."""
    row = await _found(desk, call)
    return Reply(
        raw=bytes(row["body"]),
        content_type="application/octet-stream",
        headers={"Content-Disposition": f'attachment; filename="{row["id"]}.bin"'},
    )
