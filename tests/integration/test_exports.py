"""An export: a job that a run starts, waits for, and fetches as a file of another host."""

import gzip
import json

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.integration.test_fetcher_incremental import ids, run_once
from tests.support.spine import open_spine, working

OF = ("default", "crm", "events")


class Exporting:
    """An API whose jobs are done when they were looked at three times; files are at `localhost`, without credentials."""

    def __init__(self, *, is_packed: bool) -> None:
        self.looked = 0
        self.shown: list[str | None] = []
        self.is_packed = is_packed

    async def start(self) -> TestServer:
        app = web.Application()
        app.router.add_post("/jobs", self._job)
        app.router.add_get("/jobs/7", self._state)
        app.router.add_get("/file", self._file)
        self.server = TestServer(app)
        await self.server.start_server()
        return self.server

    async def _job(self, request: web.Request) -> web.Response:
        assert await request.json() == {"what": "events"}
        return web.json_response({"id": 7}, status=201)

    async def _state(self, _: web.Request) -> web.Response:
        self.looked += 1
        url = f"http://localhost:{self.server.port}/file?sig=a%2Bb" if self.looked > 2 else None
        return web.json_response({"state": "running" if url is None else "done", "url": url})

    async def _file(self, request: web.Request) -> web.Response:
        self.shown.append(request.headers.get("Authorization"))
        assert request.rel_url.raw_query_string == "sig=a%2Bb"
        lines = "".join(f'{{"id": {number}}}\n' for number in range(30)).encode()
        return web.Response(body=gzip.compress(lines) if self.is_packed else lines)


@pytest.mark.parametrize("is_packed", [False, True])
async def test_an_export_is_started_waited_for_and_fetched(database: str, *, is_packed: bool) -> None:
    api = Exporting(is_packed=is_packed)
    async with await api.start() as server, open_spine(database) as spine:
        streams = [
            {"name": "job", "request": {"method": "POST", "path": "jobs", "json": {"what": "events"}}},
            {
                "name": "done",
                "parent": {"stream": "job"},
                "request": {"path": "jobs/{parent.id}"},
                "errors": {"pending": "state != 'done'", "pending_s": 0.2},
            },
            {
                "name": "events",
                "parent": {"stream": "done"},
                "request": {"url": "{parent.url}", "hosts": ["localhost"]},
                "records": {"format": "ndjson"},
                "destination": {"table": "events", "mode": "merge", "key": "id"},
            },
        ]
        source = {
            "name": "crm",
            "base_url": f"http://127.0.0.1:{server.port}",
            "auth": {"type": "bearer", "token": "t0ken-value"},
            "network": {"allow": ["127.0.0.0/8", "::1/128"]},
            "streams": streams,
        }
        await spine.apply(json.dumps({"version": 1, "sources": [source]}))
        async with working(spine):
            run = await run_once(spine, of=OF)

            assert (run["state"], run["error_message"], await ids(spine)) == (
                "succeeded",
                None,
                list(range(30)),
            )
            assert (api.looked, api.shown) == (3, [None])
