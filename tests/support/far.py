"""Streams into tables of another database, and what holds their loads up."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
from aiohttp.test_utils import TestServer
from tests.support.spine import Spine

from headwater.store import runs
from headwater.store.runs import NewRun

MANIFEST = """
version: 1
destinations:
  - {{name: lake, kind: postgres, url: "{url}"{schema}}}
sources:
  - name: shop
    base_url: {base}
    network: {{allow: ["127.0.0.0/8"]}}
    streams:
      - name: things
        request: {{path: /things}}
        pagination: {{type: offset, size: 2}}
        records: {{path: items}}
        destination: {{to: {to}, table: things, {use}}}
"""
HOLD = """
CREATE OR REPLACE FUNCTION lake.hold() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_advisory_xact_lock_shared(42); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER hold AFTER INSERT ON lake.things DEFERRABLE INITIALLY DEFERRED
   FOR EACH ROW EXECUTE FUNCTION lake.hold();
"""
AWAY_AT_THE_END = """
CREATE FUNCTION lake.away() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'going' USING ERRCODE = '57P01'; END $$;
CREATE TRIGGER away BEFORE DELETE ON lake.things FOR EACH STATEMENT EXECUTE FUNCTION lake.away();
"""
_HELD = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query "
COMMITTING = _HELD + "LIKE 'COMMIT%'"
WAITING = _HELD + "LIKE '%pg_advisory_xact_lock(%'"
BLOCKED = "SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'lake.things'::regclass"
LOADING = (
    "SELECT pid FROM pg_stat_activity WHERE datname = $1 AND state = 'idle in transaction' "
    "AND state_change < clock_timestamp() - interval '0.3 s'"
)


async def apply(
    spine: Spine,
    server: TestServer,
    url: str,
    use: str = "mode: append",
    schema: str = ", schema: lake",
    to: str = "lake",
) -> None:
    await spine.apply(MANIFEST.format(base=server.make_url("/"), url=url, use=use, schema=schema, to=to))


async def rows(lake: asyncpg.Connection, schema: str = "lake") -> list[tuple[Any, ...]]:
    return [
        (each["id"], each["name"])
        for each in await lake.fetch(f"SELECT id, name FROM {schema}.things ORDER BY id, name")
    ]


async def tables(lake: asyncpg.Connection) -> set[str]:
    query = "SELECT relname FROM pg_class WHERE relnamespace = 'lake'::regnamespace AND relkind = 'r'"
    return {each["relname"] for each in await lake.fetch(query)}


@asynccontextmanager
async def commits_held(lake: asyncpg.Connection) -> AsyncIterator[None]:
    """Loads that have all their rows there cannot commit them while the context is open."""
    await lake.execute(HOLD)
    await lake.execute("SELECT pg_advisory_lock(42)")
    try:
        yield
    finally:
        await lake.execute("SELECT pg_advisory_unlock(42)")
        await lake.execute("DROP TRIGGER hold ON lake.things")


async def begin(spine: Spine) -> UUID:
    new = NewRun("default", "shop", "things", datetime.now(UTC), "api", priority=0)
    async with spine.worker.transaction() as connection:
        return await runs.insert(connection, new)


async def ended(spine: Spine, run_id: UUID) -> Any:
    return await spine.until("SELECT * FROM run WHERE id = $1 AND finished_at IS NOT NULL", run_id)


async def seen(connection: Any, query: str, *values: Any) -> Any:
    """What the query gives, once it gives something."""
    async with asyncio.timeout(4.0):
        while (found := await connection.fetchval(query, *values)) is None:
            await asyncio.sleep(0.02)
    return found
