"""The HTTP server's side of the wire, made safe against what connects to it.

Heads that do not come to an end are cut, requests that are no HTTP are one log line without their bytes, and a fault
of a handler is one line and a plain 500. Bodies are read by the rooms, within limits of their own. Plain requests may
take a short way (`http.short`).
"""

import asyncio
import logging
import re
import traceback
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final

import orjson
from aiohttp import StreamReader, hdrs, http_exceptions, http_parser, web
from aiohttp.abc import AbstractMatchInfo
from yarl import URL

from headwater.http.short import HELD_S, IDLE_S, SERVER, Holding, ShortConnection, ShortWay

logger = logging.getLogger("headwater.http")
HEAD_S = 15.0  # from the first byte of a request to the end of its head
SILENT_HEADS = 5  # times that: for the first byte of a connection; as long as between two requests
SWEEP_S = 1.0
MAX_CONNECTIONS = 10_000
MAX_LINE_BYTES = 16 * 1024  # the request line: some providers sign long queries
MAX_HEADER_BYTES = 16 * 1024  # one header
MAX_HEADERS = 128
_TOO_MANY = "Too many headers received"  # as the parser says it
LINGER_S = 2.0  # a refused body is read on for so long, so that the sender sees the answer
LINES_PER_S = 10  # about malformed requests
VERSIONS = ((1, 0), (1, 1))
Count = Callable[[str], None]
Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Find = Callable[[web.Request], Awaitable[AbstractMatchInfo]]
# RFC 9112 §3: a method is any token, and case counts; the parser takes those outside its list for no HTTP.
_ASKED = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}) (/[!-~]*) HTTP/1\.[01]\r\n")
_USUAL = (b"POST ", b"GET ", b"PUT ", b"HEAD ", b"PATCH ", b"DELETE ", b"OPTIONS ")
_PROBLEM = "application/problem+json"
_SEEN_BYTES = 2048  # of other requests' beginnings
_LIMITS: Final[dict[str, Any]] = {
    "access_log": None,
    "auto_decompress": False,
    "keepalive_timeout": IDLE_S,
    "lingering_time": LINGER_S,
    "max_line_size": MAX_LINE_BYTES,
    "max_field_size": MAX_HEADER_BYTES,
    "max_headers": MAX_HEADERS,
}


def problem(status: int, title: str) -> web.Response:
    """An answer that says no more than its status does; the connection ends."""
    response = web.Response(status=status, body=_document(status, title), content_type=_PROBLEM)
    response.force_close()
    return response


def _document(status: int, title: str) -> bytes:
    return orjson.dumps({"type": "about:blank", "title": title, "status": status})


class _Connection(ShortConnection):
    """One connection. `head_since` is when the first byte of an unfinished head came; 0 when there is none."""

    __slots__ = ("_beginning", "_body", "_guard", "head_since")

    def __init__(self, manager: web.Server, *, guard: "Guard", **limits: Any) -> None:
        super().__init__(manager, **limits)
        self._guard = guard
        self.head_since = 0.0
        self._body: StreamReader | None = None  # of the last request that the framework has
        self._beginning = b""  # of a request that may be by a method which the parser does not know

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.silent_since = self._loop.time()
        if not self._guard.admits(self):
            self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._guard.forget(self)
        super().connection_lost(exc)

    def long_is_idle(self) -> bool:
        if self.head_since != 0.0:
            return False
        return self._waits_for_head()

    def _waits_for_head(self) -> bool:
        """Whether the framework has no request of this connection that it has not answered."""
        waiter = self._waiter  # of the framework's task, which begins after the first bytes may have come
        return self._request_count == 0 if waiter is None else not waiter.done()

    def go_long(self, data: bytes) -> None:
        began, self.held_since = self.held_since, 0.0
        is_usual = data.startswith(_USUAL) or not self.long_is_idle()
        self._beginning = b"" if is_usual else data[:_SEEN_BYTES]
        super().go_long(data)
        if self._messages:
            self._body = self._messages[-1][1]
        if not self._waits_for_head():
            self.head_since = 0.0
        elif self.head_since == 0.0:
            self.head_since = began or self._loop.time()

    def end_long(self) -> bool:
        if self._waits_for_head() or self._body is None or not self._body.is_eof():
            return False
        self._close = True
        return True

    def _make_error_handler(self, err_info: Any) -> Answer:
        """As the framework's, but the application is asked about a method that the parser does not know, since it can
        say what is allowed there. The connection ends with the answer.
        """
        refuse = super()._make_error_handler(err_info)
        answer, asked = self._request_handler, _ASKED.match(self._beginning)
        if answer is None or asked is None or not isinstance(err_info.exc, http_exceptions.BadHttpMethod):
            return refuse
        method, target = (part.decode("ascii") for part in asked.groups())

        async def ask(request: web.BaseRequest) -> web.StreamResponse:
            return await answer(request.clone(method=method, rel_url=URL(target, encoded=True), headers={}))

        return ask

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it may hold the bytes of the request
    ) -> web.StreamResponse:
        """Answer what is no HTTP (400), or a handler's fault (500); one log line, without the request's bytes."""
        if status < 500:
            self._guard.tell_malformed(request.remote, exc)
            status, title = _malformed(exc)
        else:
            _tell_fault(request, exc)
            title = "Something went wrong here"
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun already")
        return problem(status, title)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """As the framework's, which would name itself, Python and both their versions as the server."""
        if not resp.prepared:
            resp.headers.setdefault(hdrs.SERVER, SERVER)
        return await super().finish_response(request, resp, start_time)

    def log_exception(self, *args: Any, **_: Any) -> None:
        """Whatever else the protocol meets is a line without a trace."""
        logger.warning("a connection ended early: %s", str(args[0])[:200] if args else "")


