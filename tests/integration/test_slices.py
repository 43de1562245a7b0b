"""Windows of time: a walk for each slice, and the gaps that are left by those which do not come through."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.integration.test_fetcher_incremental import run_once
from tests.support.spine import Spine, open_spine, working

from headwater.control.run_report import report_of
from headwater.store import cursors, runs

DAYS = 8


def day(number: float) -> str:
    return (datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=number)).strftime("%Y-%m-%dT%H:%M:%SZ")


class Diary:
    """Two records a day, asked for by the day; `broken` days answer with a status, `unknown` ones hold no list. Of days in
    `second` the second page alone does so, or has no records where the status is 200.
    """

    def __init__(self) -> None:
        self.records = [{"id": n, "at": day(n / 2)} for n in range(2 * DAYS)]
        self.broken: dict[str, int] = {}
        self.unknown: set[str] = set()
        self.second: dict[str, int] = {}
        self.refuses = False
        self.heeds = True
        self.asked: list[str] = []
        self.since: Counter[str | None] = Counter()

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/diary", self._page)
        self.server = TestServer(app)
        await self.server.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.server.close()

    async def _page(self, request: web.Request) -> web.Response:
        begin, end = (
            (request.query["from"], request.query["to"]) if self.heeds else (self.records[0]["at"], day(DAYS))
        )
        self.asked.append(begin)
        self.since[request.query.get("since")] += 1
        if self.refuses:
            return web.json_response({}, status=401)
        if begin in self.broken:
            return web.json_response({"error": "no"}, status=self.broken[begin])
        if begin in self.unknown:
            return web.json_response({"nothing": 1})
        there = [one for one in self.records if begin <= one["at"] < end]
        at = int(request.query.get("offset", 0))
        status = self.second.get(begin, 200) if at == 1 else 200
        items = [] if at == 1 and begin in self.second else there[at : at + 1]
        return web.json_response({"items": items, "total": len(there)}, status=status)

    def manifest(self, *, days: int = DAYS, mode: str = "merge", **parts: Any) -> str:
        pagination = {
            "type": "window", "start": day(0), "end": day(days), "step_s": 86_400, "start_param": "from",
            "end_param": "to", "pages": {"type": "offset", "size": 1}, **parts.pop("pagination", {}),
        }  # fmt: skip
        stream = {
            "name": "diary", "request": {"path": "diary"}, "pagination": pagination, "records": {"path": "items"},
            "incremental": {"field": "at"}, "destination": {"table": "diary", "mode": mode, "key": [] if mode == "append" else ["id"]}, **parts,
        }  # fmt: skip
        source = {
            "name": "api", "base_url": str(self.server.make_url("/")), "network": {"allow": ["127.0.0.0/8"]},
            "streams": [stream],
        }  # fmt: skip
        return json.dumps({"version": 1, "sources": [source]})


async def run(spine: Spine, mode: str = "auto", **parts: Any) -> Any:
    return await run_once(spine, mode, of=("default", "api", "diary"), **parts)


async def ids(spine: Spine) -> list[int]:
    return [row["id"] for row in await spine.rows_of("diary", "id")]


async def cursor(spine: Spine) -> Any:
    row = await spine.row("SELECT value FROM stream_cursor")
    return None if row is None else row["value"]


@pytest.mark.parametrize("parallel", [1, 3])
@pytest.mark.parametrize("mode", ["merge", "append"])
async def test_a_slice_that_fails_leaves_a_gap_that_the_next_run_fills_first(
    database: str, mode: str, parallel: int
) -> None:
    async with Diary() as api, open_spine(database) as spine:
        await spine.apply(api.manifest(mode=mode, pagination={"parallel": parallel}))
        api.broken, api.unknown = {day(2): 404}, {day(5)}
        async with working(spine):
            first = await run(spine)
            there, kept = await ids(spine), await cursor(spine)
            api.broken, api.unknown = {}, set()
            api.asked.clear()
            second = await run(spine)

        assert (first["state"], first["stop_reason"], first["error_kind"]) == ("partial", "error", "http_404")
        assert "slices_missing" in first["warnings"]
        assert "2024-01-03T00:00:00+00:00 to 2024-01-04T00:00:00+00:00" in first["error_message"]
        assert there == [n for n in range(2 * DAYS) if n // 2 not in {2, 5}]
        assert kept == day(1.5)
        assert (second["state"], second["error_kind"]) == ("succeeded", None)
        assert parallel > 1 or list(dict.fromkeys(api.asked)) == [day(2), day(5), day(7.5)]
        assert sorted(set(api.asked)) == [day(2), day(5), day(7.5)]
        assert await ids(spine) == list(range(2 * DAYS))
        assert await cursor(spine) == day(7.5)


@pytest.mark.parametrize("status", [404, 200])
@pytest.mark.parametrize("mode", ["merge", "append"])
async def test_what_came_of_a_slice_before_it_failed_is_there_once(
    database: str, mode: str, status: int
) -> None:
    pages = {"type": "offset", "size": 1, "total": "total"}
    async with Diary() as api, open_spine(database) as spine:
        await spine.apply(api.manifest(mode=mode, pagination={"pages": pages}))
        api.second = {day(2): status}
        async with working(spine):
            first = await run(spine)
            there = await ids(spine)
            api.second = {}
            second = await run(spine)
            third = await run(spine)

        assert (first["state"], second["state"], third["state"]) == ("partial", "succeeded", "succeeded")
        assert there == [n for n in range(2 * DAYS) if n != 5]
        is_left_out = (mode, status) == ("append", 200)  # what was added of it must not come again
        assert await ids(spine) == (there if is_left_out else list(range(2 * DAYS)))


async def test_the_cursor_tells_of_gaps_and_a_reset_forgets_them(database: str) -> None:
    async with Diary() as api, open_spine(database) as spine:
        await spine.apply(api.manifest())
        api.broken = {day(0): 404, day(1): 404}
        async with working(spine):
            await run(spine)
            async with spine.worker.transaction() as connection:
                kept = await cursors.get_resume(connection, ("default", "api", "diary"))
                await cursors.reset(connection, "default", "api", "diary")
            api.broken = {}
            api.asked.clear()
            again = await run(spine)

        assert kept is not None
        assert [(gap["from"], gap["to"], gap["why"]) for gap in kept["windows"]["gaps"]] == [
            ("2024-01-01T00:00:00+00:00", "2024-01-03T00:00:00+00:00", "http_404")
        ]
        assert api.asked[0] == day(0)
        assert (again["state"], await cursor(spine)) == ("succeeded", day(7.5))


async def test_a_run_of_which_no_slice_comes_through_fails_and_an_api_that_is_away_is_not_asked_for_all(
    database: str,
) -> None:
    async with Diary() as api, open_spine(database) as spine:
        await spine.apply(api.manifest())
        async with working(spine):
            api.broken = {day(n): 404 for n in range(DAYS)}
            failed = await run(spine)
            asked = len(api.asked)
            api.broken = {day(n): 404 for n in range(2, DAYS)}
            partial = await run(spine)
            api.refuses = True
            refused = await run(spine)

        assert (failed["state"], failed["error_kind"], asked) == ("failed", "http_404", 5)
        assert (partial["state"], await ids(spine)) == ("partial", [0, 1, 2, 3])
        assert f"{day(2)[:-1]}+00:00 to {day(8)[:-1]}+00:00" in partial["error_message"]
        assert (refused["state"], refused["error_kind"]) == ("failed", "unauthorized")
        assert await cursor(spine) == day(1.5)


async def test_a_limit_holds_for_all_slices_together_and_the_next_run_goes_on_in_the_middle(
    database: str,
) -> None:
    async with Diary() as api, open_spine(database) as spine:
        await spine.apply(api.manifest(mode="append", limits={"max_pages": 8}))
        states, asked = [], []
        async with working(spine):
            for _ in range(4):
                api.asked.clear()
                ended = await run(spine)
                states.append((ended["state"], ended["pages"], "limit_reached" in ended["warnings"]))
                asked.append(list(dict.fromkeys(api.asked)))

        assert states == [
            ("partial", 8, True), ("partial", 8, True), ("succeeded", 8, False), ("succeeded", 2, False),
        ]  # fmt: skip
        assert asked == [
            [day(0), day(1), day(2)], [day(2), day(3), day(4), day(5)], [day(5), day(6), day(7)], [day(7.5)],
        ]  # fmt: skip
        assert await ids(spine) == list(range(2 * DAYS))


async def test_a_stream_that_a_limit_cut_may_be_walked_in_slices_from_then_on(database: str) -> None:
    async with Diary() as api, open_spine(database) as spine:
        whole = json.loads(api.manifest(limits={"max_pages": 3}))
        stream = whole["sources"][0]["streams"][0]
        stream["pagination"] = stream["pagination"]["pages"]
        stream["request"]["params"] = {"from": day(0), "to": day(DAYS)}
        await spine.apply(json.dumps(whole))
        async with working(spine):
            cut = await run(spine)
            await spine.apply(api.manifest())
            ended = await run(spine)

        assert (cut["state"], ended["state"]) == ("partial", "succeeded")
        assert await ids(spine) == list(range(2 * DAYS))


async def test_the_report_of_a_run_names_the_slice_of_each_walk(database: str) -> None:
    async with Diary() as diary, open_spine(database) as spine, working(spine):
        diary.broken = {day(2): 404}
        await spine.apply(diary.manifest(days=4))
        ended = await run(spine)

        async with spine.api.as_tenant("default", admin=True) as connection:
            row = await runs.get(connection, ended["id"])
            walks = (await report_of(connection, row))["walks"]

    slices = [(walk["slice"]["from"], walk["slice"]["to"], walk["stop_reason"]) for walk in walks]
    bounds = [datetime(2024, 1, 1 + number, tzinfo=UTC).isoformat() for number in range(5)]
    reasons = ["empty_page", "empty_page", "error", "empty_page"]
    assert slices == list(zip(bounds, bounds[1:], reasons, strict=False))
    assert {walk["parent"] for walk in walks} == {None}


@pytest.mark.parametrize("limits", [{"max_records": 5}, {"max_pages": 7}])
async def test_slices_side_by_side_pass_no_limit_of_their_run_and_the_next_ones_go_on(
    database: str, limits: dict[str, int]
) -> None:
    async with (
        Diary() as diary,
        open_spine(database) as spine,
        working(spine, "timer", "fetcher", "persister"),
    ):
        await spine.apply(diary.manifest(pagination={"parallel": 4}, limits=limits, mode="append"))
        ended = []
        while not ended or ended[-1]["state"] == "partial":
            ended.append(await run(spine))
            assert len(ended) < 20

        assert all(row["inserted"] <= limits.get("max_records", 100) for row in ended)
        assert all(row["pages"] <= limits.get("max_pages", 100) for row in ended)
        assert {row["stop_reason"] for row in ended[:-1]} == {"limit"}
        assert all("limit_reached" in row["warnings"] for row in ended[:-1])
        assert ended[-1]["state"] == "succeeded"
        assert await ids(spine) == list(range(2 * DAYS))


async def test_slices_that_bring_the_very_same_records_are_told(database: str) -> None:
    async with Diary() as diary, open_spine(database) as spine, working(spine):
        await spine.apply(diary.manifest(days=3))
        diary.heeds = False

        ended = await run(spine)

    assert (ended["state"], ended["warnings"]) == ("succeeded", ["slices_alike"])
