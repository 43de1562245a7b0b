"""Refused requests: a bounded sample for people. Nothing in it could be a secret: no header's value, no body."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from headwater.contracts.codec import dumps
from headwater.store.queries import queries

_Q = queries("refusals")
DAYS = 7
MOST_PER_ENDPOINT = 10_000


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refused request. `headers` are [name, length of the value]; `skew_s` is our time less the signed one."""

    id: UUID
    tenant: str
    endpoint: str
    refused_at: datetime
    status: int
    reason: str
    detail: str
    skew_s: float | None
    method: str
    path: str
    remote: str | None
    headers: Sequence[tuple[str, int]]
    body_bytes: int | None
    body_sha256: bytes | None


async def insert(connection: Any, refusals: Sequence[Refusal]) -> None:
    """Keep a sample; the same id again changes nothing."""
    await connection.execute(
        _Q["insert"],
        [r.id for r in refusals], [r.tenant for r in refusals], [r.endpoint for r in refusals],
        [r.refused_at for r in refusals], [r.status for r in refusals], [r.reason for r in refusals],
        [r.detail for r in refusals], [r.skew_s for r in refusals], [r.method for r in refusals],
        [r.path for r in refusals], [r.remote for r in refusals],
        [dumps([list(pair) for pair in r.headers]).decode() for r in refusals],
        [r.body_bytes for r in refusals], [r.body_sha256 for r in refusals],
    )  # fmt: skip


async def list_refusals(
    connection: Any,
    tenant: str,
    *,
    endpoint: str | None = None,
    reason: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 50,
    after: tuple[datetime, UUID] | None = None,
) -> Sequence[Mapping[str, Any]]:
    """Refusals of the tenant, newest first, after (refused_at, id)."""
    at, identifier = after or (None, None)
    return await connection.fetch(  # type: ignore[no-any-return]
        _Q["list"], tenant, endpoint, reason, since, until, limit, at, identifier
    )


async def get(connection: Any, tenant: str, refusal_id: UUID) -> Mapping[str, Any] | None:
    return await connection.fetchrow(_Q["get"], tenant, refusal_id)  # type: ignore[no-any-return]


async def sweep(connection: Any) -> None:
    """Remove what is old, or too much of one endpoint."""
    await connection.execute(_Q["sweep"], DAYS, MOST_PER_ENDPOINT)