def _malformed(fault: BaseException | None) -> tuple[int, str]:
    """Status and title for what the parser does not take; heads beyond our limits are HTTP (RFC 6585 §5)."""
    if isinstance(fault, http_exceptions.LineTooLong):
        return 431, f"The address or a header is longer than {MAX_HEADER_BYTES // 1024} KiB"
    if isinstance(fault, http_exceptions.BadHttpMessage) and fault.message == _TOO_MANY:
        return 431, f"There are more than {MAX_HEADERS} headers"
    return 400, "This is no HTTP request"


def _tell_fault(request: web.BaseRequest, exc: BaseException | None) -> None:
    """Which fault and where, never its text: that may hold what the caller sent."""
    frames = traceback.extract_tb(exc.__traceback__) if exc is not None else []
    place = f"{frames[-1].name}:{frames[-1].lineno}" if frames else "unknown"
    logger.error("a request (%s) met a fault: %s in %s", request.method, type(exc).__name__, place)


class Guard:
    """Watches the connections of one server."""

    def __init__(
        self, count: Count, *, head_s: float = HEAD_S, max_connections: int = MAX_CONNECTIONS
    ) -> None:
        self._count = count
        self._head_s = head_s
        self._max_connections = max_connections
        self._connections: set[_Connection] = set()
        self._lines = 0
        self._silent = 0

    def admits(self, connection: _Connection) -> bool:
        if len(self._connections) >= self._max_connections:
            self._count("too_many_connections")
            return False
        self._connections.add(connection)
        return True

    def forget(self, connection: _Connection) -> None:
        self._connections.discard(connection)

    def tell_malformed(self, remote: str | None, fault: BaseException | None) -> None:
        """One line, as long as there are not too many of them."""
        kind = type(fault).__name__
        self._count(kind)
        self._lines += 1
        if self._lines <= LINES_PER_S:
            logger.info("a request from %s cannot be read: %s", remote, kind)
        else:
            self._silent += 1

    async def watch(self) -> None:
        """Cut heads that take too long, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(SWEEP_S, self._head_s / 4))
            late = loop.time() - self._head_s
            for connection in [
                each for each in self._connections if 0.0 < each.held_since < loop.time() - HELD_S
            ]:
                connection.hand_over()
            silent = loop.time() - self._head_s * SILENT_HEADS
            for connection in [
                each
                for each in self._connections
                if 0.0 < each.head_since < late or 0.0 < each.silent_since < silent
            ]:
                self._count("slow_head")
                connection.force_close()
            if self._silent:
                logger.info("%d more requests could not be read", self._silent)
            self._lines = self._silent = 0


def _in_our_words(answer: Answer, find: Find) -> Answer:
    """`answer`, but for what the framework refuses by itself, such as an address without a route (`find` tells), and
    for versions of HTTP that nobody speaks here and the parser lets through (0.9 and 2.0).
    """

    async def answered(request: web.BaseRequest) -> web.StreamResponse:
        if request.version not in VERSIONS:
            return problem(505, "HTTP/1.1 and HTTP/1.0 are spoken here")
        if hdrs.EXPECT in request.headers and isinstance(request, web.Request):
            refusal = (await find(request)).http_exception
            if refusal is not None:  # before the framework tells the sender to go on with its body
                response = _retold(refusal)
                response.force_close()
                return response
        try:
            return await answer(request)
        except web.HTTPClientError as refusal:
            return _retold(refusal)

    return answered


def _retold(refusal: web.HTTPException) -> web.Response:
    """The framework's refusal as a problem; the connection goes on."""
    title = "There is no such address" if refusal.status == HTTPStatus.NOT_FOUND else refusal.reason
    response = web.Response(
        status=refusal.status, body=_document(refusal.status, title), content_type=_PROBLEM
    )
    if hdrs.ALLOW in refusal.headers:
        response.headers[hdrs.ALLOW] = refusal.headers[hdrs.ALLOW]
    return response


class _GuardedServer(web.Server):
    def __init__(self, handler: Any, *, guard: Guard, short: ShortWay | None, **more: Any) -> None:
        super().__init__(handler, **more)
        self._guard = guard
        self._short = short
        self._holding = Holding()

    def __call__(self) -> web.RequestHandler:
        return _Connection(
            self,
            loop=self._loop,
            guard=self._guard,
            short=self._short,
            holding=self._holding,
            **self._kwargs,
        )


def warn_of_slow_parser() -> None:
    """The parser in Python is several times as slow, and more lenient."""
    if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
        logger.warning(
            "aiohttp runs without its C parser: install a wheel of it, or a compiler before building"
        )


class GuardedRunner(web.AppRunner):
    """An application runner whose connections are watched by `guard`; run `guard.watch()` beside it."""

    def __init__(
        self,
        application: web.Application,
        guard: Guard,
        *,
        shutdown_timeout: float,
        short: ShortWay | None = None,
    ) -> None:
        super().__init__(application, shutdown_timeout=shutdown_timeout)
        self._guard = guard
        self._short = short

    async def _make_server(self) -> web.Server:
        warn_of_slow_parser()
        made = await super()._make_server()  # starts the application, and knows its handler
        return _GuardedServer(
            _in_our_words(made.request_handler, self.app.router.resolve),
            request_factory=made.request_factory,
            guard=self._guard,
            short=self._short,
            **_LIMITS,
        )
