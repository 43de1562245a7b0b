"""Who changed what, and when: read only, since each entry was written with its change."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from headwater.control.paging import Instant, ListQuery, after_moment, in_utc, listing, token_of
from headwater.control.problems import not_found
from headwater.control.route import Answer, Call, Desk, NoQuery, Reply
from headwater.store import audit
from headwater.store.audit import AuditFilter

AuditKind = Literal[
    "tenant",
    "key",
    "secret",
    "source",
    "stream",
    "cursor",
    "destination",
    "schedule",
    "calendar",
    "endpoint",
    "notification",
    "backfill",
    "dead_letter",
    "snapshot",
]
AuditVerb = Literal[
    "create",
    "change",
    "delete",
    "enable",
    "disable",
    "pause",
    "resume",
    "reset_failures",
    "set",
    "reset",
    "revoke",
    "cancel",
    "replay",
    "discard",
]


class AuditQuery(ListQuery):
    """Changes, newest first. A global key also sees those of what belongs to no tenant."""

    kind: AuditKind | None = None
    name: Annotated[
        str | None, Field(max_length=255, description="Of the thing; a stream is source.stream.")
    ] = None
    actor: Annotated[str | None, Field(max_length=255, description="`key <id>`, `cli <user>`.")] = None
    verb: AuditVerb | None = None
    since: Instant | None = None
    until: Instant | None = None


class AuditEntry(Answer):
    """One change. `changed` names the fields that differ, never their values; a digest tells one state of the thing
    from another (null: it was not there before, or is not there after).
    """

    id: UUID
    at: datetime
    tenant: str | None
    actor: str
    verb: AuditVerb
    kind: AuditKind
    name: str
    changed: list[str]
    digest_before: str | None
    digest_after: str | None


def audit_view(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in AuditEntry.model_fields}


async def list_audit(desk: Desk, call: Call[AuditQuery, None]) -> Reply:
    query = call.query
    chosen = AuditFilter(
        query.kind, query.name, query.actor, query.verb, in_utc(query.since), in_utc(query.until)
    )
    async with desk.acting(call, admin=True) as connection:
        rows = await audit.list_entries(
            connection, call.tenant, chosen, limit=query.limit + 1, after=after_moment(query, "audit")
        )
    return Reply(
        listing(
            rows, query.limit, audit_view, lambda row: token_of("audit", row["at"].isoformat(), row["id"])
        )
    )


async def show_audit(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    async with desk.acting(call, admin=True) as connection:
        row = await audit.get(connection, call.tenant, call.id("entry"))
    if row is None:
        raise not_found("entry")
    return Reply(audit_view(row))
