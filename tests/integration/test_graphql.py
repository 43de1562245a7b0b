"""GraphQL answers that have errors beside their data (GraphQL §7.1): what stays, and what is not called complete."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.support.spine import Spine, open_spine, working

from headwater.store import runs
from headwater.store.runs import NewRun

OF = ("default", "shop", "goods")
_number = iter(range(10**6))


class Shop:
    """A GraphQL API of one page; `errors` stand beside its data."""

    def __init__(self) -> None:
        self.goods: list[dict[str, Any]] = [{"id": n, "at": f"2024-01-0{n}T00:00:00Z"} for n in (1, 2, 3)]
        self.errors: list[dict[str, Any]] = []

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/", self._answer)
        return app

    async def _answer(self, _: web.Request) -> web.Response:
        return web.json_response({"data": {"goods": self.goods}, "errors": self.errors})


def manifest(base: str, **destination: Any) -> str:
    stream = {
        "name": "goods",
        "request": {"method": "POST", "graphql": {"query": "{ goods { id at } }", "partial": "keep"}},
        "records": {"path": "data.goods"},
        "incremental": {"field": "at"},
        "destination": {"table": "goods", **destination},
    }
    source = {"name": "shop", "base_url": base, "network": {"allow": ["127.0.0.0/8"]}, "streams": [stream]}
    return json.dumps({"version": 1, "sources": [source]})


async def run_once(spine: Spine, mode: str = "auto") -> Mapping[str, Any]:
    made = NewRun(*OF, datetime.now(UTC), "api", key=str(next(_number)), mode=mode)
    async with spine.worker.transaction() as connection:
        run_id = await runs.insert(connection, made)
    return await spine.until("SELECT * FROM run WHERE id = $1 AND finished_at IS NOT NULL", run_id)  # type: ignore[no-any-return]


async def cursor(spine: Spine) -> Any:
    row = await spine.row(
        "SELECT value FROM stream_cursor WHERE (tenant, source, stream) = ($1, $2, $3)", *OF
    )
    return None if row is None else row["value"]


async def test_records_with_errors_beside_them_stay_and_the_run_is_partial_and_moves_no_cursor(
    database: str,
) -> None:
    shop = Shop()
    async with TestServer(shop.app()) as server, open_spine(database) as spine:
        await spine.apply(manifest(str(server.make_url("/")), mode="merge", key="id"))
        async with working(spine):
            shop.errors = [{"message": "no price", "path": ["goods", 1, "price"]}]
            kept = await run_once(spine)
            stood = await cursor(spine)
            shop.errors = []
            whole = await run_once(spine)

        assert (kept["state"], kept["warnings"], kept["inserted"]) == ("partial", ["graphql_partial"], 3)
        assert stood is None
        assert (whole["state"], whole["warnings"]) == ("succeeded", [])
        assert await cursor(spine) == "2024-01-03T00:00:00Z"


async def test_what_has_errors_beside_it_replaces_nothing(database: str) -> None:
    shop = Shop()
    async with TestServer(shop.app()) as server, open_spine(database) as spine:
        await spine.apply(manifest(str(server.make_url("/")), mode="replace"))
        async with working(spine):
            await run_once(spine, "full")
            shop.goods, shop.errors = shop.goods[:1], [{"message": "no more"}]
            kept = await run_once(spine, "full")

        assert (kept["state"], kept["warnings"]) == ("partial", ["graphql_partial", "replacement_held_back"])
        assert [row["id"] for row in await spine.rows_of("goods", "id")] == [1, 2, 3]
