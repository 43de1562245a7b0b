"""Deliveries: one row per accepted webhook, once each; duplicates are marks on the first one (DESIGN.md §4)."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from headwater.contracts.codec import dumps
from headwater.contracts.webhook import Receipt
from headwater.store.queries import queries

_Q = queries("deliveries")


async def store(connection: Any, receipts: Sequence[Receipt]) -> list[Receipt]:
    """Insert what is new, mark what is a duplicate; gives the receipts whose deliveries are new in this transaction."""
    holders = await _claim(connection, [receipt for receipt in receipts if receipt.key is not None])
    first = [
        r for r in receipts if r.key is None or holders.get((r.tenant, r.endpoint, r.key)) == r.receipt_id
    ]
    duplicates = [
        r
        for r in receipts
        if r.key is not None and holders.get((r.tenant, r.endpoint, r.key)) != r.receipt_id
    ]
    await _mark(connection, duplicates)
    new = await _insert(connection, list({r.receipt_id: r for r in first}.values()))
    return [receipt for receipt in first if receipt.receipt_id in new]


async def _claim(connection: Any, keyed: Sequence[Receipt]) -> dict[tuple[str, str, str], UUID]:
    """Claim the keys; gives which receipt holds each."""
    if not keyed:
        return {}
    tenants, endpoints = [r.tenant for r in keyed], [r.endpoint for r in keyed]
    keys = [r.key for r in keyed]
    receipts, times = [r.receipt_id for r in keyed], [r.received_at for r in keyed]
    expiries = [r.received_at + timedelta(seconds=r.dedupe_s) for r in keyed]
    await connection.execute(
        _Q["claim"], tenants, endpoints, keys, [r.id for r in keyed], receipts, times, expiries
    )
    await connection.execute(_Q["renew_claims"], tenants, endpoints, keys, receipts, times, expiries)
    rows = await connection.fetch(_Q["claims"], tenants, endpoints, keys)
    return {(row["tenant"], row["endpoint"], row["key"]): row["receipt_id"] for row in rows}


async def _insert(connection: Any, new: Sequence[Receipt]) -> set[UUID]:
    if not new:
        return set()
    rows = await connection.fetch(
        _Q["insert"],
        [r.id for r in new], [r.received_at for r in new], [r.receipt_id for r in new], [r.tenant for r in new],
        [r.endpoint for r in new], [r.type for r in new], [r.key for r in new], [r.method for r in new],
        [r.url for r in new], [r.remote for r in new], [_json(r.headers) for r in new], [r.body for r in new],
        [_json(dict(r.verification)) for r in new],
    )  # fmt: skip
    return {row["receipt_id"] for row in rows}


def _json(value: object) -> str:
    return dumps(value).decode()


async def _mark(connection: Any, duplicates: Sequence[Receipt]) -> None:
    if duplicates:
        await connection.execute(
            _Q["insert_duplicates"],
            [r.receipt_id for r in duplicates], [r.received_at for r in duplicates], [r.tenant for r in duplicates],
            [r.endpoint for r in duplicates], [r.id for r in duplicates], [r.body for r in duplicates],
        )  # fmt: skip


async def settle(connection: Any, outcomes: Sequence[tuple[Receipt, str, str | None]]) -> None:
    """Give deliveries their final state: (receipt, done | filtered | dead, reason)."""
    if outcomes:
        await connection.execute(
            _Q["settle"],
            [r.received_at for r, _, _ in outcomes], [r.id for r, _, _ in outcomes],
            [state for _, state, _ in outcomes], [reason for _, _, reason in outcomes],
        )  # fmt: skip


async def get(connection: Any, delivery_id: UUID) -> Mapping[str, Any] | None:
    return await connection.fetchrow(_Q["get"], delivery_id)  # type: ignore[no-any-return]


async def list_deliveries(
    connection: Any,
    *,
    endpoint: str | None,
    state: str | None,
    kind: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    after: tuple[datetime, UUID] | None,
) -> Sequence[Mapping[str, Any]]:
    """Deliveries of the transaction's tenant, newest first, after (received_at, id)."""
    at, identifier = after or (None, None)
    return await connection.fetch(  # type: ignore[no-any-return]
        _Q["list"], endpoint, state, kind, since, until, limit, at, identifier
    )


async def count_by_state(connection: Any) -> dict[str, int]:
    return {row["state"]: row["delivery_count"] for row in await connection.fetch(_Q["count_by_state"])}


async def sweep_claims(connection: Any) -> None:
    await connection.execute(_Q["sweep_claims"])


async def take_back(connection: Any, receipt: Receipt) -> bytes | None:
    """Remove the receipt's delivery if it is dead, to hand it in anew; gives its body, None when there is none."""
    return await connection.fetchval(  # type: ignore[no-any-return]
        _Q["take_back"], receipt.received_at, receipt.id, receipt.receipt_id
    )
