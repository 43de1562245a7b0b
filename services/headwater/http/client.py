"""The one way out: HTTP requests to addresses that users name, safe against what answers there.

Redirects are followed by hand, credentials stay at their origin, private addresses are refused where the
socket is made, bodies are counted as they are read and as they are decompressed, nothing is sent twice by
itself, TLS is verified, and no cookie is kept. Every fault is a SourceError; no message holds a URL or a
secret.
"""

import asyncio
import ssl
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp

import headwater
from headwater.http.addresses import AddressRange, guarded_sockets, is_refusal, parse_ranges
from headwater.http.decode import ACCEPT_ENCODING, decode_body
from headwater.http.hops import REDIRECTS, Hop, body_of, headers_of, redirected, url_of
from headwater.model.clock import Clock
from headwater.model.errors import SourceError
from headwater.model.http import HttpRequest, Pairs, Response, origin_of, parse_url

_GZIP = b"\x1f\x8b\x08"  # RFC 1952 with deflate: no text begins so
_NOT_ASKED = frozenset({"refused_address", "bad_url"})  # no request was made
_THREAD_BYTES = 256 * 1024  # larger bodies are decompressed off the loop
_MAX_POOLS = 64


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Bounds of the client. `body_bytes` holds for the wire and, separately, for the decompressed body.

    `ratio` is how many times a body over 8 MiB may grow when decompressed.
    """

    body_bytes: int = 64 * 1024 * 1024
    ratio: int = 200
    header_bytes: int = 16 * 1024
    header_count: int = 128
    redirects: int = 5
    connect_s: float = 10.0
    connections: int = 512
    connections_per_host: int = 128


@dataclass(slots=True)
class _Pool:
    """Connections that were all opened under one list of allowed ranges, and how many requests use them."""

    session: aiohttp.ClientSession
    user_count: int = 0


@dataclass(frozen=True, slots=True)
class _Raw:
    status: int
    headers: Pairs
    body: bytes


class HttpClient:
    """Sends requests. One per process; `close()` (or leaving the context) ends its connections."""

    def __init__(
        self, clock: Clock, limits: HttpLimits | None = None, *, tls: ssl.SSLContext | None = None
    ) -> None:
        self._clock = clock
        self._limits = limits or HttpLimits()
        self._tls = tls
        self._pools: OrderedDict[tuple[AddressRange, ...], _Pool] = OrderedDict()
        self._slots = asyncio.Semaphore(self._limits.connections)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End all connections."""
        pools, self._pools = self._pools, OrderedDict()
        for pool in pools.values():
            await pool.session.close()

    async def send(
        self,
        request: HttpRequest,
        *,
        allow: Sequence[str] = (),
        timeout_s: float = 30.0,
        read_timeout_s: float | None = None,
        max_body_bytes: int | None = None,
    ) -> Response:
        """The answer to `request`, whatever its status, after redirects.

        Args: `allow` names the private ranges (CIDR) this source may reach; `timeout_s` covers everything but
        the wait for a free connection slot; `read_timeout_s` is the longest silence between two pieces of the
        answer (default: `timeout_s`); `max_body_bytes` lowers the cap of the limits.
        Raises: SourceError of kind network, timeout, cut_body, bad_http (these are retryable), tls,
        refused_address, redirect, too_large, bad_encoding, bad_url.
        """
        limits = self._limits
        cap = min(limits.body_bytes, max_body_bytes or limits.body_bytes)
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=min(limits.connect_s, timeout_s), sock_read=read_timeout_s or timeout_s
        )
        async with self._slots:
            pool = self._pool(parse_ranges(allow))
            pool.user_count += 1
            try:
                async with asyncio.timeout(timeout_s):
                    return await self._follow(pool.session, request, timeout, cap)
            except TimeoutError as error:
                host = parse_url(request.url).host
                raise SourceError(
                    "timeout", f"{host} did not answer in full within {timeout_s:g} s", retryable=True
                ) from error
            finally:
                pool.user_count -= 1
                await self._forget_idle()

    async def _follow(
        self, session: aiohttp.ClientSession, request: HttpRequest, timeout: aiohttp.ClientTimeout, cap: int
    ) -> Response:
        began = self._clock.monotonic()
        hop = Hop(request.method, parse_url(request.url), request.headers, request.body, request.credentials)
        if hop.credentials.origin != origin_of(hop.url):
            hop = Hop(hop.method, hop.url, hop.headers, hop.body)
        count = 0
        try:
            while count <= self._limits.redirects:
                count += 1
                raw = await self._ask(session, hop, timeout, cap)
                location = _header(raw.headers, "location")
                if raw.status not in REDIRECTS or location is None:
                    return Response(
                        status=raw.status,
                        headers=raw.headers,
                        body=await self._decoded(raw, cap),
                        url=str(hop.url),
                        elapsed_s=self._clock.monotonic() - began,
                        request_count=count,
                        wire_bytes=len(raw.body),
                    )
                hop = redirected(hop, raw.status, location)
            raise SourceError(
                "redirect", f"{hop.url.host} redirected more than {self._limits.redirects} times"
            )
        except SourceError as error:
            error.request_count = count - (error.kind in _NOT_ASKED)
            raise

    async def _ask(
        self, session: aiohttp.ClientSession, hop: Hop, timeout: aiohttp.ClientTimeout, cap: int
    ) -> _Raw:
        host = hop.url.host
        try:
            async with session.request(
                hop.method,
                url_of(hop),
                headers=headers_of(hop),
                data=body_of(hop),
                allow_redirects=False,
                timeout=timeout,
            ) as answer:
                headers = tuple(
                    (name.decode("latin-1"), value.decode("utf-8", "replace"))
                    for name, value in answer.raw_headers
                )
                is_redirect = answer.status in REDIRECTS and "location" in answer.headers
                if is_redirect or hop.method == "HEAD":
                    return _Raw(answer.status, headers, b"")
                return _Raw(answer.status, headers, await _read(answer, cap))
        except TimeoutError:
            raise
        except aiohttp.InvalidURL as error:
            raise SourceError("bad_url", f"{host} is no name or address of a host") from error
        except aiohttp.ClientConnectorError as error:
            raise _connect_fault(host, error) from error
        except aiohttp.ClientPayloadError as error:
            raise SourceError("cut_body", f"the answer of {host} ended early", retryable=True) from error
        except aiohttp.ClientResponseError as error:
            raise SourceError(
                "bad_http", f"{host} did not answer in proper HTTP or with too large headers", retryable=True
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            raise SourceError(
                "network", f"the connection to {host} broke ({type(error).__name__})", retryable=True
            ) from error

    async def _decoded(self, raw: _Raw, cap: int) -> bytes:
        encodings = ",".join(value for name, value in raw.headers if name.lower() == "content-encoding")
        if not encodings and raw.body.startswith(_GZIP):  # files that are gzip themselves
            encodings = "gzip"
        if not encodings or not raw.body:
            return raw.body
        body = await self._unpacked(raw.body, encodings, cap)
        # some servers compress what was compressed already, and tell of one of the two
        return await self._unpacked(body, "gzip", cap) if body.startswith(_GZIP) else body

    async def _unpacked(self, body: bytes, encodings: str, cap: int) -> bytes:
        ratio = self._limits.ratio
        if len(body) < _THREAD_BYTES:
            return decode_body(body, encodings, max_bytes=cap, max_ratio=ratio)
        return await asyncio.to_thread(decode_body, body, encodings, max_bytes=cap, max_ratio=ratio)

    def _pool(self, allowed: tuple[AddressRange, ...]) -> _Pool:
        """The connections for this list of ranges.

        They are kept apart: a connection to a private address that one source may use must not be found and
        used by another that may not.
        """
        pool = self._pools.get(allowed)
        if pool is None:
            pool = self._pools[allowed] = _Pool(self._session(allowed))
        self._pools.move_to_end(allowed)
        return pool

    async def _forget_idle(self) -> None:
        """Close the pool that was idle longest, if there are too many."""
        if len(self._pools) <= _MAX_POOLS:
            return
        idle = next((key for key, pool in self._pools.items() if pool.user_count == 0), None)
        if idle is not None:
            await self._pools.pop(idle).session.close()

    def _session(self, allowed: tuple[AddressRange, ...]) -> aiohttp.ClientSession:
        limits = self._limits
        connector = aiohttp.TCPConnector(
            limit=limits.connections,
            limit_per_host=limits.connections_per_host,
            ssl=self._tls or True,
            socket_factory=guarded_sockets(allowed),
        )
        session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            max_line_size=limits.header_bytes,
            max_field_size=limits.header_bytes,
            max_headers=limits.header_count,
            skip_auto_headers=("Content-Type",),
            headers={
                "User-Agent": f"headwater/{headwater.__version__}",
                "Accept": "application/json, */*;q=0.5",
                "Accept-Encoding": ACCEPT_ENCODING,
            },
        )
        # aiohttp offers no public switch: by itself it sends a GET again when a kept connection was lost,
        # and a request that the limits did not count may be a request too many
        session._retry_connection = False  # noqa: SLF001
        return session


def _header(headers: Pairs, name: str) -> str | None:
    return next((value for key, value in headers if key.lower() == name), None)


async def _read(answer: aiohttp.ClientResponse, cap: int) -> bytes:
    """The body as it came over the wire, at most `cap` bytes of it."""
    fault = SourceError("too_large", f"the answer's body is larger than {cap} bytes; ask for smaller pages")
    if (answer.content_length or 0) > cap:
        answer.close()
        raise fault
    parts: list[bytes] = []
    size = 0
    async for part in answer.content.iter_any():
        size += len(part)
        if size > cap:
            answer.close()
            raise fault
        parts.append(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _connect_fault(host: str | None, error: aiohttp.ClientConnectorError) -> SourceError:
    if is_refusal(error.os_error):
        return SourceError(
            "refused_address",
            f"{host} leads to an address that is not public: allow its range in the source's network.allow",
        )
    if isinstance(error, aiohttp.ClientSSLError):
        return SourceError("tls", f"the TLS certificate or handshake of {host} failed")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return SourceError("network", f"the name {host} could not be resolved", retryable=True)
    return SourceError(
        "network",
        f"{host} could not be reached ({error.os_error.strerror or 'no connection'})",
        retryable=True,
    )
