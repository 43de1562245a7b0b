"""Partitions made ahead, and what falls beside them."""

from typing import Any

from headwater.store.queries import queries

_Q = queries("maintenance")
DAYS_AHEAD = 7


async def make_partitions(connection: Any) -> int:
    """Make the coming days' partitions; gives how many were made."""
    return int(await connection.fetchval(_Q["make_partitions"], 1, DAYS_AHEAD))


async def default_rows(connection: Any) -> dict[str, int]:
    """Rows that no day's partition took, by table (at most 1,000 are counted): an alarm."""
    return {row["name"]: row["row_count"] for row in await connection.fetch(_Q["default_rows"])}
