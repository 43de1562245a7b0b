"""Configurations that were kept under a name."""

from collections.abc import Mapping, Sequence
from typing import Any

from headwater.store.queries import queries

_Q = queries("snapshots")
Row = Mapping[str, Any]


async def put(
    connection: Any, tenant: str, name: str, manifest: Mapping[str, Any], *, note: str | None, actor: str
) -> bool:
    """Keep the manifest under the name, in place of what was kept there; True when the name is new."""
    return bool(await connection.fetchval(_Q["put"], tenant, name, note, dict(manifest), actor))


async def list_snapshots(connection: Any, tenant: str, *, after: str | None, limit: int) -> Sequence[Row]:
    return await connection.fetch(_Q["list"], tenant, after, limit)  # type: ignore[no-any-return]


async def get(connection: Any, tenant: str, name: str) -> Row | None:
    return await connection.fetchrow(_Q["get"], tenant, name)  # type: ignore[no-any-return]


async def delete(connection: Any, tenant: str, name: str) -> bool:
    return await connection.fetchval(_Q["delete"], tenant, name) is not None
