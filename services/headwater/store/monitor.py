"""What is wrong in a tenant, as rows; and its counts of the last day."""

from collections.abc import Mapping, Sequence
from typing import Any

from headwater.store.queries import queries

_Q = queries("monitor")
Row = Mapping[str, Any]
STUCK_S = 900.0
WAITING_S = 3600.0


async def failed_streams(connection: Any, tenant: str) -> Sequence[Row]:
    return await connection.fetch(_Q["failed_streams"], tenant)  # type: ignore[no-any-return]


async def stuck_runs(connection: Any, tenant: str) -> Sequence[Row]:
    return await connection.fetch(_Q["stuck_runs"], tenant, STUCK_S, WAITING_S)  # type: ignore[no-any-return]


async def stale_schedules(connection: Any, tenants: Sequence[str]) -> Sequence[Row]:
    """Schedules of these tenants that had no success for longer than is their habit."""
    return await connection.fetch(_Q["stale_schedules"], list(tenants))  # type: ignore[no-any-return]


async def unwell_schedules(connection: Any, tenant: str) -> Sequence[Row]:
    return await connection.fetch(_Q["unwell_schedules"], tenant)  # type: ignore[no-any-return]


async def alarms(connection: Any, tenant: str) -> Sequence[Row]:
    return await connection.fetch(_Q["alarms"], tenant)  # type: ignore[no-any-return]


async def dead_letters(connection: Any, tenant: str) -> Row:
    return await connection.fetchrow(_Q["dead"], tenant)  # type: ignore[no-any-return]


async def dead_deliveries(connection: Any, tenant: str) -> Sequence[Row]:
    """Endpoints with deliveries of the last day that are dead."""
    return await connection.fetch(_Q["dead_deliveries"], tenant)  # type: ignore[no-any-return]


async def notifications(connection: Any, tenant: str) -> Row:
    return await connection.fetchrow(_Q["notifications"], tenant)  # type: ignore[no-any-return]


async def stops(connection: Any, tenant: str) -> Sequence[Row]:
    return await connection.fetch(_Q["stops"], tenant)  # type: ignore[no-any-return]


async def owed(connection: Any) -> Row:
    """What the relay owes, as far as the transaction sees it."""
    return await connection.fetchrow(_Q["owed"])  # type: ignore[no-any-return]


async def counts(connection: Any, tenant: str) -> dict[str, dict[str, int]]:
    """Runs, schedules and deliveries by state."""
    found = {}
    for kind, name in (("runs", "run"), ("schedules", "schedule"), ("deliveries", "delivery")):
        rows = await connection.fetch(_Q[f"{name}_counts"], tenant)
        found[kind] = {row["state"]: row[f"{name}_count"] for row in rows}
    return found
