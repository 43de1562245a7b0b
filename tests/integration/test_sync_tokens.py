"""Tokens that an API gives for the next run, from run to run: full, then what changed, then a token that is over."""

import json
from typing import Any, Self

from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.integration.test_fetcher_incremental import run_once
from tests.support.spine import Spine, open_spine, working

SIZE = 10


class Synced:
    """Items of rooms with a history: without a token all of them, with one what changed since; a token may be over."""

    def __init__(self, rooms: tuple[str, ...] = ("a",)) -> None:
        self.history = {room: [{"id": number, "name": "old"} for number in range(25)] for room in rooms}
        self.is_over = False
        self.asked: list[dict[str, str]] = []

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/rooms", self._rooms)
        app.router.add_get("/rooms/{room}/items", self._items)
        self.server = TestServer(app)
        await self.server.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.server.close()

    def change(self, room: str, *items: dict[str, Any]) -> None:
        self.history[room] += items

    async def _rooms(self, _: web.Request) -> web.Response:
        return web.json_response({"items": [{"id": room} for room in self.history]})

    async def _items(self, request: web.Request) -> web.Response:
        self.asked.append(dict(request.query))
        history = self.history[request.match_info["room"]]
        begin = int(request.query.get("sync", "z0")[1:])
        if begin and "from" in request.query:
            return web.json_response({"error": "from is not for sync"}, status=400)
        if begin and self.is_over:
            self.is_over = False
            return web.json_response({"error": "resync"}, status=410)
        changed = list({item["id"]: item for item in history[begin:]}.values())
        at = int(request.query.get("page", 0))
        following = (
            {"next": at + SIZE} if at + SIZE < len(changed) else {"sync": f"{'zyx'[begin % 3]}{len(history)}"}
        )
        return web.json_response({"items": changed[at : at + SIZE], **following})

    def manifest(self, **stream: Any) -> str:
        items = {
            "name": "events",
            "request": {"path": "rooms/a/items", "params": {"from": "2024"}},
            "pagination": {"type": "cursor", "cursor_path": "next", "cursor_param": "page"},
            "records": {"path": "items"},
            "incremental": {"token_path": "sync", "param": "sync", "replaces": ["from"]},
            "destination": {"table": "events", "mode": "merge", "key": "id", "deleted_field": "gone"},
        }
        rooms = {"name": "rooms", "request": {"path": "rooms"}, "records": {"path": "items"}}
        source = {
            "name": "feed",
            "base_url": str(self.server.make_url("/")),
            "network": {"allow": ["127.0.0.0/8"]},
            "streams": [rooms, items | stream],
        }
        return json.dumps({"version": 1, "sources": [source]})


async def names(spine: Spine) -> dict[int, str]:
    return {row["id"]: row["name"] for row in await spine.rows_of("events", "id")}


async def kept(spine: Spine) -> Any:
    row = await spine.row("SELECT value FROM stream_cursor WHERE stream = 'events'")
    return None if row is None else row["value"]


async def test_a_token_is_kept_from_run_to_run_whatever_its_letters(database: str) -> None:
    async with Synced() as api, open_spine(database) as spine:
        await spine.apply(api.manifest())
        async with working(spine):
            first = await run_once(spine)
            assert (first["state"], first["inserted"], await kept(spine)) == ("succeeded", 25, "z25")
            api.change("a", {"id": 3, "name": "new"}, {"id": 25, "name": "new"}, {"id": 4, "gone": True})
            api.asked.clear()

            second = await run_once(spine)
            assert api.asked == [{"sync": "z25"}]
            assert (second["warnings"], second["updated"], second["inserted"]) == ([], 1, 1)
            assert await kept(spine) == "y28"
            third = await run_once(spine)

            assert (third["received"], await kept(spine)) == (0, "y28")
            found = await names(spine)
            assert len(found) == 25 and found[3] == found[25] == "new" and 4 not in found


async def test_a_token_that_is_over_is_followed_by_everything_in_the_same_run(database: str) -> None:
    async with Synced() as api, open_spine(database) as spine:
        await spine.apply(api.manifest())
        async with working(spine):
            await run_once(spine)
            api.change("a", {"id": 7, "name": "new"})
            api.is_over = True
            api.asked.clear()

            run = await run_once(spine)

            assert api.asked[:2] == [{"sync": "z25"}, {"from": "2024"}]
            assert (run["state"], run["updated"], run["unchanged"]) == ("succeeded", 1, 24)
            assert [text.partition(":")[0] for text in run["warnings"]] == ["cursor_expired"]
            assert await kept(spine) == "z26"


async def test_a_full_run_reads_everything_and_keeps_the_token_it_ends_with(database: str) -> None:
    async with Synced() as api, open_spine(database) as spine:
        await spine.apply(api.manifest())
        async with working(spine):
            await run_once(spine)
            api.change("a", {"id": 7, "name": "new"})
            api.asked.clear()

            run = await run_once(spine, "full")

            assert api.asked[0] == {"from": "2024"}
            assert (run["received"], await kept(spine)) == (25, "z26")


async def test_a_walk_that_a_limit_cut_goes_on_and_then_keeps_its_token(database: str) -> None:
    async with Synced() as api, open_spine(database) as spine:
        await spine.apply(api.manifest(limits={"max_pages": 2}))
        async with working(spine):
            first = await run_once(spine)
            assert (first["state"], await kept(spine)) == ("partial", None)

            second = await run_once(spine)

            assert (second["state"], second["received"], await kept(spine)) == ("succeeded", 5, "z25")
            assert len(await names(spine)) == 25


async def test_each_parent_has_a_token_of_its_own(database: str) -> None:
    async with Synced(("a", "b")) as api, open_spine(database) as spine:
        await spine.apply(
            api.manifest(
                request={"path": "rooms/{parent.id}/items", "params": {"from": "2024"}},
                parent={"stream": "rooms", "include": {"room": "id"}},
                destination={"table": "events", "mode": "merge", "key": ["room", "id"]},
            )
        )
        async with working(spine):
            await run_once(spine)
            api.change("b", {"id": 3, "name": "new"})
            api.asked.clear()
            await run_once(spine)
            assert sorted(asked["sync"] for asked in api.asked) == ["z25", "z25"]
            api.asked.clear()

            run = await run_once(spine)

            assert sorted(asked["sync"] for asked in api.asked) == ["y25", "y26"]
            assert (run["state"], run["received"]) == ("succeeded", 0)
            tokens = await spine.row("SELECT jsonb_agg(value ORDER BY value) AS found FROM parent_cursor")
            assert tokens["found"] == ["x26", "y25"]
