"""Limits over all workers: how close requests come, how many are under way, what an API asks for, who waits for whom."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any, Self
from uuid import UUID

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.support.spine import Spine, open_spine, working

from headwater.fetcher.breaker import FAILURES, Breakers
from headwater.model.errors import SourceError
from headwater.store import limits, runs
from headwater.store.limits import Limit
from headwater.store.runs import NewRun

SIZE = 5


class Api:
    """Pages of five things below `/{name}/things`; notes when each request came, and how many were under way."""

    def __init__(self, count: int = 50) -> None:
        self.count = count
        self.times: dict[str, list[float]] = {}
        self.most = self.now = 0
        self.delay_s = 0.0
        self.refusals: list[tuple[int, dict[str, str]]] = []  # answers that come first, to whatever is asked
        self.headers: dict[str, str] = {}
        self.refused = asyncio.Event()

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/{name}/things", self._things)
        self.server = TestServer(app)
        await self.server.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.server.close()

    def asked(self, name: str) -> list[float]:
        return self.times.get(name, [])

    async def _things(self, request: web.Request) -> web.Response:
        self.times.setdefault(request.match_info["name"], []).append(asyncio.get_running_loop().time())
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(self.delay_s)
        self.now -= 1
        if self.refusals:
            status, headers = self.refusals.pop(0)
            self.refused.set()
            return web.json_response({}, status=status, headers=headers)
        offset = int(request.query["offset"])
        rows = [{"id": number} for number in range(offset, min(offset + SIZE, self.count))]
        return web.json_response({"items": rows, "total": self.count}, headers=self.headers)

    def source(self, name: str, streams: int = 1, parallel: int = 1, **more: Any) -> dict[str, Any]:
        pagination = {"type": "offset", "size": SIZE, "total": "total", "parallel": parallel}
        pagination |= more.pop("pagination", {})
        stream = {"pagination": pagination, "records": {"path": "items"}}
        weight = more.pop("weight", 1)
        caps = more.pop("caps", {})
        return {
            "name": name,
            "base_url": str(self.server.make_url(f"/{name}")),
            "network": {"allow": ["127.0.0.0/8"]},
            "streams": [
                stream
                | {
                    "name": f"s{number}",
                    "request": {"path": "things", "weight": weight},
                    "limits": caps,
                    "destination": {"table": f"{name}_{number}"},
                }
                for number in range(streams)
            ],
        } | more


async def applied(spine: Spine, *sources: dict[str, Any]) -> None:
    await spine.apply(json.dumps({"version": 1, "sources": sources}))


async def start(spine: Spine, source: str, streams: int = 1) -> list[UUID]:
    async with spine.worker.transaction() as connection:
        return [
            await runs.insert(connection, NewRun("default", source, f"s{number}", datetime.now(UTC), "api"))
            for number in range(streams)
        ]


async def ended(spine: Spine, run_ids: list[UUID], timeout_s: float = 30) -> list[Any]:
    return [
        await spine.until(
            "SELECT * FROM run WHERE id = $1 AND finished_at IS NOT NULL", run_id, timeout_s=timeout_s
        )
        for run_id in run_ids
    ]


@pytest.mark.parametrize(
    ("limit", "gap_s", "weight"),
    [
        ({"requests": 20}, 0.05, 1),
        ({"per_minute": 1200, "per_hour": 100_000}, 0.05, 1),
        ({"per_second": 40}, 0.05, 2),
    ],
)
async def test_requests_of_all_workers_and_streams_are_spread_evenly(
    database: str, limit: dict[str, Any], gap_s: float, weight: int
) -> None:
    async with Api() as api, open_spine(database) as spine:
        await applied(spine, api.source("shop", 3, parallel=4, rate_limit=limit, weight=weight))

        async with working(spine, "timer", "fetcher", "fetcher", "persister"):
            found = await ended(spine, await start(spine, "shop", 3))

        assert [run["state"] for run in found] == ["succeeded"] * 3
        times = sorted(api.asked("shop"))
        assert len(times) == 30
        assert times[-1] - times[0] >= 29 * gap_s * 0.9
        most = max(sum(at <= other < at + 10 * gap_s for other in times) for at in times)
        assert most <= 14  # ten by the limit; the rest is how late a worker wakes


async def test_the_burst_goes_at_once_and_no_more(database: str) -> None:
    async with open_spine(database) as spine:
        limit = Limit.of({"requests": 10, "per_s": 1.0, "burst": 4})
        waits = []
        for _ in range(6):
            async with spine.worker.connection() as connection:
                waits.append(await limits.reserve(connection, "default", "shop", limit, 1, 60))

    assert [wait_s == 0 for wait_s, _ in waits] == [True] * 4 + [False] * 2
    assert 0.05 < waits[4][0] <= 0.1 < waits[5][0] <= 0.2


async def test_the_narrowest_of_several_limits_counts_and_what_is_too_far_reserves_nothing(
    database: str,
) -> None:
    async with open_spine(database) as spine:
        limit = Limit.of({"per_second": 10, "per_hour": 60, "burst": 2})

        async def reserve() -> tuple[float, bool]:
            async with spine.worker.connection() as connection:
                return await limits.reserve(connection, "default", "shop", limit, 1, 100)

        found = [await reserve() for _ in range(6)]

    assert [(round(wait_s / 60), is_reserved) for wait_s, is_reserved in found] == [
        (0, True), (0, True), (1, True), (2, False), (2, False), (2, False),
    ]  # fmt: skip


async def test_no_more_requests_than_allowed_are_under_way(database: str) -> None:
    async with Api() as api, open_spine(database) as spine:
        api.delay_s = 0.02
        await applied(spine, api.source("shop", 3, parallel=8, rate_limit={"in_flight": 2}))

        async with working(spine, "timer", "fetcher", "fetcher", "persister"):
            found = await ended(spine, await start(spine, "shop", 3))

        assert [run["state"] for run in found] == ["succeeded"] * 3
        assert 1 <= api.most <= 2  # how many meet depends on the machine; never more than allowed
        assert await spine.fetch("SELECT * FROM request_lease") == []


async def test_a_refusal_of_one_page_holds_back_every_stream_of_its_source(database: str) -> None:
    async with Api(count=20) as api, open_spine(database) as spine:
        api.refusals = [(429, {"Retry-After": "2"})]
        await applied(spine, api.source("shop", 4), api.source("other"))

        async with working(spine, "timer", "fetcher", "fetcher", "persister"):
            first = await start(spine, "shop", 1)
            async with asyncio.timeout(10):
                await api.refused.wait()
            await spine.until("SELECT 1 FROM rate_limit WHERE paused_until IS NOT NULL")
            began = asyncio.get_running_loop().time()
            rest = await start(spine, "shop", 4)
            other = await ended(spine, await start(spine, "other"))
            other_s = asyncio.get_running_loop().time() - began
            found = await ended(spine, [*first, *rest])

        assert {run["state"] for run in [*found, *other]} == {"succeeded"}
        quiet = [at for at in api.asked("shop")[1:] if at < began + 1.0]
        assert quiet == []
        assert other_s < 1.9


async def test_a_limit_that_the_answer_says_is_used_up_is_kept_before_a_refusal(database: str) -> None:
    async with Api(count=10) as api, open_spine(database) as spine:
        api.headers = {"RateLimit": '"default";r=0;t=1'}
        await applied(spine, api.source("shop"))

        async with working(spine):
            (run,) = await ended(spine, await start(spine, "shop"))

        first, second = api.asked("shop")
        assert run["state"] == "succeeded"
        assert second - first >= 0.9


async def test_a_long_wait_parks_the_page_and_shows_until_when(database: str) -> None:
    async with Api(count=10) as api, open_spine(database) as spine:
        api.refusals = [(429, {"Retry-After": "3000"})]
        await applied(spine, api.source("shop"))

        async with working(spine):
            (run_id,) = await start(spine, "shop")
            parked = await spine.until(
                "SELECT *, parked_until - clock_timestamp() AS left FROM run WHERE parked_until IS NOT NULL"
            )
            row = await spine.until(
                "SELECT *, not_before - clock_timestamp() AS left FROM outbox WHERE type = 'page.due'"
            )
            assert (parked["state"], parked["waits_for"]) == ("running", "rate_limited")
            assert 2900 < parked["left"].total_seconds() <= 3000
            assert 2900 < row["left"].total_seconds() <= 3000

            await spine.worker.execute("UPDATE outbox SET not_before = clock_timestamp()")
            await spine.worker.execute("UPDATE rate_limit SET paused_until = NULL")
            await spine.worker.execute("UPDATE page SET not_before = clock_timestamp()")
            (run,) = await ended(spine, [run_id])

        assert (run["state"], run["parked_until"], run["waits_for"]) == ("succeeded", None, None)


async def test_an_api_that_puts_a_page_off_for_too_long_fails_the_run(database: str) -> None:
    async with Api(count=10) as api, open_spine(database) as spine:
        api.refusals = [(429, {"Retry-After": "3000"})]
        await applied(spine, api.source("shop", caps={"request_seconds": 60}))

        async with working(spine):
            (run,) = await ended(spine, await start(spine, "shop"))

        assert (run["state"], run["error_kind"]) == ("failed", "rate_limited")
        assert "request_seconds" in run["error_message"]


async def test_pages_of_a_stream_with_a_delay_keep_it(database: str) -> None:
    async with Api(count=20) as api, open_spine(database) as spine:
        await applied(spine, api.source("shop", pagination={"delay_s": 0.3}))

        async with working(spine):
            (run,) = await ended(spine, await start(spine, "shop"))

        times = api.asked("shop")
        assert run["state"] == "succeeded"
        assert min(later - earlier for earlier, later in zip(times, times[1:], strict=False)) >= 0.29


async def test_a_walk_that_is_over_its_time_ends_partial_and_its_rows_stay(database: str) -> None:
    async with Api(count=50) as api, open_spine(database) as spine:
        await applied(spine, api.source("shop", pagination={"delay_s": 0.4}, caps={"max_seconds": 1}))

        async with working(spine):
            (run,) = await ended(spine, await start(spine, "shop"))

        assert (run["state"], run["stop_reason"], run["warnings"]) == ("partial", "limit", ["limit_reached"])
        assert 1 <= run["pages"] < 10
        assert len(await spine.rows_of("shop_0", "id")) == run["inserted"] == SIZE * run["pages"]


async def test_no_stream_waits_for_the_rate_limit_of_another_source(database: str) -> None:
    async with Api(count=15) as api, open_spine(database) as spine:
        await applied(
            spine,
            api.source("slow", 120, parallel=4, rate_limit={"requests": 1, "per_s": 2.0}),
            api.source("busy", 40, parallel=4, rate_limit={"requests": 100}),
            api.source("free", 20),
        )

        async with working(spine, "timer", "fetcher", "persister"):
            await start(spine, "slow", 120)
            await start(spine, "busy", 40)
            await spine.until("SELECT 1 FROM page WHERE not_before IS NOT NULL OFFSET 40 LIMIT 1")
            began = asyncio.get_running_loop().time()
            found = await ended(spine, await start(spine, "free", 20))
            taken_s = asyncio.get_running_loop().time() - began

        assert {run["state"] for run in found} == {"succeeded"}
        assert taken_s < 10
        assert len(api.asked("slow")) < 12


def test_a_host_that_does_not_answer_is_left_alone_and_then_tried_by_one() -> None:
    class Clock:
        def __init__(self) -> None:
            self.at = 0.0

        def now(self) -> datetime:
            return datetime.now(UTC)

        def monotonic(self) -> float:
            return self.at

    clock = Clock()
    breakers = Breakers(clock)
    down = SourceError("network", "gone", retryable=True)
    for _ in range(FAILURES):
        breakers.check("https://a")
        breakers.failed("https://a", down)

    with pytest.raises(SourceError, match="left alone"):
        breakers.check("https://a")
    breakers.check("https://b")
    clock.at += 5
    breakers.check("https://a")
    with pytest.raises(SourceError, match="left alone"):
        breakers.check("https://a")
    breakers.answered("https://a")
    breakers.check("https://a")


def test_an_answer_that_names_a_wait_is_an_answer() -> None:
    class Clock:
        def now(self) -> datetime:
            return datetime.now(UTC)

        def monotonic(self) -> float:
            return 0.0

    breakers = Breakers(Clock())
    for _ in range(3 * FAILURES):
        breakers.check("https://a")
        breakers.failed("https://a", SourceError("http_503", "busy", retryable=True, delay_s=1.0))
        breakers.failed("https://a", SourceError("http_404", "gone"))
