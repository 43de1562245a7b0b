"""Pages asked for ahead: a window that slides over all fetchers, whatever order their answers come in."""

import asyncio
import json
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Self
from uuid import UUID

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.support.spine import Spine, open_spine, working

from headwater.model.run import RunState
from headwater.store import runs
from headwater.store.runs import NewRun, Outcome

SIZE = 10


class Shop:
    """`count` things in pages of ten, with their total. Counts how many requests are under way at once.

    `told` makes the total of an answer out of the offset; `rows` the page. `gate` holds pages back until it is set,
    those whose offset is `gated`.
    """

    def __init__(self, count: int, *, told: Callable[[int], Any] | None = None) -> None:
        self.count = count
        self.told = told or (lambda _: self.count)
        self.rows: Callable[[int, int], list[Any]] = self._rows
        self.gate = asyncio.Event()
        self.gate.set()
        self.gated: Callable[[int], bool] = bool
        self.full = asyncio.Event()  # eight requests are under way
        self.most = self.now = 0
        self.asked: list[int] = []
        self.delay_s: Callable[[], float] = lambda: random.uniform(0, 0.03)

    def _rows(self, offset: int, limit: int) -> list[Any]:
        return [{"id": number} for number in range(offset, min(offset + limit, self.count))]

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
        limit = min(int(request.query.get("limit", SIZE)), SIZE)
        offset = (
            int(request.query["offset"])
            if "offset" in request.query
            else (int(request.query["page"]) - 1) * SIZE
        )
        self.asked.append(offset)
        self.now += 1
        self.most = max(self.most, self.now)
        if self.now == 8:
            self.full.set()
        try:
            await asyncio.sleep(self.delay_s())
            if self.gated(offset):
                await self.gate.wait()
        finally:
            self.now -= 1
        return web.json_response({"items": self.rows(offset, limit), "total": self.told(offset)})

    def manifest(self, pagination: dict[str, Any] | None = None, mode: str = "append", **stream: Any) -> str:
        source = {
            "name": "shop",
            "base_url": str(self.server.make_url("/")),
            "network": {"allow": ["127.0.0.0/8"]},
            "streams": [
                {
                    "name": "things",
                    "request": {"path": "things"},
                    "pagination": {"type": "offset", "size": SIZE, "total": "total", "parallel": 8}
                    | (pagination or {}),
                    "records": {"path": "items"},
                    "destination": {"table": "things", "mode": mode, "key": ["id"]},
                }
                | stream
            ],
        }
        return json.dumps({"version": 1, "sources": [source]})


async def start(spine: Spine) -> UUID:
    async with spine.worker.transaction() as connection:
        return await runs.insert(connection, NewRun("default", "shop", "things", datetime.now(UTC), "api"))


async def walked(spine: Spine, shop: Shop, *services: str) -> Any:
    async with working(spine, *(services or ("timer", "fetcher", "persister"))):
        run_id = await start(spine)
        return await spine.until("SELECT * FROM run WHERE id = $1 AND finished_at IS NOT NULL", run_id)


async def quiet(spine: Spine) -> None:
    """Until no page is due and no batch on its way; asked again, since a message may be between two queues."""
    async with asyncio.timeout(20):
        calm = 0
        while calm < 3:
            depth = await spine.bus.depth()
            calm = 0 if depth["headwater.page.due"] or depth["headwater.batch.ready"] else calm + 1
            await asyncio.sleep(0.02)


async def ids(spine: Spine) -> list[int]:
    return [row["id"] for row in await spine.rows_of("things", "id")]


@pytest.mark.parametrize("pagination", [{}, {"type": "page", "size": None, "size_param": None}])
async def test_a_planned_walk_keeps_its_window_over_all_fetchers(
    database: str, pagination: dict[str, Any]
) -> None:
    async with Shop(600) as shop, open_spine(database) as spine:
        made = {name: value for name, value in pagination.items() if value is not None}
        manifest = json.loads(shop.manifest(made))
        if pagination:
            del manifest["sources"][0]["streams"][0]["pagination"]["size"]
        await spine.apply(json.dumps(manifest))

        shop.gate.clear()
        async with working(spine, "timer", "fetcher", "fetcher", "persister", "persister"):
            run_id = await start(spine)
            async with asyncio.timeout(20):
                await shop.full.wait()
            shop.gate.set()
            run = await spine.until("SELECT * FROM run WHERE id = $1 AND finished_at IS NOT NULL", run_id)

        assert (run["state"], run["stop_reason"], run["pages"]) == ("succeeded", "total_reached", 60)
        assert await ids(spine) == list(range(600))
        assert sorted(shop.asked) == list(range(0, 600, SIZE))
        assert shop.most == 8


async def test_pages_beyond_a_total_that_is_too_high_leave_the_run_partial(database: str) -> None:
    async with Shop(205, told=lambda _: 400) as shop, open_spine(database) as spine:
        await spine.apply(shop.manifest())

        run = await walked(spine, shop)

        assert (run["state"], run["warnings"]) == ("partial", ["total_not_met"])
        assert await ids(spine) == list(range(205))


async def test_a_total_that_shrinks_ends_the_walk_at_an_empty_page_and_is_told(database: str) -> None:
    async with (
        Shop(205, told=lambda offset: 400 if offset == 0 else 205) as shop,
        open_spine(database) as spine,
    ):
        await spine.apply(shop.manifest())

        run = await walked(spine, shop)

        ended = (run["state"], run["stop_reason"], run["warnings"])
        assert ended == ("succeeded", "empty_page", ["total_shrank"])
        assert await ids(spine) == list(range(205))


