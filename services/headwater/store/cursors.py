"""How far a stream has been read. The cursor moves only with a complete walk, by compare-and-set."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from headwater.store.queries import queries

_Q = queries("cursors")


async def get(connection: Any, tenant: str, source: str, stream: str) -> Mapping[str, Any] | None:
    return await connection.fetchrow(_Q["get"], tenant, source, stream)  # type: ignore[no-any-return]


async def move(connection: Any, of: tuple[str, str, str], value: Any, run_id: UUID, came_from: Any) -> bool:
    """Move the cursor of `of` (tenant, source, stream); False when somebody moved it since `came_from` was read."""
    return await connection.fetchval(_Q["move"], *of, value, run_id, came_from) is not None


async def reset(connection: Any, tenant: str, source: str, stream: str) -> None:
    await connection.execute(_Q["reset"], tenant, source, stream)
