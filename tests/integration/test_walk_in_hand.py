"""A walk in hand: one message for many pages, and one worker at a time, whoever got the message again."""

import asyncio
import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any, Self
from uuid import UUID, uuid4

from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.support.pages import begin_page
from tests.support.spine import Spine, open_spine, working

from headwater.contracts.messages import PageDue
from headwater.fetcher.announce import page_message
from headwater.model.run import RunState
from headwater.store import ledger, runs
from headwater.store.ledger import PageKey
from headwater.store.runs import NewRun

PAGES = 20
HELD = 5  # the page that the API keeps back until it is let go


class Shelf:
    """Pages of three things, each with the cursor of the next. `here` is set when somebody waits for page HELD."""

    def __init__(self) -> None:
        self.asked: Counter[int] = Counter()
        self.gate, self.here = asyncio.Event(), asyncio.Event()

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/things", self._things)
        self.server = TestServer(app)
        await self.server.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.gate.set()
        await self.server.close()

    async def _things(self, request: web.Request) -> web.Response:
        page = int(request.query.get("cursor", "1"))
        self.asked[page] += 1
        if page == HELD:
            self.here.set()
            await self.gate.wait()
        items = [{"id": 3 * page + number} for number in range(3)]
        return web.json_response({"items": items, "next": str(page + 1) if page < PAGES else None})

    def manifest(self) -> str:
        stream = {
            "name": "things",
            "request": {"path": "things"},
            "pagination": {"type": "cursor", "cursor_path": "next"},
            "records": {"path": "items"},
            "destination": {"table": "things", "mode": "append"},
        }
        source = {
            "name": "shop",
            "base_url": str(self.server.make_url("/")),
            "network": {"allow": ["127.0.0.0/8"]},
            "streams": [stream],
        }
        return json.dumps({"version": 1, "sources": [source]})


async def start(spine: Spine, shelf: Shelf) -> UUID:
    await spine.apply(shelf.manifest())
    async with spine.worker.transaction() as connection:
        return await runs.insert(connection, NewRun("default", "shop", "things", datetime.now(UTC), "api"))


async def ended(spine: Spine, run_id: UUID) -> Any:
    return await spine.until("SELECT * FROM run WHERE id = $1 AND finished_at IS NOT NULL", run_id)


async def settled(spine: Spine, run_id: UUID, number: int) -> None:
    """Returns when the page is in its table."""
    await spine.until(
        "SELECT 1 FROM page WHERE run_id = $1 AND number = $2 AND settled_at IS NOT NULL", run_id, number
    )


async def ids(spine: Spine) -> list[int]:
    return [row["id"] for row in await spine.rows_of("things", "id")]


ALL = list(range(3, 3 * PAGES + 3))


async def test_one_message_brings_many_pages(database: str) -> None:
    async with Shelf() as shelf, open_spine(database) as spine:
        shelf.gate.set()

        async with working(spine, "timer", "fetcher", "persister"):
            run = await ended(spine, await start(spine, shelf))

        row = await spine.row(
            "SELECT count(*) AS pages, count(DISTINCT holder) AS hands FROM page WHERE run_id = $1", run["id"]
        )
        assert (run["state"], row["pages"], row["hands"]) == (RunState.SUCCEEDED, PAGES, 1)
        assert await ids(spine) == ALL


async def test_a_message_that_comes_twice_leaves_one_worker_with_the_walk(database: str) -> None:
    async with Shelf() as shelf, open_spine(database) as spine:
        async with working(spine, "timer", "fetcher", "persister"):
            run_id = await start(spine, shelf)
            await settled(spine, run_id, HELD - 1)
            first = await spine.row("SELECT * FROM walk WHERE run_id = $1", run_id)
            version = await spine.row("SELECT stream_version FROM run WHERE id = $1", run_id)
            again = PageDue(
                run_id=run_id,
                attempt=1,
                tenant="default",
                stream_version=version["stream_version"],
                number=1,
                token=first["first_token"],
            )
            await asyncio.wait_for(shelf.here.wait(), 20)
            await spine.bus.publish(page_message(again))
            await spine.until(
                "SELECT 1 FROM page WHERE run_id = $1 HAVING count(DISTINCT holder) = 2", run_id
            )
            shelf.gate.set()
            run = await ended(spine, run_id)

        assert run["state"] == RunState.SUCCEEDED
        assert await ids(spine) == ALL
        assert {page: count for page, count in shelf.asked.items() if count > 1}.keys() <= {HELD}


async def test_a_fetcher_that_stops_leaves_the_walk_to_the_next_one(database: str) -> None:
    async with Shelf() as shelf, open_spine(database) as spine, working(spine, "timer", "persister"):
        async with working(spine, "fetcher"):
            run_id = await start(spine, shelf)
            await asyncio.wait_for(shelf.here.wait(), 20)
            asyncio.get_running_loop().call_soon(
                shelf.gate.set
            )  # when it was told to stop, and waits for the page

        left = await spine.row("SELECT max(number) AS last FROM page WHERE run_id = $1", run_id)
        async with working(spine, "fetcher"):
            run = await ended(spine, run_id)

        assert left["last"] == HELD
        assert run["state"] == RunState.SUCCEEDED
        assert set(shelf.asked.values()) == {1}
        assert await ids(spine) == ALL


async def test_whoever_lost_the_walk_begins_no_further_page(database: str) -> None:
    async with Shelf() as shelf, open_spine(database) as spine:
        shelf.gate.set()
        async with working(spine, "timer", "fetcher"):
            run_id = await start(spine, shelf)
            await asyncio.wait_for(shelf.here.wait(), 20)
        mine, other = uuid4(), uuid4()

        def key(number: int) -> PageKey:
            return PageKey(run_id, 1, 0, number)

        async with spine.worker.connection() as connection:
            await begin_page(connection, key(100), "default", b"100", mine)
            await ledger.take_in_hand(connection, key(100), 1, other)
            lost = await begin_page(connection, key(101), "default", b"101", mine, 100)
            found = await begin_page(connection, key(101), "default", b"101", other, 100)

        assert lost is not None
        assert lost.is_lost
        assert not lost.is_wanted
        assert found is not None
        assert found.is_new
