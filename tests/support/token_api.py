"""An API that wants a token, and the endpoints that give it: OAuth 2 with rotation, JWT exchange, session login."""

import asyncio
import base64
import hashlib
import hmac
import json
from typing import Any, Self
from urllib.parse import parse_qs

from aiohttp import web
from aiohttp.test_utils import TestServer

PAGE = 10


class TokenApi:
    """`/things` pages by offset and needs `Authorization: Bearer <the current access token>`.

    `/token` (OAuth 2, JWT) and `/login` (session) make the next access token; the one before is void then. A refresh
    token is good once. `life_s` is what tokens are said to live, `uses` after how many requests they are void.
    `held`: the endpoint answers when this is set (it has worked by then, like one whose answer is lost).
    """

    def __init__(self, *, count: int = 50, life_s: int | None = 3600, uses: int = 10**9) -> None:
        self.count = count
        self.life_s = life_s
        self.uses = uses
        self.accepts = True
        self.refresh = "first-refresh-token"
        self.asked: list[dict[str, str]] = []  # the fields of every request for a token
        self.refused: list[str] = []  # refresh tokens that came a second time
        self.things_count = 0
        self.arrived = asyncio.Event()
        self.held = asyncio.Event()
        self.held.set()
        self._number = 0
        self._used = 0

    @property
    def access(self) -> str:
        return f"access-token-{self._number}"

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/token", self._token)
        app.router.add_post("/login", self._login)
        app.router.add_get("/things", self._things)
        self.server = TestServer(app)
        await self.server.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.held.set()
        await self.server.close()

    def url(self, path: str = "/") -> str:
        return str(self.server.make_url(path))

    async def _token(self, request: web.Request) -> web.Response:
        fields = {name: values[0] for name, values in parse_qs(await request.text()).items()}
        fields["authorization"] = request.headers.get("Authorization", "")
        self.asked.append(fields)
        answer: dict[str, Any] = {}
        if fields["grant_type"] == "refresh_token":
            if fields["refresh_token"] != self.refresh:
                self.refused.append(fields["refresh_token"])
                return web.json_response({"error": "invalid_grant"}, status=400)
            self.refresh = f"refresh-token-{len(self.asked)}"
            answer["refresh_token"] = self.refresh
        return await self._given(answer | {"token_type": "Bearer"}, "access_token")

    async def _login(self, request: web.Request) -> web.Response:
        self.asked.append(await request.json())
        return await self._given({}, "session")

    async def _given(self, answer: dict[str, Any], name: str) -> web.Response:
        self._number += 1
        self._used = 0
        answer[name] = self.access
        if self.life_s is not None:
            answer["expires_in"] = self.life_s
        self.arrived.set()
        await self.held.wait()
        return web.json_response(answer)

    async def _things(self, request: web.Request) -> web.Response:
        self.things_count += 1
        self._used += 1
        is_known = request.headers.get("Authorization") == f"Bearer {self.access}"
        if not (is_known and self.accepts and self._used <= self.uses):
            return web.json_response({"error": "who are you?"}, status=401)
        offset = int(request.query["offset"])
        rows = [{"id": number} for number in range(offset, min(offset + PAGE, self.count))]
        return web.json_response({"items": rows})


def claims_of(assertion: str, key: bytes) -> dict[str, Any]:
    """The claims of an HS256 assertion. Raises: AssertionError when its signature is wrong."""
    head, body, signature = assertion.split(".")
    right = hmac.digest(key, f"{head}.{body}".encode(), hashlib.sha256)
    assert base64.urlsafe_b64decode(signature + "==") == right
    return json.loads(base64.urlsafe_b64decode(body + "=="))
