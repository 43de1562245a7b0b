"""Answers that are no proper answers, as bytes on the connection."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

SILENCE_S = 30.0  # far beyond any time-out that a case sets
_DRIP_S = 0.2
Talk = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def broken(request: web.Request, kind: str) -> web.StreamResponse:
    """Break off in the way that `kind` names."""
    name, _, argument = kind.partition(" ")
    if name == "redirect":
        status, _, target = argument.partition(" ")
        return web.Response(status=int(status), headers={"Location": target} if target else {})
    return await _WAYS[name](request)


def _raw(head: str, body: bytes = b"") -> Talk:
    async def talk(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.write(head.replace("\n", "\r\n").encode("latin-1") + body)
        await asyncio.sleep(0)
        request.transport.close()
        return web.Response()

    return talk


async def _reset(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _is_there(request: web.Request) -> bool:
    return request.transport is not None and not request.transport.is_closing()


async def _silent(request: web.Request) -> web.StreamResponse:
    for _ in range(int(SILENCE_S / _DRIP_S)):
        if not _is_there(request):
            break
        await asyncio.sleep(_DRIP_S)
    return await _reset(request)


async def _drip(request: web.Request) -> web.StreamResponse:
    """A byte now and then: no pause is long, and the whole never ends."""
    answer = web.StreamResponse(headers={"Content-Length": "100000", "Content-Type": "application/json"})
    await answer.prepare(request)
    for _ in range(int(SILENCE_S / _DRIP_S)):
        if not _is_there(request):
            break
        with contextlib.suppress(ConnectionError):
            await answer.write(b" ")
        await asyncio.sleep(_DRIP_S)
    return await _reset(request)


_OK = "HTTP/1.1 200 OK\nContent-Type: application/json\nConnection: close\n"
_FLOOD = "".join(f"X-Header-{number}: {number}\n" for number in range(2000))
_WAYS: Mapping[str, Talk] = {
    "cut": _raw(f"{_OK}Content-Length: 1000\n\n", b'{"items": ['),
    "cut_chunked": _raw(f"{_OK}Transfer-Encoding: chunked\n\n", b'b\r\n{"items": [\r\n'),
    "short_length": _raw(f"{_OK}Content-Length: 10\n\n", b'{"items": []}'),
    "reset": _reset,
    "silent": _silent,
    "drip": _drip,
    "garbage": _raw("SSH-2.0-OpenSSH_9.2\n"),
    "bad_chunk": _raw(f"{_OK}Transfer-Encoding: chunked\n\n", b"zz\r\n{}\r\n"),
    "long_header": _raw(f"{_OK}X-Long: {'a' * 100_000}\nContent-Length: 2\n\n", b"{}"),
    "many_headers": _raw(f"{_OK}{_FLOOD}Content-Length: 2\n\n", b"{}"),
    "huge_length": _raw(f"{_OK}Content-Length: 1000000000000\n\n", b"{"),
}
