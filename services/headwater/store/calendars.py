"""Calendars: what schedules leave out, by name. A schedule's row keeps the definitions of those that it names."""

from collections.abc import Mapping, Sequence
from typing import Any

from headwater.contracts.calendars import Calendar
from headwater.store.queries import queries

_Q = queries("calendars")
Row = Mapping[str, Any]


async def put(connection: Any, tenant: str, name: str, definition: Mapping[str, Any]) -> bool:
    """Write the calendar; True when that changed something."""
    tag: str = await connection.execute(_Q["put"], tenant, name, dict(definition))
    return not tag.endswith(" 0")


async def list_calendars(connection: Any, tenant: str, *, after: str | None, limit: int) -> Sequence[Row]:
    return await connection.fetch(_Q["list"], tenant, after, limit)  # type: ignore[no-any-return]


async def get(connection: Any, tenant: str, name: str) -> Row | None:
    return await connection.fetchrow(_Q["get"], tenant, name)  # type: ignore[no-any-return]


async def all_of(connection: Any, tenant: str) -> Sequence[Row]:
    """Every calendar of the tenant, by name."""
    return await connection.fetch(_Q["all"], tenant)  # type: ignore[no-any-return]


async def definitions(connection: Any, tenant: str) -> dict[str, Calendar]:
    """Every calendar of the tenant, read."""
    return {
        row["name"]: Calendar.model_validate(row["definition"]) for row in await all_of(connection, tenant)
    }


async def users(connection: Any, tenant: str, name: str) -> list[str]:
    """The names of the schedules that name it."""
    return [row["name"] for row in await connection.fetch(_Q["users"], tenant, name)]


async def delete(connection: Any, tenant: str, name: str) -> bool:
    return await connection.fetchval(_Q["delete"], tenant, name) is not None
