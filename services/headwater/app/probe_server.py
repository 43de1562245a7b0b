"""The HTTP port of a process whose services have no routes: its probes, one GET for each connection.

A framework for three paths would be a fifth of what an idle timer holds.
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from email.utils import formatdate
from http import HTTPStatus

import orjson

from headwater.app.listeners import every_address
from headwater.app.probes import Probe, Told, cannot_listen
from headwater.telemetry.metrics import Metrics

logger = logging.getLogger("headwater.app")
HEAD_S = 15.0  # for the whole head
ANSWER_S = 30.0  # for the answer and its way
MAX_HEAD_BYTES = 8 * 1024
MAX_CONNECTIONS = 256  # what comes beyond that is closed
_LINE = re.compile(rb"([A-Z]{1,16}) (/[\x21-\x7e]*) HTTP/1\.[01]\r\n")  # RFC 9112 §3: origin form


class ProbeServer:
    """Answers probes; `count` takes the kinds of requests that are none."""

    def __init__(self, probes: Mapping[str, Probe], metrics: Metrics, *, head_s: float = HEAD_S) -> None:
        self._probes = probes
        self._malformed = metrics.malformed
        self._head_s = head_s
        self._connections: set[asyncio.Task[None]] = set()

    def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer a new connection in a task of its own."""
        if len(self._connections) >= MAX_CONNECTIONS:
            self._malformed.labels("too_many_connections").inc()
            writer.close()
            return
        task = asyncio.create_task(self._answer(reader, writer), name="http.probe")
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def close(self) -> None:
        """End what is under way."""
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(self._head_s):
                head = await reader.readuntil(b"\r\n\r\n")
            async with asyncio.timeout(ANSWER_S):
                writer.write(await self._told(head))
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            self._malformed.labels(type(error).__name__).inc()
        finally:
            writer.close()

    async def _told(self, head: bytes) -> bytes:
        line = _LINE.match(head)
        if line is None:
            self._malformed.labels("BadRequest").inc()
            return _written(_problem(HTTPStatus.BAD_REQUEST))
        method, path = line[1], line[2].partition(b"?")[0].decode("ascii")
        probe = self._probes.get(path)
        if probe is None:
            return _written(_problem(HTTPStatus.NOT_FOUND))
        if method not in (b"GET", b"HEAD"):
            return _written(_problem(HTTPStatus.METHOD_NOT_ALLOWED), "Allow: GET, HEAD\r\n")
        try:
            told = await probe()
        except Exception:
            logger.exception("%s met a fault", path)
            told = _problem(HTTPStatus.INTERNAL_SERVER_ERROR)
        return _written(told, with_body=method == b"GET")


def _problem(status: HTTPStatus) -> Told:
    body = orjson.dumps({"type": "about:blank", "title": status.phrase, "status": status})
    return Told(body, status, "application/problem+json")


def _written(told: Told, more: str = "", *, with_body: bool = True) -> bytes:
    head = (
        f"HTTP/1.1 {told.status} {HTTPStatus(told.status).phrase}\r\nContent-Type: {told.content_type}\r\n"
        f"Content-Length: {len(told.body)}\r\nDate: {formatdate(usegmt=True)}\r\n{more}Connection: close\r\n\r\n"
    )
    return head.encode("ascii") + (told.body if with_body else b"")


@asynccontextmanager
async def serving_probes(
    probes: Mapping[str, Probe], host: str, port: int, metrics: Metrics, *, head_s: float = HEAD_S
) -> AsyncIterator[int]:
    """Answer probes while the context is open; gives the port. Raises: ConfigError when the port is taken."""
    answering = ProbeServer(probes, metrics, head_s=head_s)
    try:
        own = every_address(host, port)
        place = {"host": host, "port": port} if own is None else {"sock": own}
        server = await asyncio.start_server(answering.take, limit=MAX_HEAD_BYTES, **place)
    except OSError as error:
        raise cannot_listen(host, port, error) from error
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        await answering.close()
