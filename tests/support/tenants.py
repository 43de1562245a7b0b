"""A tenant with a row in every table that can have one, whatever tables there are."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

_TABLES = """
SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant' AND NOT a.attisdropped
 WHERE c.relnamespace = 'headwater'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY c.relname
"""
_COLUMNS = """
SELECT a.attname AS name, format_type(a.atttypid, NULL) AS kind FROM pg_attribute a
 WHERE a.attrelid = ('headwater.' || $1)::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attnotnull
   AND NOT a.atthasdef AND a.attidentity = ''
"""
_VALUES = {
    "uuid": "gen_random_uuid()",
    "timestamp with time zone": "clock_timestamp()",
    "jsonb": "'{}'",
    "bytea": "''",
    "boolean": "false",
    "text": "$1::text",
}


@asynccontextmanager
async def superuser(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url, server_settings={"search_path": "headwater"}, timeout=10)
    try:
        yield connection
    finally:
        await connection.close()


async def fill(connection: asyncpg.Connection, tenant: str) -> None:
    """A row of the tenant in each table; what would check or follow from them is off for this connection."""
    await connection.execute("SET session_replication_role = replica")
    checks = await connection.fetch(
        "SELECT conrelid::regclass AS place, conname FROM pg_constraint"
        " WHERE connamespace = 'headwater'::regnamespace AND contype = 'c' AND coninhcount = 0"
    )
    for check in checks:
        await connection.execute(f"ALTER TABLE {check['place']} DROP CONSTRAINT {check['conname']}")
    for (table,) in await connection.fetch(_TABLES):
        columns = {row["name"]: row["kind"] for row in await connection.fetch(_COLUMNS, table)}
        values = [_VALUES.get(kind, "'{}'" if kind.endswith("[]") else "'1'") for kind in columns.values()]
        names = list(columns)
        if "tenant" not in columns:  # may be null
            names.append("tenant")
            values.append("$1::text")
        await connection.execute(
            f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(values)})", tenant
        )
    await connection.execute("SET session_replication_role = origin")


async def rows_of(connection: asyncpg.Connection, tenant: str) -> dict[str, int]:
    """How many rows of the tenant each table has."""
    return {
        table: await connection.fetchval(f"SELECT count(*) FROM {table} WHERE tenant = $1", tenant)
        for (table,) in await connection.fetch(_TABLES)
    }
