"""Streams into the tables of another database that is away, refuses, changes, or is asked by a run that ends."""

import asyncio
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from aiohttp.test_utils import TestServer
from tests.integration.test_walk_destinations import Shop, counts, row, run
from tests.support.far import (
    AWAY_AT_THE_END,
    BLOCKED,
    COMMITTING,
    LOADING,
    WAITING,
    apply,
    begin,
    commits_held,
    ended,
    rows,
    seen,
    tables,
)
from tests.support.processes import free_port
from tests.support.spine import open_spine, working

from headwater.model.errors import Later, Unavailable
from headwater.model.run import RunState
from headwater.model.secret import Secret
from headwater.persister import far
from headwater.persister.far import Far
from headwater.plugins.destinations import PostgresDestination, Table
from headwater.plugins.destinations.once import make_notes
from headwater.store import config, runs
from headwater.store.database import Database
from headwater.store.runs import Outcome


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


async def test_a_run_that_cannot_be_closed_there_says_what_it_waits_for_and_ends_in_time(
    database: str, far_database: str, lake: asyncpg.Connection
) -> None:
    shop = Shop([row(1, "a")])
    async with TestServer(shop.app()) as server, open_spine(database) as spine, working(spine):
        await apply(spine, server, far_database, "mode: replace")
        await run(spine)
        await lake.execute(AWAY_AT_THE_END)
        run_id = await begin(spine)
        parked = await spine.until("SELECT * FROM run WHERE id = $1 AND parked_until IS NOT NULL", run_id)
        await spine.worker.execute(
            "UPDATE run SET started_at = started_at - interval '2 days' WHERE id = $1", run_id
        )
        last = await ended(spine, run_id)

    assert "destination lake" in parked["waits_for"]
    assert (last["state"], last["error_kind"]) == ("failed", "destination")
    assert "limits.max_seconds" in last["error_message"]
    assert await rows(lake) == [(1, "a")]


async def test_a_database_that_is_loaded_into_is_not_left_for_another(
    database: str, far_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(far, "MAX_OPEN", 1)
    table = Table("lake", "things")
    async with TestServer(Shop([]).app()) as server, open_spine(database) as spine:
        await apply(spine, server, far_database)
        await spine.apply(f"version: 1\ndestinations: [{{name: pond, url: '{far_database}'}}]")
        databases = far.FarDatabases(spine.worker, spine.keyring)
        first = await databases.at(far.FarTable("default", "lake", table))
        async with first.transaction() as connection:
            second = await databases.at(far.FarTable("default", "pond", table))
            async with second.transaction() as other:
                found = await connection.fetchval("SELECT 1"), await other.fetchval("SELECT 2")
        await databases.at(far.FarTable("default", "pond", table))
        with pytest.raises(Unavailable, match="not open"):
            first.database.pool.get_size()
        await databases.close()

    assert found == (1, 2)