async def test_a_total_that_grows_is_followed_to_its_end(database: str) -> None:
    async with (
        Shop(260, told=lambda offset: 200 if offset < 150 else 260) as shop,
        open_spine(database) as spine,
    ):
        await spine.apply(shop.manifest())

        run = await walked(spine, shop)

        assert (run["state"], run["stop_reason"]) == ("succeeded", "total_reached")
        assert await ids(spine) == list(range(260))


async def test_a_short_page_in_the_middle_is_told_since_records_may_lie_behind_it(database: str) -> None:
    async with Shop(200) as shop, open_spine(database) as spine:
        shop.rows = lambda offset, limit: shop._rows(offset, 4 if offset == 50 else limit)
        await spine.apply(shop.manifest())

        run = await walked(spine, shop)

        assert (run["state"], run["warnings"]) == ("partial", ["total_not_met"])


async def test_cancelling_stops_a_planned_walk_in_mid_flight(database: str) -> None:
    async with Shop(2000) as shop, open_spine(database) as spine:
        await spine.apply(shop.manifest())
        async with working(spine):
            run_id = await start(spine)
            await spine.until("SELECT 1 FROM run WHERE id = $1 AND pages > 20", run_id)

            async with spine.worker.transaction() as connection:
                await runs.finish(connection, run_id, Outcome(RunState.CANCELLED))
            await quiet(spine)

        assert len(shop.asked) < 200
        run = await spine.row("SELECT * FROM run WHERE id = $1", run_id)
        assert run["state"] == "cancelled"
        assert len(await ids(spine)) == run["inserted"]


async def test_messages_that_come_again_ask_for_nothing_twice_that_has_settled(database: str) -> None:
    async with Shop(300) as shop, open_spine(database) as spine:
        await spine.apply(shop.manifest())
        seen: list[Any] = []
        publish = spine.bus.publish

        async def noting(message: Any) -> None:
            if message.type == "page.due":
                seen.append(message)
            await publish(message)

        spine.bus.publish = noting  # type: ignore[method-assign]
        shop.gate.clear()
        async with working(spine):
            run_id = await start(spine)
            await spine.until("SELECT 1 FROM page WHERE run_id = $1 AND number = 2", run_id)
            for message in list(seen):
                await publish(message)
            shop.gate.set()
            run = await spine.until("SELECT * FROM run WHERE id = $1 AND finished_at IS NOT NULL", run_id)
            await quiet(spine)

        assert (run["state"], run["inserted"], run["late"]) == ("succeeded", 300, 0)
        assert await ids(spine) == list(range(300))
        # each of nine hands twice, and those who lost theirs go on by the page that had begun ahead
        assert len(shop.asked) <= 30 + 3 * 9


async def test_what_was_lost_on_the_way_is_asked_for_again(database: str) -> None:
    from headwater.timer.reaper import reap

    async with Shop(300) as shop, open_spine(database) as spine:
        await spine.apply(shop.manifest())
        lost: list[Any] = []
        publish = spine.bus.publish

        async def losing(message: Any) -> None:
            number = json.loads(message.body).get("number") if message.type == "page.due" else None
            if number in {5, 17} and message.id not in lost:
                lost.append(message.id)
                return
            await publish(message)

        spine.bus.publish = losing  # type: ignore[method-assign]
        async with working(spine):
            run_id = await start(spine)
            await spine.until("SELECT 1 FROM run WHERE id = $1 AND pages > 4", run_id)
            await quiet(spine)
            assert len(lost) >= 1
            async with asyncio.timeout(20):
                while await spine.row("SELECT 1 FROM run WHERE id = $1 AND finished_at IS NULL", run_id):
                    async with spine.worker.transaction() as connection:
                        await reap(connection, 0.0)
                    await asyncio.sleep(0.1)
            run = await spine.until("SELECT * FROM run WHERE id = $1 AND finished_at IS NOT NULL", run_id)

        assert run["state"] == "succeeded"
        assert await ids(spine) == list(range(300))


@pytest.mark.parametrize("mode", ["merge", "append"])
async def test_planned_pages_that_hold_the_very_same_records_are_a_loop_and_the_run_is_not_called_complete(
    database: str, mode: str
) -> None:
    async with Shop(200) as shop, open_spine(database) as spine:
        shop.rows = lambda offset, limit: shop._rows(
            min(offset, 90), limit
        )  # as servers that bound the page's number
        await spine.apply(shop.manifest(mode=mode))

        run = await walked(spine, shop)

        assert (run["state"], run["stop_reason"], run["warnings"]) == ("partial", "loop", ["pagination_loop"])
        assert (run["received"], run["inserted"]) == (200, 100)
        assert (run["pages"], await ids(spine)) == (20, list(range(100)))


async def test_pages_that_repeat_the_first_are_a_loop_also_where_the_second_settles_last(
    database: str,
) -> None:
    async with Shop(60) as shop, open_spine(database) as spine:
        shop.rows = lambda *_: [{"id": number} for number in range(SIZE)]
        shop.gate.clear()
        shop.gated = lambda offset: offset == SIZE
        await spine.apply(shop.manifest(mode="merge"))

        async with working(spine, "timer", "fetcher", "persister"):
            run_id = await start(spine)
            await spine.until(
                "SELECT 1 FROM page WHERE run_id = $1 AND number > 2 AND settled_at IS NOT NULL", run_id
            )
            shop.gate.set()
            run = await spine.until("SELECT * FROM run WHERE id = $1 AND finished_at IS NOT NULL", run_id)

        assert (run["state"], run["stop_reason"], run["warnings"]) == ("partial", "loop", ["pagination_loop"])
        assert await ids(spine) == list(range(SIZE))
