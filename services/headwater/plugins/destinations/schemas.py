"""Whole schemas of destination tables, removed. Tables go one by one, so that no transaction holds many locks."""

from collections.abc import Collection, Sequence
from typing import Any

from headwater.model.names import quote_identifier
from headwater.plugins.destinations.patience import impatient

_TABLES = """
SELECT c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND NOT c.relispartition
   AND c.relowner = (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = current_user) ORDER BY c.relname
"""
_OWN = """
SELECT n.nspname FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_roles r ON r.oid = n.nspowner
 WHERE n.nspname = ANY($1::text[]) AND r.rolname = current_user
"""


async def those_there(connection: Any, names: Collection[str]) -> frozenset[str]:
    """Those of the schemas `names` that exist and belong to the current role."""
    return frozenset(row["nspname"] for row in await connection.fetch(_OWN, sorted(names)))


async def own_tables(connection: Any, schema: str) -> Sequence[str]:
    """The schema's tables that belong to the current role."""
    return [row["relname"] for row in await connection.fetch(_TABLES, schema)]


async def drop_table(connection: Any, schema: str, table: str) -> None:
    """With the views and whatever else hangs on it. Waits a second at most for those who read it."""
    name = f"{quote_identifier(schema)}.{quote_identifier(table)}"
    async with impatient(connection):
        await connection.execute(f"DROP TABLE IF EXISTS {name} CASCADE")


async def drop_schema(connection: Any, schema: str) -> None:
    """With what others put into it; one that belongs to another role stays, as what is in it."""
    if await those_there(connection, [schema]):
        async with impatient(connection):
            await connection.execute(f"DROP SCHEMA IF EXISTS {quote_identifier(schema)} CASCADE")
