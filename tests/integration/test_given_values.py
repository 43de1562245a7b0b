"""Streams whose records the manifest gives: nothing is asked for them, and others are asked for once for each."""

import json
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.integration.test_fetcher_incremental import run_once
from tests.support.spine import open_spine, working

from headwater.contracts.source import Stream

OF = ("default", "shop", "orders")


def manifest(base_url: str, values: list[Any], **regions: Any) -> str:
    orders = {
        "name": "orders",
        "parent": {"stream": "regions", "include": {"region": "value"}},
        "request": {"path": "{parent.value}/orders"},
        "incremental": {"field": "at", "param": "since"},
        "destination": {"table": "orders", "mode": "merge", "key": ["region", "id"]},
    }
    streams = [{"name": "regions", "values": values, **regions}, orders]
    source = {
        "name": "shop", "base_url": base_url, "network": {"allow": ["127.0.0.0/8"]}, "streams": streams,
    }  # fmt: skip
    return json.dumps({"version": 1, "sources": [source]})


async def serve(asked: list[str]) -> TestServer:
    async def orders(request: web.Request) -> web.Response:
        asked.append(f"{request.path} {request.query.get('since', '')}".strip())
        at = {"eu": "2024-05-01T00:00:00Z", "us": "2024-06-01T00:00:00Z"}[request.match_info["region"]]
        return web.json_response([{"id": number, "at": at} for number in range(2)])

    app = web.Application()
    app.router.add_get("/{region}/orders", orders)
    server = TestServer(app)
    await server.start_server()
    return server


async def test_each_value_is_asked_for_and_has_a_cursor_of_its_own(database: str) -> None:
    asked: list[str] = []
    async with await serve(asked) as server, open_spine(database) as spine:
        await spine.apply(manifest(str(server.make_url("/")), ["eu", "us"]))
        async with working(spine):
            run = await run_once(spine, of=OF)
            assert sorted(asked) == ["/eu/orders", "/us/orders"]
            assert (run["state"], run["requests"], run["inserted"], run["warnings"]) == (
                "succeeded",
                2,
                4,
                [],
            )
            asked.clear()

            await run_once(spine, of=OF)

            assert sorted(asked) == [
                "/eu/orders 2024-05-01T00:00:00Z",
                "/us/orders 2024-06-01T00:00:00Z",
            ]


async def test_values_can_be_a_table_of_their_own(database: str) -> None:
    async with await serve([]) as server, open_spine(database) as spine:
        table = {"destination": {"table": "regions", "mode": "replace"}}
        await spine.apply(manifest(str(server.make_url("/")), [{"value": "eu", "n": 1}, "us"], **table))
        async with working(spine):
            run = await run_once(spine, of=("default", "shop", "regions"))

            assert (run["state"], run["requests"]) == ("succeeded", 0)
            rows = [(row["value"], row["n"]) for row in await spine.rows_of("regions", "value")]
            assert rows == [("eu", 1), ("us", None)]


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"request": {"path": "x"}}, "leave out `request`"),
        ({"pagination": {"type": "page"}}, "leave out `pagination`"),
        ({"values": []}, "at least 1 item"),
        ({"values": [[1]]}, "dictionary"),
    ],
)
def test_values_are_asked_for_nowhere(parts: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Stream.model_validate({"name": "regions", "values": ["eu"], **parts})


def test_values_read_what_they_wrote() -> None:
    made = Stream.model_validate({"name": "regions", "values": ["eu", 2, {"a": 1}]})

    assert made.values == ({"value": "eu"}, {"value": 2}, {"a": 1})
    assert Stream.model_validate(made.model_dump(mode="json", by_alias=True)) == made
