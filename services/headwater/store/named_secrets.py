"""Secrets by their names: those that people set, and under which key all of a tenant's are sealed."""

from collections.abc import Mapping, Sequence
from typing import Any

from headwater.store.keyring import Keyring
from headwater.store.queries import queries

_Q = queries("named_secrets")
Row = Mapping[str, Any]


async def list_named(connection: Any, tenant: str, *, after: str | None, limit: int) -> Sequence[Row]:
    """Names that people chose; what a source or endpoint holds as its own stands with it."""
    return await connection.fetch(_Q["list"], tenant, after, limit)  # type: ignore[no-any-return]


async def get_named(connection: Any, tenant: str, name: str) -> Row | None:
    return await connection.fetchrow(_Q["get"], tenant, name)  # type: ignore[no-any-return]


async def remove(connection: Any, tenant: str, name: str) -> None:
    await connection.execute(_Q["remove"], tenant, name)


async def definitions(connection: Any, tenant: str) -> Sequence[Row]:
    """What may name secrets: (`name` such as `endpoint orders`, `definition`)."""
    return await connection.fetch(_Q["definitions"], tenant)  # type: ignore[no-any-return]


async def count_by_key(connection: Any, tenant: str) -> dict[str, int]:
    rows = await connection.fetch(_Q["count_by_key"], tenant)
    return {row["key_id"]: row["secret_count"] for row in rows}


async def reseal(connection: Any, keyring: Keyring, tenant: str) -> tuple[int, int, list[str]]:
    """Seal the tenant's secrets under the active key, in the caller's transaction; their values and times stay.

    Gives how many were sealed anew, how many stood under it already, and the ids of keys that the ring lacks.
    Raises: SecretError for a value that does not open.
    """
    rows = await connection.fetch(_Q["all"], tenant)
    unknown = [row["key_id"] for row in rows if bytes.fromhex(row["key_id"]) not in keyring.keys]
    stale = [row for row in rows if row["key_id"] != keyring.active_id]
    if unknown:
        return 0, len(rows) - len(stale), unknown
    for row in stale:
        plain = keyring.open(tenant, row["name"], bytes(row["sealed"]))
        sealed = keyring.seal(tenant, row["name"], plain)
        await connection.execute(_Q["reseal"], tenant, row["name"], sealed, keyring.active_id)
    return len(stale), len(rows) - len(stale), []
