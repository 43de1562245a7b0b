"""Streams into the tables of another database: each page once there, whatever ends in between."""

import asyncpg
from aiohttp.test_utils import TestServer
from tests.integration.test_walk_destinations import Shop, counts, row, run
from tests.support.far import COMMITTING, LOADING, apply, begin, commits_held, ended, rows, seen, tables
from tests.support.spine import open_spine, working


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
