"""The port of a process with routes: what has no route is refused as everything else is, and nothing names versions."""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from headwater.app.probe_server import serving_probes
from headwater.app.probes import Told
from headwater.app.server import probe_routes, serving
from headwater.model.errors import ConfigError
from headwater.telemetry.metrics import Metrics


async def _live() -> Told:
    return Told(b"{}")


async def _broken(_: web.Request) -> web.Response:
    raise RuntimeError("a secret of ours")


@asynccontextmanager
async def _port(host: str = "127.0.0.1") -> AsyncIterator[int]:
    routes = [*probe_routes({"/healthz": _live}), web.post("/in/{tenant}/{endpoint}", _broken)]
    async with serving(routes, host, 0, Metrics()) as port:
        yield port


@asynccontextmanager
async def _probes(host: str) -> AsyncIterator[int]:
    async with serving_probes({"/healthz": _live}, host, 0, Metrics()) as port:
        yield port


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/nothing", 404, None),
        ("POST", "/in/", 404, None),
        ("POST", "/in/default", 404, None),
        ("POST", "/in/default/orders/more", 404, None),
        ("PUT", "/healthz", 405, "GET,HEAD"),
        ("GET", "/in/default/orders", 405, "POST"),
        ("POST", "/in/default/orders", 500, None),
        ("BREW", "/healthz", 405, "GET,HEAD"),
        ("BREW", "/nothing", 404, None),
    ],
)
async def test_what_the_framework_refuses_is_a_problem_document_that_tells_nothing_of_the_inside(
    method: str, path: str, status: int, allow: str | None
) -> None:
    async with (
        _port() as port,
        aiohttp.ClientSession() as session,
        session.request(method, f"http://127.0.0.1:{port}{path}", allow_redirects=False) as answer,
    ):
        document = json.loads(await answer.read())

        assert (answer.status, answer.content_type) == (status, "application/problem+json")
        assert document.keys() == {"type", "title", "status"}
        assert document["status"] == status
        assert answer.headers.get("Allow") == allow
        assert answer.headers["Server"] == "headwater"


async def test_no_answer_names_a_version_whatever_was_asked() -> None:
    asked = (
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"POST /in/a/b HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        b"GET /healthz HTTP/2.0\r\nHost: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: " + b"y" * 20_000 + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\r\n\r\n",
    )
    async with _port() as port:
        for request in asked:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request)
            async with asyncio.timeout(10):
                head = (await reader.read()).partition(b"\r\n\r\n")[0].decode("latin-1")
            writer.close()

            assert re.findall(r"(?im)^server: (.*?)\r?$", head) == ["headwater"], head
            assert "ython" not in head
            assert "aiohttp" not in head


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="the machine has no IPv6: enable it to run this")
@pytest.mark.parametrize("opened", [_port, _probes])
@pytest.mark.parametrize(
    ("host", "reached"), [("::", [True, True]), ("::1", [False, True]), ("0.0.0.0", [True, False])]
)  # noqa: S104
async def test_the_address_of_everything_is_reached_over_both_versions_of_ip(
    opened: object, host: str, reached: list[bool]
) -> None:
    async def is_reached(address: str, port: int) -> bool:
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://{address}:{port}/healthz") as answer,
            ):
                return answer.status == 200
        except aiohttp.ClientConnectionError:
            return False

    assert callable(opened)
    async with opened(host) as port:
        found = [await is_reached(address, port) for address in ("127.0.0.1", "[::1]")]

    assert found == reached


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="the machine has no IPv6: enable it to run this")
async def test_that_the_port_of_everything_is_taken_is_said_with_an_address_that_can_be_set() -> None:
    async with _port("::") as port:
        with pytest.raises(ConfigError, match=re.escape(f"HEADWATER_BIND=[::]:{port + 1}")):
            async with serving([], "::", port):
                pass
