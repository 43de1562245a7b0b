"""Endpoints: the addresses that accept webhooks."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from headwater.control.paging import ListQuery, after_name, listing, token_of
from headwater.control.route import Answer, Call, Desk, Reply
from headwater.store import catalogue


class Endpoint(Answer):
    """An address that accepts webhooks. Secrets in its definition are only named."""

    name: str
    path: Annotated[str, Field(description="Where senders post to, on headwater's receiver.")]
    enabled: bool
    definition: dict[str, Any]
    created_at: datetime
    updated_at: datetime


def endpoint_view(row: Mapping[str, Any], tenant: str) -> dict[str, Any]:
    same = ("name", "enabled", "definition", "created_at", "updated_at")
    return {**{name: row[name] for name in same}, "path": f"/in/{tenant}/{row['name']}"}


async def list_endpoints(desk: Desk, call: Call[ListQuery, None]) -> Reply:
    tenant, after = call.tenant, after_name(call.query, "endpoints")
    async with desk.acting(call) as connection:
        rows = await catalogue.list_endpoints(connection, tenant, after=after, limit=call.query.limit + 1)
    return Reply(
        listing(
            rows,
            call.query.limit,
            lambda row: endpoint_view(row, tenant),
            lambda row: token_of("endpoints", row["name"]),
        )
    )
