"""How runs went: of a tenant, or of one schedule."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from headwater.store.queries import queries

_Q = queries("statistics")
Row = Mapping[str, Any]


async def of_runs(
    connection: Any, tenant: str, schedule: str | None, since: datetime, until: datetime | None
) -> Row:
    """Counts by state, durations, records of the runs that were due from `since` up to `until`."""
    return await connection.fetchrow(_Q["runs"], tenant, schedule, since, until)  # type: ignore[no-any-return]


async def of_schedules(connection: Any, tenant: str) -> dict[str, int]:
    """How many schedules there are in each state."""
    rows = await connection.fetch(_Q["schedules"], tenant)
    return {row["state"]: row["schedule_count"] for row in rows}


async def record(connection: Any, tenant: str, schedule: str) -> Row | None:
    """What became of a schedule's runs since it is there; None when there is no such schedule."""
    return await connection.fetchrow(_Q["record"], tenant, schedule)  # type: ignore[no-any-return]
