"""Endpoints: the addresses that accept webhooks, what came to them, and the alarms that are on."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import Field

from headwater.contracts.base import Closed
from headwater.contracts.endpoint import Endpoint as Definition
from headwater.control.paging import Instant, ListQuery, after_name, in_utc, listing, token_of
from headwater.control.problems import not_found
from headwater.control.route import Answer, Call, Desk, Reply
from headwater.store import alarms, catalogue, endpoints

REFUSED = "refused:"
STATS_HOURS = 24


class EndpointsQuery(ListQuery):
    """Endpoints by name."""

    q: Annotated[str | None, Field(max_length=63, description="A part of the name.")] = None


class Alarm(Answer):
    """An alarm that is on: `silence` or `refusals`; `detail` is what was counted, and the limit."""

    kind: str
    since: datetime
    detail: dict[str, Any]


class Endpoint(Answer):
    """An address that accepts webhooks. Secrets in its definition are only named."""

    name: str
    path: Annotated[str, Field(description="Where senders post to, on headwater's receiver.")]
    enabled: bool
    definition: dict[str, Any]
    alarms: list[Alarm]
    created_at: datetime
    updated_at: datetime


class EndpointStats(Answer):
    """What came to an endpoint since a moment.

    `received` counts every request; `verified` those that became deliveries or marks on one; `refused` the others by
    reason. `spooled`, of those verified, went through PostgreSQL: the broker did not take them, or they are large or
    ordered. `deliveries` counts by state. Deliveries are kept for `retention_days`.
    """

    since: datetime
    received: int
    verified: int
    handshakes: int
    refused: dict[str, int]
    refused_count: int
    spooled: int
    duplicates: int
    deliveries: dict[str, int]
    last_delivery_at: datetime | None
    quiet_s: float | None
    retention_days: int
    oldest_delivery_at: datetime | None
    alarms: list[Alarm]


class StatsQuery(Closed):
    """Since when; without it the last 24 hours. Counts are kept in slots of five minutes, for 15 days."""

    since: Instant | None = None


def alarm_views(rows: Sequence[Mapping[str, Any]], name: str) -> list[dict[str, Any]]:
    return [
        {"kind": row["kind"], "since": row["since"], "detail": row["detail"]}
        for row in rows
        if row["endpoint"] == name
    ]


def endpoint_view(
    row: Mapping[str, Any], tenant: str, alarmed: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    same = ("name", "enabled", "definition", "created_at", "updated_at")
    return {
        **{name: row[name] for name in same},
        "path": f"/in/{tenant}/{row['name']}",
        "alarms": alarm_views(alarmed, row["name"]),
    }


async def list_endpoints(desk: Desk, call: Call[EndpointsQuery, None]) -> Reply:
    tenant, after = call.tenant, after_name(call.query, "endpoints")
    async with desk.acting(call) as connection:
        rows = await catalogue.list_endpoints(
            connection, tenant, after=after, limit=call.query.limit + 1, part=call.query.q
        )
        alarmed = await alarms.of_tenant(connection, tenant)
    return Reply(
        listing(
            rows,
            call.query.limit,
            lambda row: endpoint_view(row, tenant, alarmed),
            lambda row: token_of("endpoints", row["name"]),
        )
    )


async def endpoint_of(connection: Any, call: Call[Any, Any]) -> Mapping[str, Any]:
    """The row of the endpoint that the path names. Raises: Refusal 404."""
    row = await catalogue.get_endpoint(connection, call.tenant, call.path["endpoint"])
    if row is None:
        raise not_found("endpoint")
    return row


def definition_of(row: Mapping[str, Any]) -> Definition:
    return Definition.model_validate(row["definition"])


async def endpoint_stats(desk: Desk, call: Call[StatsQuery, None]) -> Reply:
    now = desk.clock.now()
    since = in_utc(call.query.since) or now - timedelta(hours=STATS_HOURS)
    name = call.path["endpoint"]
    async with desk.acting(call) as connection:
        row = await endpoint_of(connection, call)
        counts = await endpoints.counts_since(connection, call.tenant, name, since)
        last = await endpoints.last_delivery_at(connection, call.tenant, name)
        oldest = await endpoints.oldest_delivery_at(connection, call.tenant, name)
        states = await endpoints.deliveries_since(connection, call.tenant, name, since)
        duplicates = await endpoints.duplicates_since(connection, call.tenant, name, since)
        alarmed = await alarms.of_tenant(connection, call.tenant)
    by_outcome = {each["outcome"]: int(each["request_count"]) for each in counts}
    refused = {
        outcome.removeprefix(REFUSED): number
        for outcome, number in by_outcome.items()
        if outcome.startswith(REFUSED)
    }
    accepted, handshakes = by_outcome.get("accepted", 0), by_outcome.get("handshake", 0)
    quiet = now.astimezone(UTC) - (last or row["created_at"])
    return Reply(
        {
            "since": since,
            "received": accepted + handshakes + sum(refused.values()),
            "verified": accepted,
            "handshakes": handshakes,
            "refused": refused,
            "refused_count": sum(refused.values()),
            "spooled": by_outcome.get("spooled", 0),
            "duplicates": duplicates,
            "deliveries": states,
            "last_delivery_at": last,
            "quiet_s": round(max(quiet.total_seconds(), 0.0), 1),
            "retention_days": definition_of(row).retention.days,
            "oldest_delivery_at": oldest,
            "alarms": alarm_views(alarmed, name),
        }
    )
