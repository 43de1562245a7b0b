"""Who changed what. Entries are written by the database with the change itself (schemas/sql/0017_audit.sql)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from headwater.store.queries import queries

_Q = queries("audit")
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries; None: whatever it is."""

    kind: str | None = None
    name: str | None = None
    actor: str | None = None
    verb: str | None = None
    since: datetime | None = None
    until: datetime | None = None


async def list_entries(
    connection: Any, tenant: str, chosen: AuditFilter, *, limit: int, after: tuple[datetime, UUID] | None
) -> Sequence[Row]:
    """The newest entries first, after the last (moment, id) of the page before."""
    moment, identifier = after or (None, None)
    return list(
        await connection.fetch(
            _Q["list"],
            tenant,
            chosen.kind,
            chosen.name,
            chosen.actor,
            chosen.verb,
            chosen.since,
            chosen.until,
            limit,
            moment,
            identifier,
        )
    )


async def get(connection: Any, tenant: str, entry: UUID) -> Row | None:
    found: Row | None = await connection.fetchrow(_Q["get"], entry, tenant)
    return found
