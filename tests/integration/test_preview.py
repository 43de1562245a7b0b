"""A preview shows what a walk would ask and be answered, without a secret, and writes nothing."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.support.office import open_office
from tests.support.walk_driver import SettableClock, definition

from headwater.control.previewing import preview
from headwater.http.client import HttpClient
from headwater.model.errors import ConfigError
from headwater.model.secret import Secret

MANIFEST = """
version: 1
sources:
  - name: api
    base_url: {url}
    network: {{allow: [127.0.0.0/8]}}
    auth: {{type: bearer, token: very-secret-token}}
    streams:
      - name: items
        request: {{path: items}}
        pagination: {{type: cursor, cursor_path: next_cursor}}
        records: {{path: items}}
        destination: {{table: items}}
"""
ROWS = [{"id": n, "name": f"thing {n}", "price": n / 4, "tags": ["a"]} for n in range(1, 8)]


class Api:
    """Pages by cursor, each of which repeats what it was asked with; `asked` counts."""

    def __init__(self) -> None:
        self.asked = 0

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/items", self._items)
        app.router.add_post("/token", self._token)
        return app

    async def _items(self, request: web.Request) -> web.Response:
        self.asked += 1
        start = int(request.query.get("cursor", "0"))
        more = str(start + 3) if start + 3 < len(ROWS) else None
        said = request.headers.get("Authorization", "")
        if "refused" in request.query:
            return web.json_response({"message": f"not with {said}"}, status=400)
        rows = [{**row, "said": said} for row in ROWS[start : start + 3]]
        return web.json_response({"items": rows, "next_cursor": more})

    async def _token(self, request: web.Request) -> web.Response:
        return web.json_response({"access_token": "granted-access", "expires_in": 60})


async def look(api: Api, pages: int = 3, secrets: dict[str, Secret] | None = None, **stream: Any) -> Any:
    async with TestServer(api.app()) as server, HttpClient(SettableClock()) as client:
        url = str(server.make_url("")).rstrip("/")
        source = stream.pop("source", {})
        if "token_url" in source.get("auth", {}):
            source["auth"]["token_url"] = url + "/token"
        made = definition(url, source=source, **stream)
        return await preview(made, secrets or {}, client, SettableClock(), pages=pages)


async def test_a_preview_shows_pages_columns_rows_and_why_it_ended() -> None:
    cursor = {"type": "cursor", "cursor_path": "next_cursor"}

    seen = await look(Api(), pagination=cursor)

    assert [(one.status, one.received, one.error) for one in seen.exchanges] == [
        (200, 3, None),
        (200, 3, None),
        (200, 1, None),
    ]
    assert seen.exchanges[1].url.endswith("/items?cursor=3")
    assert seen.ended == "cursor_end"
    assert seen.columns[:3] == (
        ("id", "bigint", "id"),
        ("name", "text", "name"),
        ("price", "double precision", "price"),
    )
    assert [row["id"] for row in seen.rows] == [1, 2, 3, 4, 5]


async def test_a_preview_asks_for_no_more_pages_than_it_was_told_and_suggests_how_to_go_on() -> None:
    api = Api()

    seen = await look(api, pages=2, pagination={"type": "offset", "offset_param": "cursor", "size": 3})

    assert (api.asked, seen.ended) == (2, "more")
    assert dict(seen.suggestion.pagination) == {
        "type": "cursor",
        "cursor_path": "next_cursor",
        "cursor_param": "cursor",
    }


@pytest.mark.parametrize(
    ("auth", "secrets"),
    [
        ({"type": "bearer", "token": "written-in-place"}, {}),
        ({"type": "bearer", "token": "${secret:T}"}, {"T": Secret.of("kept-elsewhere")}),
        ({"type": "basic", "username": "me", "password": "kept-elsewhere"}, {}),
        ({"type": "oauth2", "token_url": "", "client_id": "me", "client_secret": "${secret:T}"}, {"T": Secret.of("kept-elsewhere")}),
    ],
)  # fmt: skip
async def test_no_secret_is_in_a_preview_even_where_the_api_repeats_it(
    auth: dict[str, Any], secrets: dict[str, Secret]
) -> None:
    seen = await look(Api(), 1, secrets, source={"auth": auth})

    told = repr(seen)
    assert seen.exchanges[0].status == 200, seen
    assert ("Authorization", "***") in seen.exchanges[0].headers
    assert "***" in seen.rows[0]["said"]
    for text in ("written-in-place", "kept-elsewhere", "granted-access"):
        assert text not in told


async def test_an_error_is_part_of_what_is_shown() -> None:
    seen = await look(Api(), records="rows")

    assert seen.ended == "error"
    assert "records_missing" in seen.exchanges[0].error
    assert "items" in seen.exchanges[0].error
    assert dict(seen.suggestion.records) == {"path": "items"}


async def test_a_refresh_token_is_not_used_up_by_a_preview() -> None:
    auth = {
        "type": "oauth2",
        "grant": "refresh_token",
        "token_url": "",
        "client_id": "me",
        "refresh_token": "once",
    }

    with pytest.raises(ConfigError, match="dry_run"):
        await look(Api(), source={"auth": auth})


async def test_the_command_shows_a_stream_of_a_file_and_needs_no_database(tmp_path: Path) -> None:
    async with TestServer(Api().app()) as server:
        file = tmp_path / "m.yml"
        file.write_text(
            f"""
