"""`/in/{tenant}/{endpoint}`: read within limits, verify over the raw bytes, make safe, 202."""

import asyncio
import logging
import os
import re

import orjson
from aiohttp import web

from headwater.model.clock import Clock
from headwater.model.errors import Unavailable
from headwater.plugins.signatures import SignedRequest
from headwater.receiver.endpoints import Address, Endpoints
from headwater.receiver.intake import REMEMBERED_HEADERS_BYTES, header_bytes, receipt_of
from headwater.receiver.safekeeping import Kept, Safekeeping
from headwater.telemetry.metrics import Metrics

logger = logging.getLogger("headwater.receiver")
PATH = "/in/{tenant}/{endpoint}"
_NAME = re.compile(r"^[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?$")
READ_S = 10.0  # between two pieces of a body
BODY_S = 60.0  # for a whole body
BUDGET_BYTES = 64 * 1024 * 1024  # bodies in flight in one process
RETRY_AFTER_S = 5


class Answer(Exception):
    """Ends a request with this status; the caller learns no more than the status says."""

    def __init__(self, status: int, title: str, outcome: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(title)
        self.status = status
        self.title = title
        self.outcome = outcome
        self.headers = headers or {}


class Intake:
    """The handler of the path, and what it holds."""

    def __init__(
        self, endpoints: Endpoints, safekeeping: Safekeeping, clock: Clock, metrics: Metrics, public_url: str
    ) -> None:
        self._endpoints = endpoints
        self._safekeeping = safekeeping
        self._clock = clock
        self._metrics = metrics
        self._public_url = public_url.rstrip("/")
        self._in_flight = 0

    async def handle(self, request: web.Request) -> web.Response:
        started = self._clock.monotonic()
        try:
            delivery, outcome = await self._receive(request)
        except Answer as answer:
            self._metrics.received.labels(answer.outcome).inc()
            return _refusal(answer)
        except Unavailable:
            self._metrics.received.labels("unavailable").inc()
            return _refusal(_unavailable())
        self._metrics.received.labels(outcome).inc()
        self._metrics.answer_seconds.observe(self._clock.monotonic() - started)
        return web.Response(status=202, body=orjson.dumps({"id": delivery}), content_type="application/json")

    async def _receive(self, request: web.Request) -> tuple[str, str]:
        address = await self._address(request)
        cap = address.endpoint.limits.body_bytes
        length = request.content_length
        if length is not None and length > cap:
            raise _too_large(cap)
        if request.headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
            raise Answer(415, "Compressed bodies are not accepted", "unsupported")
        expected = min(cap, length if length is not None else 64 * 1024)
        if self._in_flight + expected > BUDGET_BYTES:
            raise _unavailable()
        self._in_flight += expected
        try:
            body = await _read(request, cap)
            return await self._accept(request, address, body)
        finally:
            self._in_flight -= expected

    async def _address(self, request: web.Request) -> Address:
        tenant, name = request.match_info["tenant"], request.match_info["endpoint"]
        address = None
        if _NAME.match(tenant) and _NAME.match(name):
            address = await self._endpoints.find(tenant, name)
        if address is None:
            raise Answer(404, "There is no such endpoint", "unknown")
        return address

    async def _accept(self, request: web.Request, address: Address, body: bytes) -> tuple[str, str]:
        signed = SignedRequest(request.method, self._public_url + request.raw_path, request.raw_headers, body)
        if header_bytes(signed) > REMEMBERED_HEADERS_BYTES:
            raise Answer(431, "The headers are too large", "headers_too_large")
        now = self._clock.now()
        verdict = address.verifier.verify(
            signed, at_s=now.timestamp(), tolerance_s=address.tolerance_s, context=address.endpoint.context
        )
        if not verdict.valid:
            self._metrics.refused.labels(verdict.reason).inc()
            logger.info(
                "refused a webhook for %s/%s: %s %s",
                address.tenant,
                address.endpoint.name,
                verdict.reason,
                verdict.detail,
            )
            raise Answer(401, "The signature does not verify", "refused")
        receipt = receipt_of(address, signed, verdict, now=now, nonce=os.urandom(16), remote=request.remote)
        kept = await self._safekeeping.keep(receipt)
        if kept is Kept.NOWHERE:
            raise _unavailable()
        return str(receipt.id), kept.value


async def _read(request: web.Request, cap: int) -> bytes:
    """The raw body, byte for byte, of at most `cap` bytes."""
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_S):
            while True:
                async with asyncio.timeout(READ_S):
                    part = await request.content.readany()
                if not part:
                    break
                size += len(part)
                if size > cap:
                    raise _too_large(cap)
                parts.append(part)
    except TimeoutError:
        raise Answer(408, "The body did not arrive in time", "slow", {"Connection": "close"}) from None
    except (web.RequestPayloadError, ValueError, ConnectionError) as error:
        raise Answer(400, "The body is cut or malformed", "malformed", {"Connection": "close"}) from error
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(cap: int) -> Answer:
    return Answer(413, f"The body is larger than {cap} bytes", "too_large", {"Connection": "close"})


def _unavailable() -> Answer:
    return Answer(503, "Not accepted now; send it again", "unavailable", {"Retry-After": str(RETRY_AFTER_S)})


def _refusal(answer: Answer) -> web.Response:
    body = orjson.dumps({"type": "about:blank", "title": answer.title, "status": answer.status})
    return web.Response(
        status=answer.status, body=body, content_type="application/problem+json", headers=answer.headers
    )
