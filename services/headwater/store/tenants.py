"""Tenants that are removed: marked as ending, emptied table by table in small transactions, and remembered by name."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headwater.store.queries import queries

_Q = queries("tenants")


@dataclass(frozen=True, slots=True)
class TableOfTenants:
    """A table, or a partition, that may hold rows of a tenant."""

    name: str
    block_count: int


async def contents(connection: Any, tenant: str, schema: str) -> Mapping[str, int]:
    """What is below a tenant: kinds with their counts (runs and deliveries: 1000 at most), without those of none."""
    rows = await connection.fetch(_Q["contents"], tenant, schema)
    return {row["kind"]: row["found"] for row in rows}


async def end(connection: Any, tenant: str) -> bool:
    """Mark it: nothing new begins in it. False when there is no such tenant; one that ends already goes on so."""
    return bool(await connection.fetchval(_Q["end"], tenant))


async def ending(connection: Any) -> Sequence[str]:
    """Tenants that are being removed, the longest first."""
    return [row["name"] for row in await connection.fetch(_Q["ending"])]


async def tables(connection: Any, tenant: str) -> Sequence[TableOfTenants]:
    return [TableOfTenants(**row) for row in await connection.fetch(_Q["tables"], tenant)]


async def forget(connection: Any, tenant: str, table: str, first_block: int, block_count: int) -> int:
    """Remove the tenant's rows in some blocks of a table; how many went."""
    return int(await connection.fetchval(_Q["forget"], tenant, table, first_block, block_count))


async def hold(connection: Any, tenant: str) -> bool:
    """Whether it ends or has ended, and its name is nobody's; until the transaction ends it stays so."""
    return bool(await connection.fetchval(_Q["hold"], tenant))


async def finish(connection: Any, tenant: str) -> bool:
    """Remove the emptied tenant itself; False when it is gone, or does not end."""
    return bool(await connection.fetchval(_Q["finish"], tenant))


async def gone(connection: Any, names: Collection[str]) -> frozenset[str]:
    """Those of `names` that are being removed, or were."""
    return frozenset(row["name"] for row in await connection.fetch(_Q["gone"], sorted(names)))


async def ended(connection: Any) -> Sequence[str]:
    """Tenants that were removed and whose names are nobody's."""
    return [row["name"] for row in await connection.fetch(_Q["ended"])]


async def late(connection: Any, after_s: float) -> Sequence[str]:
    """Tenants that went `after_s` ago or earlier and were not looked through again since."""
    return [row["name"] for row in await connection.fetch(_Q["late"], after_s)]


async def note_swept(connection: Any, tenant: str) -> None:
    await connection.execute(_Q["swept"], tenant)


async def forget_names(connection: Any, days: int) -> None:
    """Names of tenants that went so long ago that no message of theirs can be under way."""
    await connection.execute(_Q["forget_names"], days)