version: 1
sources:
  - name: api
    base_url: {str(server.make_url("")).rstrip("/")}
    network: {{allow: [127.0.0.0/8]}}
    streams:
      - {{name: items, request: {{path: items}}, records: {{path: items}}, destination: {{table: items}}}}
"""
        )
        code, out, _ = await command("preview", "api.items", "--manifest", str(file))
        as_json = await command("preview", "api.items", "--manifest", str(file), "--json")
        unknown = await command("preview", "api.other", "--manifest", str(file))

    assert code == 0
    for words in (
        "GET http",
        "Columns",
        "thing 1",
        "cursor_end: nothing leads to a further page",
        "Suggestion",
        "next_cursor",
        "Nothing was written.",
    ):
        assert words in out
    assert json.loads(as_json[1])["ended"] == "cursor_end"
    assert (unknown[0], "no stream" in unknown[2]) == (3, True)


async def command(*arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "headwater", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": "services", "PATH": "/usr/bin:/bin", "HEADWATER_DATABASE_URL": "postgresql://127.0.0.1:1/none"},
        cwd=Path(__file__).resolve().parents[2],
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_an_error_that_repeats_the_credentials_is_shown_without_them() -> None:
    auth = {"type": "basic", "username": "me", "password": "kept-elsewhere"}

    seen = await look(Api(), 1, source={"auth": auth}, request={"params": {"refused": 1}})

    assert (
        seen.exchanges[0].error == "http_400: the API answered with status 400; it says: not with Basic ***"
    )
    assert "bWU6" not in repr(seen)  # me: in Base64


async def test_the_api_shows_a_preview_and_no_secret(database: str) -> None:
    async with TestServer(Api().app()) as server, open_office(database) as office:
        text = MANIFEST.format(url=str(server.make_url("")).rstrip("/"))
        applied = await office.post("/config/import", data=text, headers={"Content-Type": "application/yaml"})
        seen = await office.post("/sources/api/streams/items/preview?pages=2")
        other = await office.post("/sources/api/streams/other/preview")
        many = await office.post("/sources/api/streams/items/preview?pages=21")
        async with office.worker.connection() as connection:
            run_count = await connection.fetchval("SELECT count(*) FROM run")

    assert applied.status == 200, applied.body
    assert (seen.status, seen.json["ended"]) == (200, "more")
    assert [one["received"] for one in seen.json["exchanges"]] == [3, 3]
    assert seen.json["rows"][0]["said"] == "Bearer ***"
    assert "very-secret" not in seen.body.decode()
    assert (other.status, many.status, run_count) == (404, 422, 0)


async def test_a_preview_of_children_shows_the_parents_and_then_the_first_of_them() -> None:
    from tests.support.family_api import POSTS, USERS, FamilyApi, manifest

    from headwater.contracts.manifest import Manifest
    from headwater.contracts.pinning import pinned

    async with FamilyApi(users=4, posts=4) as api:
        source = Manifest.model_validate(manifest(api.url, USERS, POSTS)).sources[0]
        stream = pinned("default", source, source.streams[1])
        clock = SettableClock()
        async with HttpClient(clock) as client:
            seen = await preview(stream, {}, client, clock, pages=3)

        assert api.asked == ["/users", "/users/1/posts", "/users/2/posts"]
        assert (seen.ended, len(seen.exchanges)) == ("more", 3)
        assert seen.rows[0] == api.posts["1"][0] | {"parent_id": 1}
        assert "parent_id" in [name for name, _, _ in seen.columns]
