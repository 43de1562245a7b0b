"""The port of a process without routes of its own: probes are answered, and nothing that connects holds it up."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from headwater.app.probe_server import MAX_CONNECTIONS, serving_probes
from headwater.app.probes import Told
from headwater.model.errors import ConfigError
from headwater.telemetry.metrics import Metrics

READY = b'{"status":"not ready"}'


async def _ready() -> Told:
    return Told(READY, 503)


async def _broken() -> Told:
    raise RuntimeError("a secret of ours")


@asynccontextmanager
async def _port(metrics: Metrics | None = None, *, head_s: float = 5.0) -> AsyncIterator[int]:
    probes = {"/readyz": _ready, "/broken": _broken}
    async with serving_probes(probes, "127.0.0.1", 0, metrics or Metrics(), head_s=head_s) as port:
        yield port


async def _answer(port: int, request: bytes) -> bytes:
    """What comes back until the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    return answer


async def test_a_client_of_http_gets_status_type_and_body_of_the_probe_again_and_again() -> None:
    async with _port() as port, aiohttp.ClientSession() as session:
        for _ in range(3):
            async with session.get(f"http://127.0.0.1:{port}/readyz?verbose=1") as answer:
                told = answer.status, answer.content_type, await answer.read()

            assert told == (503, "application/json", READY)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n", b"404"),
        (b"POST /readyz HTTP/1.1\r\nHost: a\r\n\r\n", b"405"),
        (b"GET /broken HTTP/1.1\r\nHost: a\r\n\r\n", b"500"),
        (b"get /readyz\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", b"400"),
        (b"GET /readyz HTTP/1.0\r\n\r\n", b"503"),
    ],
)
async def test_what_is_no_probe_gets_its_status_and_nothing_of_the_fault(
    request_: bytes, status: bytes
) -> None:
    async with _port() as port:
        answer = await _answer(port, request_)

    assert answer.split(b" ")[1] == status
    assert b"secret" not in answer


async def test_a_head_request_gets_the_length_and_no_body() -> None:
    async with _port() as port:
        answer = await _answer(port, b"HEAD /readyz HTTP/1.1\r\nHost: a\r\n\r\n")

    assert f"Content-Length: {len(READY)}\r\n".encode() in answer
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("head", [b"GET /ready", b"GET /readyz HTTP/1.1\r\nx: " + b"y" * 20_000])
async def test_a_head_without_an_end_is_cut_and_counted(head: bytes) -> None:
    metrics = Metrics()
    async with _port(metrics, head_s=0.1) as port:
        try:
            answer = await _answer(port, head)
        except ConnectionResetError:
            answer = b""

    assert answer == b""
    assert b"headwater_http_malformed_total{fault=" in metrics.render()


async def test_connections_beyond_the_limit_are_closed_and_the_others_kept() -> None:
    async with _port() as port:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MAX_CONNECTIONS)]
        refused = await _answer(port, b"")
        reader, writer = held[0]
        writer.write(b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n")
        kept = await reader.read()
        for _, each in held:
            each.close()

    assert refused == b""
    assert kept.endswith(READY)


async def test_a_port_that_is_taken_is_told_with_its_mend() -> None:
    async with _port() as port:
        with pytest.raises(ConfigError, match=f"port {port} .*HEADWATER_BIND"):
            async with serving_probes({}, "127.0.0.1", port, Metrics()):
                pass
