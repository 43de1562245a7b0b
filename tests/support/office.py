"""The control room behind real HTTP, with keys, a manifest and rows to look at."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from yarl import URL

from headwater.app.clock import SystemClock
from headwater.app.server import serving
from headwater.bus.memory import MemoryBus
from headwater.bus.port import Bus
from headwater.control.home import Overview
from headwater.control.openapi import openapi_document
from headwater.control.routes import route_table
from headwater.control.service import Control
from headwater.model.secret import Secret
from headwater.store import config
from headwater.store.bell import Bell
from headwater.store.database import API_WAIT_S, Database
from headwater.store.keyring import Keyring
from headwater.telemetry.metrics import Metrics

ADMIN = "hw_admin_" + "a" * 40
MANIFEST = """
version: 1
sources:
  - name: shop
    base_url: https://api.example.com/v1
    auth: {type: bearer, token: very-secret-token}
    streams:
      - name: orders
        request: {path: /orders}
        pagination: {type: page}
        records: {path: data}
        incremental: {field: updated_at, param: since}
        destination: {table: orders, mode: merge, key: id}
      - name: refunds
        request: {path: /refunds}
        destination: {table: refunds}
schedules:
  - {name: nightly, streams: [shop.orders], cron: "0 2 * * *", timezone: Europe/Berlin}
endpoints:
  - {name: hooks, scheme: github, secrets: [endpoint-secret], destination: {table: hooks}}
"""


RING = Secret.of("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")


@dataclass
class Answered:
    """A response, read."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def pointers(self) -> list[str]:
        return [error.get("pointer", "") for error in self.json["errors"]]


@dataclass
class Office:
    """Ask it as a client would. `key` goes along unless headers say otherwise."""

    worker: Database
    api: Database
    bus: Bus
    control: Control
    address: str
    session: aiohttp.ClientSession
    key: str | None = ADMIN
    headers: dict[str, str] = field(default_factory=dict)

    async def ask(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, **more: Any
    ) -> Answered:
        """`path` begins with `/`; without `/api`, it is below `/api/v1`."""
        own = {} if self.key is None else {"X-API-Key": self.key}
        url = self.address + (path if path.startswith(("/api", "/docs")) or path == "/" else f"/api/v1{path}")
        asked = {**own, **self.headers, **(headers or {})}
        async with self.session.request(
            method, url, headers=asked, allow_redirects=False, timeout=aiohttp.ClientTimeout(total=20), **more
        ) as response:
            answered = Answered(response.status, response.headers, await response.read())
        _check_promise(method, response.url.raw_path, answered)
        return answered

    async def exactly(self, path: str) -> Answered:
        """GET of a path below `/api/v1` that goes over the wire as it is written."""
        url = URL(f"{self.address}/api/v1{path}", encoded=True)
        async with self.session.get(url, headers={"X-API-Key": self.key or ""}) as response:
            return Answered(response.status, response.headers, await response.read())

    async def get(self, path: str, **more: Any) -> Answered:
        return await self.ask("GET", path, **more)

    async def post(self, path: str, document: Any = None, **more: Any) -> Answered:
        return await self.ask("POST", path, **({} if document is None else {"json": document}), **more)

    def with_key(self, key: str | None, **headers: str) -> "Office":
        return Office(self.worker, self.api, self.bus, self.control, self.address, self.session, key, headers)

    async def key_of(self, tenant: str, *scopes: str) -> "Office":
        """The same office for a caller with a key of `tenant`."""
        made = await self.post("/keys", {"scopes": list(scopes or ("admin",))}, headers={"X-Tenant": tenant})
        assert made.status == 201, made.body
        return self.with_key(made.json["key"])


def _check_promise(method: str, path: str, answered: Answered) -> None:
    """What the OpenAPI document says of a route holds for every answer of its."""
    promised = next(
        (routes[method] for form, routes in _PATHS if method in routes and form.fullmatch(path)), None
    )
    if promised is None or answered.status == 500:  # a fault of our own, which tests provoke
        return
    told = promised.get(str(answered.status))
    assert told is not None, f"{method} {path} answers {answered.status}: {answered.body[:300]!r}"
    promised_headers = {"Location", "ETag"} & told.get("headers", {}).keys()
    lacking = [name for name in promised_headers if name not in answered.headers]
    assert not lacking, f"{method} {path} answers {answered.status} without {lacking}"


def _paths() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    """Each path as it is asked for, and what its methods may answer; those without parameters come first."""
    document = openapi_document(route_table(Overview()))["paths"]
    return [
        (
            re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))),
            {method.upper(): one["responses"] for method, one in document[path].items()},
        )
        for path in sorted(document, key=lambda path: path.count("{"))
    ]


_PATHS = _paths()


@asynccontextmanager
async def open_office(
    url: str, bus: Bus | None = None, *, works: bool = False, management_url: Secret | None = None
) -> AsyncIterator[Office]:
    """Control behind HTTP on a free port; with `works` it also drains dead letters and serves the AMQP door."""
    async with AsyncExitStack() as stack:
        worker = Database(Secret.of(url), "headwater_worker", size=4)
        api = Database(Secret.of(url), "headwater_api", size=4, wait_s=API_WAIT_S)
        for pool in (worker, api):
            await pool.open()
            stack.push_async_callback(pool.close)
        own = bus or MemoryBus()
        stack.push_async_callback(own.close)
        bell = await stack.enter_async_context(Bell(worker).running())
        control = Control(api, worker, own, Keyring.of(RING), bell, SystemClock(), Metrics(), management_url)
        async with api.as_tenant(None, admin=True) as connection:
            await config.ensure_tenant(connection, "default")
            await config.put_admin_key(connection, "admin", Secret.of(ADMIN), "first", ["admin"])
        port = await stack.enter_async_context(serving(control.routes(), "127.0.0.1", 0))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        office = Office(worker, api, own, control, f"http://127.0.0.1:{port}", session)
        if not works:
            yield office
            return
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(control.run(stop))
            try:
                yield office
            finally:
                stop.set()
