"""Streams into the tables of another database: each page once there, whatever ends in between."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from aiohttp.test_utils import TestServer
from tests.integration.test_walk_destinations import Shop, counts, row, run
from tests.support.processes import free_port
from tests.support.spine import Spine, open_spine, working

from headwater.model.errors import Later
from headwater.model.run import RunState
from headwater.model.secret import Secret
from headwater.persister.far import Far
from headwater.plugins.destinations import PostgresDestination
from headwater.plugins.destinations.once import make_notes
from headwater.store import config, runs
from headwater.store.database import Database
from headwater.store.runs import NewRun, Outcome

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
_HELD = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query "
COMMITTING = _HELD + "LIKE 'COMMIT%'"
WAITING = _HELD + "LIKE '%pg_advisory_xact_lock(%'"
BLOCKED = "SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'lake.things'::regclass"
LOADING = (
    "SELECT pid FROM pg_stat_activity WHERE datname = $1 AND state = 'idle in transaction' "
    "AND state_change < clock_timestamp() - interval '0.3 s'"
)


@pytest.fixture
async def lake(far_database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(far_database, timeout=5)
    yield connection
    await connection.close()


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


async def test_a_stream_makes_and_fills_its_table_there_and_none_here(
    database: str, far_database: str, lake: asyncpg.Connection
) -> None:
    shop = Shop([row(1, "a", price=1.5), row(2, "b"), row(3, "c", big=2**70)])
    async with TestServer(shop.app()) as server, open_spine(database) as spine, working(spine):
        await apply(spine, server, far_database)
        first = await run(spine)
        second = await run(spine)
        own = await spine.fetch("SELECT 1 FROM pg_namespace WHERE nspname = 'hw_default'")

    assert (first["state"], counts(first)) == ("succeeded", (3, 0, 0, 0))
    assert (second["state"], counts(second)) == ("succeeded", (3, 0, 0, 0))
    assert await rows(lake) == [(1, "a"), (1, "a"), (2, "b"), (2, "b"), (3, "c"), (3, "c")]
    assert await lake.fetchval("SELECT big FROM lake.things WHERE id = 3 LIMIT 1") == 2**70
    assert {each["r"] for each in await lake.fetch("SELECT DISTINCT _run_id AS r FROM lake.things")} == {
        first["id"],
        second["id"],
    }
    assert not own


async def test_rows_are_merged_there_by_key(
    database: str, far_database: str, lake: asyncpg.Connection
) -> None:
    shop = Shop([row(1, "a"), row(2, "b"), row(3, "c")])
    async with TestServer(shop.app()) as server, open_spine(database) as spine, working(spine):
        await apply(spine, server, far_database, "mode: merge, key: id", schema="")
        await run(spine)
        await lake.execute("UPDATE _headwater_pages SET noted_at = now() - interval '8 days'")
        shop.rows = [row(1, "a"), row(2, "new"), row(4, "d")]
        ended = await run(spine)

    assert counts(ended) == (1, 1, 1, 0)
    assert await rows(lake, "public") == [(1, "a"), (2, "new"), (3, "c"), (4, "d")]
    assert {each["run_id"] for each in await lake.fetch("SELECT run_id FROM _headwater_pages")} == {
        ended["id"]
    }


async def test_a_replacement_is_exchanged_there_and_leaves_nothing_behind(
    database: str, far_database: str, lake: asyncpg.Connection
) -> None:
    shop = Shop([row(1, "a"), row(2, "b"), row(3, "c")])
    async with TestServer(shop.app()) as server, open_spine(database) as spine, working(spine):
        await apply(spine, server, far_database, "mode: replace")
        await run(spine)
        shop.rows, shop.fails_from = [row(7, "x"), row(8, "y"), row(9, "z")], 2
        failed = await run(spine)
        before = await rows(lake)
        shop.fails_from = None
        ended = await run(spine)
        await spine.until("SELECT 1 WHERE NOT EXISTS (SELECT FROM run_staging)")

    assert failed["state"] == "failed"
    assert before == [(1, "a"), (2, "b"), (3, "c")]
    assert ended["state"] == "succeeded"
    assert await rows(lake) == [(7, "x"), (8, "y"), (9, "z")]
    assert await tables(lake) == {"things", "_headwater_pages"}


async def test_what_a_complete_run_did_not_bring_goes_there(
    database: str, far_database: str, lake: asyncpg.Connection
) -> None:
    shop = Shop([row(1, "a"), row(2, "b"), row(3, "c")])
    async with TestServer(shop.app()) as server, open_spine(database) as spine, working(spine):
        await apply(spine, server, far_database, "mode: merge, key: id, delete_missing: 0.5")
        await run(spine)
        shop.rows = [row(1, "a"), row(3, "c")]
        ended = await run(spine)

    assert counts(ended) == (0, 0, 2, 1)
    assert await rows(lake) == [(1, "a"), (3, "c")]


async def test_the_next_run_removes_what_a_failed_one_appended_there(
    database: str, far_database: str, lake: asyncpg.Connection
) -> None:
    shop = Shop([row(1, "a"), row(2, "b"), row(3, "c")])
    shop.fails_from = 2
    async with TestServer(shop.app()) as server, open_spine(database) as spine, working(spine):
        await apply(spine, server, far_database)
        await run(spine)
        left = await rows(lake)
        shop.fails_from = None
        ended = await run(spine)

    assert left == [(1, "a"), (2, "b")]
    assert ended["state"] == "succeeded"
    assert await rows(lake) == [(1, "a"), (2, "b"), (3, "c")]


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


async def test_a_page_that_was_committed_there_and_not_here_is_loaded_once(
    database: str, far_database: str, lake: asyncpg.Connection
) -> None:
    shop = Shop([])
    async with TestServer(shop.app()) as server, open_spine(database) as spine, working(spine):
        await apply(spine, server, far_database)
        shop.rows = [row(0, "before")]
        await run(spine)
        shop.rows = [row(1, "a"), row(2, "b"), "no object"]
        (name,) = await spine.row("SELECT current_database()")
        async with commits_held(lake):
            run_id = await begin(spine)
            await seen(lake, COMMITTING)
            held = await spine.row("SELECT settled_count FROM walk WHERE run_id = $1", run_id)
            await lake.execute("SELECT pg_terminate_backend($1)", await seen(lake, LOADING, name))
        last = await ended(spine, run_id)

    assert held["settled_count"] == 0
    assert (last["state"], last["received"], last["inserted"], last["rejected"]) == ("succeeded", 3, 2, 1)
    assert await rows(lake) == [(0, "before"), (1, "a"), (2, "b")]


async def test_what_a_cancelled_run_still_commits_there_is_waited_for_and_removed(
    database: str, far_database: str, lake: asyncpg.Connection
) -> None:
    shop = Shop([row(0, "before")])
    async with TestServer(shop.app()) as server, open_spine(database) as spine, working(spine):
        await apply(spine, server, far_database)
        await run(spine)
        shop.rows = [row(1, "a"), row(2, "b")]
        (name,) = await spine.row("SELECT current_database()")
        async with commits_held(lake):
            run_id = await begin(spine)
            await seen(lake, COMMITTING)
            await lake.execute("SELECT pg_terminate_backend($1)", await seen(lake, LOADING, name))
            async with spine.worker.transaction() as connection:
                await runs.finish(connection, run_id, Outcome(RunState.CANCELLED))
            following = await begin(spine)
            await seen(lake, WAITING)
        last = await ended(spine, following)

    assert (last["state"], counts(last)) == ("succeeded", (2, 0, 0, 0))
    assert await rows(lake) == [(0, "before"), (1, "a"), (2, "b")]
    assert {
        each["r"] for each in await lake.fetch("SELECT DISTINCT _run_id AS r FROM lake.things WHERE id > 0")
    } == {following}


async def test_a_run_that_is_cancelled_while_its_page_is_loaded_there_leaves_nothing(
    database: str, far_database: str, lake: asyncpg.Connection
) -> None:
    shop = Shop([row(0, "before")])
    async with TestServer(shop.app()) as server, open_spine(database) as spine, working(spine):
        await apply(spine, server, far_database)
        await run(spine)
        shop.rows = [row(1, "a"), row(2, "b")]
        async with lake.transaction():
            await lake.execute("LOCK TABLE lake.things IN SHARE MODE")
            run_id = await begin(spine)
            await seen(lake, BLOCKED)
            async with spine.worker.transaction() as connection:
                await runs.finish(connection, run_id, Outcome(RunState.CANCELLED))
        await spine.until("SELECT 1 FROM run WHERE id = $1 AND late = 2", run_id)

    assert await rows(lake) == [(0, "before")]


async def test_what_a_failed_run_left_goes_when_the_stream_comes_back_to_its_table(
    database: str, far_database: str, lake: asyncpg.Connection
) -> None:
    shop = Shop([row(1, "a"), row(2, "b"), row(3, "c")])
    async with TestServer(shop.app()) as server, open_spine(database) as spine, working(spine):
        shop.fails_from = 2
        await apply(spine, server, far_database)
        await run(spine)
        await apply(spine, server, far_database, to="database")
        await run(spine)
        left = len(await rows(lake)), len(await spine.rows_of("things", "id"))
        shop.fails_from = None
        await apply(spine, server, far_database)
        await run(spine)
        own = len(await spine.rows_of("things", "id"))
        await apply(spine, server, far_database, to="database")
        await run(spine)

        assert left == (2, 2)
        assert own == 0
        assert len(await spine.rows_of("things", "id")) == 3
    assert await rows(lake) == [(1, "a"), (2, "b"), (3, "c")]


async def test_a_run_waits_for_a_database_that_is_away_and_goes_on(
    database: str, far_database: str, lake: asyncpg.Connection
) -> None:
    shop = Shop([row(1, "a")])
    away = f"postgresql://who:very-secret@127.0.0.1:{free_port()}/lake"
    async with TestServer(shop.app()) as server, open_spine(database) as spine, working(spine):
        await apply(spine, server, away)
        ending = asyncio.create_task(run(spine))
        parked = await spine.until("SELECT * FROM run WHERE parked_until IS NOT NULL")
        await apply(spine, server, far_database)
        ended = await ending

    assert "destination lake" in parked["waits_for"]
    assert "very-secret" not in str(dict(parked))
    assert (ended["state"], counts(ended)) == ("succeeded", (1, 0, 0, 0))
    assert await rows(lake) == [(1, "a")]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("test_", "gone_"), "does not exist"),
        (("//headwater:", "//nobody:very-secret"), "nobody"),
        (("127.0.0.1:", "127.0.0.1:x"), "postgresql://user:password@host:port/database"),
    ],
)
async def test_a_database_that_lets_nobody_in_fails_the_run_and_says_so(
    database: str, far_database: str, change: tuple[str, str], why: str
) -> None:
    shop = Shop([row(1, "a")])
    async with TestServer(shop.app()) as server, open_spine(database) as spine, working(spine):
        await apply(spine, server, far_database.replace(*change, 1))
        ended = await run(spine)

    assert (ended["state"], ended["error_kind"]) == ("failed", "destination")
    assert "destination lake" in ended["error_message"]
    assert why in ended["error_message"]
    assert "very-secret" not in ended["error_message"]


async def test_two_loaders_at_once_make_the_table_of_notes(
    far_database: str, lake: asyncpg.Connection
) -> None:
    other = await asyncpg.connect(far_database, timeout=5)
    try:
        async with lake.transaction():
            await make_notes(lake, "lake")
            second = asyncio.create_task(make_notes(other, "lake"))
            await seen(
                lake, "SELECT pid FROM pg_locks WHERE NOT granted AND pid = $1", other.get_server_pid()
            )
        await second
        assert await tables(lake) == {"_headwater_pages"}
    finally:
        await other.close()


async def test_an_address_that_a_secret_hid_from_validation_is_no_way_into_headwaters_own_database(
    database: str, far_database: str
) -> None:
    shop = Shop([row(1, "a")])
    async with TestServer(shop.app()) as server, open_spine(database) as spine, working(spine):
        await apply(spine, server, "${secret:LAKE}", schema=", schema: headwater")
        async with spine.api.as_tenant("default", admin=True) as connection:
            await config.put_secret(connection, spine.keyring, "default", "LAKE", Secret.of(database))
        last = await run(spine)

    assert (last["state"], last["error_kind"]) == ("failed", "destination")
    assert "local socket" in last["error_message"]


async def test_a_database_that_does_not_answer_is_asked_once_for_all(database: str) -> None:
    asked: list[Any] = []

    async def never(reader: Any, writer: Any) -> None:
        asked.append(writer)

    url = Secret.of("postgresql://a:b@127.0.0.1:{}/c")
    async with await asyncio.start_server(never, "127.0.0.1", 0) as silent:
        port = silent.sockets[0].getsockname()[1]
        far = Far("lake", Database(Secret.of(url.text().format(port)), None), PostgresDestination())
        for _ in range(3):
            with pytest.raises(Later, match="destination lake"):
                async with far.transaction():
                    raise AssertionError("it answered")
        await far.database.close()
        for writer in asked:
            writer.close()

    assert len(asked) == 1


@pytest.mark.parametrize("use", ["mode: append", "mode: merge, key: id"])
async def test_a_schema_that_was_dropped_there_is_made_again(
    database: str, far_database: str, lake: asyncpg.Connection, use: str
) -> None:
    shop = Shop([row(1, "a")])
    async with TestServer(shop.app()) as server, open_spine(database) as spine, working(spine):
        await apply(spine, server, far_database, use)
        await run(spine)
        await lake.execute("DROP SCHEMA lake CASCADE")
        last = await run(spine)

    assert (last["state"], counts(last)) == ("succeeded", (1, 0, 0, 0))
    assert await rows(lake) == [(1, "a")]


@pytest.mark.parametrize("use", ["mode: replace", "mode: merge, key: id, delete_missing: 1.0"])
async def test_a_run_whose_schema_changes_meanwhile_takes_no_rows_for_all(
    database: str, far_database: str, lake: asyncpg.Connection, use: str
) -> None:
    shop = Shop([row(1, "a"), row(2, "b"), row(3, "c")])
    async with TestServer(shop.app()) as server, open_spine(database) as spine, working(spine):
        await apply(spine, server, far_database, use)
        await run(spine)
        await apply(spine, server, far_database, use, schema=", schema: other")
        shop.waits_from = 2
        run_id = await begin(spine)
        await shop.is_asked.wait()
        await spine.until("SELECT 1 FROM run WHERE id = $1 AND inserted = 2", run_id)
        await apply(spine, server, far_database, use)
        shop.may_answer.set()
        last = await ended(spine, run_id)

    assert (last["state"], last["error_kind"]) == ("failed", "destination")
    assert "its destination changed" in last["error_message"]
    assert await rows(lake) == [(1, "a"), (2, "b"), (3, "c")]


@pytest.mark.parametrize(
    "use", ["mode: append", "mode: merge, key: id, children: [tags]", "mode: replace", "mode: scd2, key: id"]
)
async def test_a_role_that_owns_one_schema_and_no_more_loads(
    database: str, far_database: str, lake: asyncpg.Connection, use: str
) -> None:
    role = f"r{uuid4().hex}"
    name = await lake.fetchval("SELECT current_database()")
    await lake.execute(
        f"CREATE ROLE {role} LOGIN PASSWORD 'plain'; REVOKE ALL ON SCHEMA public FROM PUBLIC;"
        f"REVOKE ALL ON DATABASE {name} FROM PUBLIC; GRANT CONNECT, TEMP ON DATABASE {name} TO {role};"
        f"CREATE SCHEMA lake AUTHORIZATION {role}"
    )
    url = f"postgresql://{role}:plain@{far_database.rpartition('@')[2]}"
    shop = Shop([row(1, "a", tags=[{"t": 1}]), row(2, "b", tags=[])])
    async with TestServer(shop.app()) as server, open_spine(database) as spine, working(spine):
        await apply(spine, server, url, use)
        last = await run(spine)
        shop.rows[0] = row(1, "new", tags=[{"t": 2}])
        again = await run(spine)
    await lake.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")

    assert (last["state"], last["error_message"]) == ("succeeded", None)
    assert (again["state"], again["error_message"]) == ("succeeded", None)
