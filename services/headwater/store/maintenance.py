"""Partitions made ahead and dropped behind."""

from typing import Any

from headwater.store.queries import queries

_Q = queries("maintenance")
DAYS_AHEAD = 7
RUN_TABLES = ("run", "walk", "page", "rejected_record")
DELIVERY_TABLES = ("delivery", "delivery_duplicate")


async def make_partitions(connection: Any) -> int:
    """Make the coming days' partitions; gives how many were made."""
    return int(await connection.fetchval(_Q["make_partitions"], 1, DAYS_AHEAD))


async def drop_partitions(connection: Any, *, run_days: int, delivery_days: int) -> int:
    """Drop partitions older than these many days; gives how many."""
    dropped = 0
    for tables, days in ((RUN_TABLES, run_days), (DELIVERY_TABLES, delivery_days)):
        for table in tables:
            dropped += int(await connection.fetchval(_Q["drop_partitions"], table, days))
    return dropped


async def default_rows(connection: Any) -> dict[str, int]:
    """Rows that no day's partition took, by table (at most 1,000 are counted): an alarm."""
    return {row["name"]: row["row_count"] for row in await connection.fetch(_Q["default_rows"])}
