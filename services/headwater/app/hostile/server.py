"""An API that misbehaves in the ways real ones do, over real HTTP."""

import json
import re
from collections.abc import Mapping
from typing import Self

from aiohttp import web

from headwater.app.hostile.behaviour import Behaviour
from headwater.app.hostile.breaking import broken
from headwater.app.hostile.pages import Pages

_CLAUSE = re.compile(r"\b(offset|limit) ([0-9]+)")
_ELEMENT = re.compile(r"<(offset|limit)>([0-9]+)</")
_RANGE = re.compile(r"items=([0-9]+)-([0-9]+)")
ELSEWHERE = "elsewhere"  # what is asked of another origin, to which some behaviours lead
_ANOTHER = Behaviour(needs="Bearer of its own")


class HostileApi:
    """The behaviours by name, served on 127.0.0.1. `requests` keeps what was asked, in order."""

    def __init__(self, behaviours: Mapping[str, Behaviour], port: int = 0) -> None:
        self._behaviours = behaviours
        self._pages: dict[str, Pages] = {}
        self._tokens: dict[str, Tokens] = {}
        self._wanted_port = port
        self.port = 0
        self._other_port = 0
        self.requests: list[tuple[str, str, dict[str, str]]] = []

    def url(self, name: str = "") -> str:
        """The base URL of the API called `name`; its stream is `items` below it."""
        return f"http://127.0.0.1:{self.port}" + (f"/{name}" if name else "")

    def asked_of(self, name: str) -> list[dict[str, str]]:
        """The headers of every request to the API called `name`."""
        return [headers for asked, _, headers in self.requests if asked == name]

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{name}/items", self._handle)
        app.router.add_route("*", "/items", self._handle)
        app.router.add_post("/{name}/token", self._token)
        app.router.add_post("/{name}/again", self._again)
        app.router.add_get("/", self._index)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        for port in (self._wanted_port, 0):
            await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.port, self._other_port = (address[1] for address in self._runner.addresses)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info.get("name", "")
        self.requests.append((name, str(request.rel_url), dict(request.headers)))
        behaviour = self._behaviours.get(name, _ANOTHER if name == ELSEWHERE else Behaviour())
        if behaviour.needs and request.headers.get("Authorization") != behaviour.needs:
            return web.json_response({"error": "who are you?"}, status=401)
        if behaviour.uses and not self._tokens.setdefault(name, Tokens(behaviour)).takes(request):
            challenge = {"WWW-Authenticate": behaviour.challenge} if behaviour.challenge else {}
            return web.json_response({"error": "no entry"}, status=behaviour.refusal, headers=challenge)
        pages = self._pages.setdefault(name, Pages(behaviour, f"{self.url(name)}/items"))
        answer = pages.answer(await _asked(request))
        if isinstance(answer, web.Response):
            return answer
        elsewhere = f"http://127.0.0.1:{self._other_port}/{ELSEWHERE}"
        return await broken(request, answer.replace("{elsewhere}", elsewhere))

    async def _index(self, _: web.Request) -> web.Response:
        """What is served here; `manifest.py` adds to each how it is declared and how it ends."""
        return web.json_response({name: f"{self.url(name)}/items" for name in self._behaviours})

    async def _again(self, request: web.Request) -> web.Response:
        """Forget what was asked: faults that pass come again."""
        name = request.match_info["name"]
        self._pages.pop(name, None)
        self._tokens.pop(name, None)
        return web.Response(status=204)

    async def _token(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        behaviour = self._behaviours.get(name, Behaviour())
        form = await request.post()
        return self._tokens.setdefault(name, Tokens(behaviour)).answer(str(form.get("refresh_token", "")))


class Tokens:
    """Access tokens that are soon used up, and refresh tokens that may rotate."""

    FIRST = "refresh-0"

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._count = 0
        self._left = 0

    def takes(self, request: web.Request) -> bool:
        """Whether the request shows the last access token, and that is not used up."""
        if request.headers.get("Authorization") != f"Bearer access-{self._count}" or not self._left:
            return False
        self._left -= 1
        return True

    def answer(self, refresh_token: str) -> web.Response:
        """OAuth 2 (RFC 6749 §6)."""
        if self._behaviour.rotates and refresh_token != f"refresh-{self._count}":
            return web.json_response({"error": "invalid_grant"}, status=400)
        self._count += 1
        self._left = self._behaviour.uses
        more = {"refresh_token": f"refresh-{self._count}"} if self._behaviour.rotates else {}
        return web.json_response(
            {"access_token": f"access-{self._count}", "token_type": "Bearer", "expires_in": 3600, **more}
        )


async def _asked(request: web.Request) -> dict[str, str]:
    """What is asked for, wherever it stands: query, JSON body (GraphQL variables too), headers, a range."""
    asked = dict(request.query)
    if (found := _RANGE.fullmatch(request.headers.get("Range", ""))) is not None:
        asked |= {"offset": found[1], "limit": str(int(found[2]) - int(found[1]) + 1)}
    if "q" in asked:  # a language of queries, of which this is all
        asked |= dict(_CLAUSE.findall(asked.pop("q")))
    if request.content_type == "application/x-www-form-urlencoded":
        return asked | {name: str(value) for name, value in (await request.post()).items()}
    if request.content_type == "text/xml":
        return asked | dict(_ELEMENT.findall(await request.text()))
    if request.can_read_body:
        document = await request.json()
        inner = document.get("variables") or document.get("page") or document
        names = {"first": "limit", "after": "cursor"}
        asked |= {
            names.get(name, name): json.dumps(value) if isinstance(value, dict) else str(value)
            for name, value in inner.items()
        }
    asked |= {name[2:].lower(): value for name, value in request.headers.items() if name.startswith("X-")}
    return asked
