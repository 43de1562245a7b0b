"""Walks that go in circles behind tokens that are always new, and ends that only look like circles."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.support.spine import open_spine, working

from headwater.persister.guard import _loops
from headwater.store import runs
from headwater.store.ledger import Content, PageKey, hold_contents
from headwater.store.runs import NewRun

CURSOR = {"type": "cursor", "cursor_path": "next"}


class Circle:
    """Pages of two records each in the order of `pages` (the last ones again and again where `circles`).

    Every cursor is a new one.
    """

    def __init__(self, pages: Sequence[int], circles: int = 0) -> None:
        self.pages = pages
        self.circles = circles
        self.asked = 0

    async def answer(self, request: web.Request) -> web.Response:
        self.asked += 1
        at = int((request.query.get("cursor") or "c0")[1:])
        if at < len(self.pages):
            page = self.pages[at]
        else:
            page = self.pages[len(self.pages) - self.circles + (at - len(self.pages)) % self.circles]
        following = f"c{at + 1}" if self.circles or at + 1 < len(self.pages) else None
        rows = [{"id": 2 * page}, {"id": 2 * page + 1}]
        return web.json_response({"items": rows, "next": following})


async def walked(
    database: str, circle: "Circle | Scroll", pagination: dict[str, Any], *services: str, **stream: Any
) -> tuple[Any, list[int]]:
    app = web.Application()
    app.router.add_get("/items", circle.answer)
    async with TestServer(app) as server, open_spine(database) as spine:
        stream = {
            "name": "items",
            "request": {"path": "items"},
            "pagination": pagination,
            "records": {"path": "items"},
            "destination": {"table": "items"},
        } | stream
        source = {
            "name": "circle",
            "base_url": str(server.make_url("/")),
            "network": {"allow": ["127.0.0.0/8"]},
            "streams": [stream],
        }
        await spine.apply(json.dumps({"version": 1, "sources": [source]}))
        async with working(spine, *services):
            async with spine.worker.transaction() as connection:
                run_id = await runs.insert(
                    connection, NewRun("default", "circle", "items", datetime.now(UTC), "api")
                )
            run = await spine.until("SELECT * FROM run WHERE id = $1 AND finished_at IS NOT NULL", run_id)
        return run, [row["id"] for row in await spine.rows_of("items", "id")]


@pytest.mark.parametrize("circles", [2, 5, 9])
async def test_a_circle_of_pages_ends_the_walk_although_every_cursor_is_new(
    database: str, circles: int
) -> None:
    circle = Circle(range(10), circles)

    run, ids = await walked(database, circle, CURSOR)

    assert (run["state"], run["stop_reason"], run["warnings"]) == ("partial", "loop", ["pagination_loop"])
    assert sorted(set(ids)) == list(range(20))
    assert circle.asked < 200


async def test_a_last_page_that_repeats_an_earlier_one_is_the_end_if_the_api_says_so(database: str) -> None:
    circle = Circle([0, 1, 2, 3, 1])

    run, ids = await walked(database, circle, CURSOR)

    assert (run["state"], run["stop_reason"], run["warnings"]) == ("succeeded", "cursor_end", [])
    assert ids == sorted([*range(8), 2, 3])


async def test_equal_slices_of_a_window_are_no_circle_and_are_told(database: str) -> None:
    circle = Circle([0])
    window = {
        "type": "window",
        "start": "2024-03-01T00:00:00Z",
        "end": "2024-03-05T00:00:00Z",
        "step_s": 86_400,
        "start_param": "from",
        "end_param": "to",
    }

    run, ids = await walked(database, circle, window)

    assert (run["state"], run["warnings"]) == ("succeeded", ["slices_alike"])
    assert ids == [0, 0, 0, 0, 1, 1, 1, 1]


class Scroll:
    """Five pages of two records each behind one cursor: the API keeps the place. The page `cut` comes cut, once."""

    def __init__(self, cut: int = 0) -> None:
        self.cut = cut
        self.at = 0

    async def answer(self, request: web.Request) -> web.Response:
        self.at = self.at + 1 if "cursor" in request.query else 1
        if self.at == self.cut:
            self.cut = 0
            return web.Response(text='{"items": [{"id": 1', content_type="application/json")
        rows = [{"id": 2 * self.at}, {"id": 2 * self.at + 1}] if self.at <= 5 else []
        return web.json_response({"items": rows, "next": "scroll", "total": 10})


_KEPT = {**CURSOR, "total": "total", "keeps_place": True}


async def test_a_cursor_that_stays_the_same_is_no_circle_where_the_api_keeps_the_place(database: str) -> None:
    run, ids = await walked(database, Scroll(), _KEPT)

    assert (run["state"], run["stop_reason"], run["warnings"]) == ("succeeded", "total_reached", [])
    assert ids == list(range(2, 12))


async def test_where_the_api_keeps_the_place_no_page_is_asked_for_twice(database: str) -> None:
    run, ids = await walked(database, Scroll(cut=3), _KEPT)

    assert (run["state"], run["error_kind"], run["requests"]) == ("failed", "undecodable", 3)
    assert "begins anew with the next attempt" in run["error_message"]
    assert ids == list(range(2, 6))


async def test_where_the_api_keeps_the_place_a_first_page_is_asked_for_again(database: str) -> None:
    run, ids = await walked(database, Scroll(cut=1), _KEPT)

    assert (run["state"], ids) == ("succeeded", list(range(2, 12)))


async def test_a_limit_leaves_no_place_to_go_on_from_where_the_api_keeps_it(database: str) -> None:
    run, _ = await walked(database, Scroll(), _KEPT, limits={"max_records": 3})

    assert (run["state"], run["stop_reason"], run["received"]) == ("partial", "limit", 4)


_RUN = uuid4()


def _content(number: int, digest: bytes = b"d", reason: str | None = None) -> Content:
    return Content(PageKey(_RUN, 1, 0, number), digest, reason)


@pytest.mark.parametrize(
    ("settled", "fresh", "first", "repeated"),
    [
        ([], [_content(1)], None, []),
        ([_content(2)], [_content(5)], 5, [5]),
        ([_content(5)], [_content(2)], 5, [2]),
        ([], [_content(7), _content(3), _content(5)], 7, [5, 7]),
        ([_content(2), _content(11)], [_content(20)], 20, [20]),
        ([_content(3)], [_content(9, reason="cursor_end")], None, []),
        ([_content(9, reason="cursor_end")], [_content(3)], None, []),
        ([_content(2)], [_content(4, b"other")], None, []),
        # a page that its walk found to be repeated has no records: the one that it repeats is still to be loaded
        ([_content(2, reason="loop")], [_content(1)], 2, []),
        ([_content(2, reason="short_page")], [_content(1)], 2, []),
        ([], [_content(2, reason="loop"), _content(1)], 2, [2]),
        ([_content(1)], [_content(2, reason="loop")], 2, [2]),
    ],
)
def test_of_equal_pages_the_later_one_is_the_loop_in_whatever_order_they_settle(
    settled: list[Content], fresh: list[Content], first: int | None, repeated: list[int]
) -> None:
    loops = _loops(settled, fresh, planned=frozenset())

    assert loops.first.get((_RUN, 1, 0)) == first
    assert sorted(key.number for key in loops.repeated) == repeated


async def test_loads_of_equal_pages_wait_for_one_another_and_for_no_others(database: str) -> None:
    one, other = await asyncpg.connect(database), await asyncpg.connect(database)
    equal, another = bytes([200] * 12), bytes([7] * 12)
    second, third = PageKey(_RUN, 1, 0, 2), PageKey(_RUN, 1, 0, 3)
    first_load = one.transaction()
    await first_load.start()
    await hold_contents(one, [(second, equal)])

    async with asyncio.timeout(10), other.transaction():
        await hold_contents(other, [(third, another)])
        waiting = asyncio.create_task(hold_contents(other, [(third, equal)]))
        while not await one.fetchval(
            "SELECT EXISTS (SELECT FROM pg_locks JOIN pg_stat_activity USING (pid) "
            "WHERE NOT granted AND datname = current_database())"
        ):
            await asyncio.sleep(0)
        is_held = not waiting.done()
        await first_load.commit()
        await waiting

    assert is_held
    await asyncio.gather(one.close(), other.close())
