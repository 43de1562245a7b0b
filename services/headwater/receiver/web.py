"""`/in/{tenant}/{endpoint}`: judge within limits, verify over the raw bytes, make safe, answer.

In this order: the endpoint, its senders' addresses and methods, the body within its cap, the handshake that comes
unsigned, the signature, the handshake that comes signed, the rate, safekeeping.
"""

import hashlib
import logging
import os
import re
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime

from aiohttp import web

from headwater.http.expecting import close_if_waiting
from headwater.model.clock import Clock
from headwater.model.errors import Unavailable
from headwater.model.ids import derive_id
from headwater.model.networks import is_within
from headwater.plugins.signatures.facts import certificate_url
from headwater.plugins.signatures.handshake import HandshakeAnswer
from headwater.plugins.signatures.reasons import REASONS, UNDER_NO_SECRET, resting_detail
from headwater.plugins.signatures.request import SignedRequest
from headwater.plugins.signatures.verify import Verdict
from headwater.receiver.address import Address
from headwater.receiver.certificates import Certificates
from headwater.receiver.endpoints import Endpoints
from headwater.receiver.intake import REMEMBERED_HEADERS_BYTES, header_bytes, receipt_of
from headwater.receiver.keys import ActiveKeys
from headwater.receiver.ledger import HANDSHAKE, SPOOLED, Ledger
from headwater.receiver.reading import Body, Budget, Patience, check_encoding, check_transfer, check_unfolds
from headwater.receiver.refused import Refused, too_many, unavailable
from headwater.receiver.safekeeping import Kept, Safekeeping
from headwater.receiver.senders import Senders
from headwater.receiver.shaking import Handshakes, response_of
from headwater.store.refusals import Refusal
from headwater.telemetry.metrics import Metrics

logger = logging.getLogger("headwater.receiver")
PATH = "/in/{tenant}/{endpoint}"
REFUSED = "refused"
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?")
_SHOWN_PATH = 512
_MAX_SAMPLED_HEADERS = 100


@dataclass(slots=True)
class _Visit:
    """One request on its way through, and what is known of it so far."""

    request: web.Request
    at_s: float
    remote: str | None = None
    address: Address | None = None
    body: bytes | None = None


@dataclass(slots=True)
class _Verified:
    address: Address
    keys: ActiveKeys
    verdict: Verdict


class Intake:
    """The handler of the path, and what it holds."""

    def __init__(
        self,
        endpoints: Endpoints,
        senders: Senders,
        safekeeping: Safekeeping,
        handshakes: Handshakes,
        certificates: Certificates,
        ledger: Ledger,
        clock: Clock,
        metrics: Metrics,
        patience: Patience,
        budget: Budget,
    ) -> None:
        self._patience = patience
        self._endpoints = endpoints
        self._senders = senders
        self._safekeeping = safekeeping
        self._handshakes = handshakes
        self._certificates = certificates
        self._ledger = ledger
        self._clock = clock
        self._metrics = metrics
        self._budget = budget
        for outcome in (*(kept.value for kept in (Kept.QUEUED, Kept.SPOOLED)), HANDSHAKE, REFUSED):
            metrics.received.labels(outcome)  # there from the beginning, so that the first one is a change
        for reason in REASONS.keys() - {"ok"}:
            metrics.refused.labels(reason)

    async def handle(self, request: web.Request) -> web.Response:
        started = self._clock.monotonic()
        visit = _Visit(request, self._clock.now().timestamp())
        body = Body(self._budget, self._patience)
        try:
            response, outcome = await self._receive(visit, body)
        except Refused as refused:
            response, outcome = refused.response(), self._note_refused(visit, refused)
        except Unavailable as error:
            logger.debug("not accepted now: %s", error)
            response, outcome = unavailable().response(), "unavailable"
        except Exception as error:  # noqa: BLE001 - the caller learns nothing, and no trace with its bytes is logged
            place = traceback.extract_tb(error.__traceback__)[-1]
            logger.error("a webhook met a fault: %s in %s:%s", type(error).__name__, place.name, place.lineno)
            response, outcome = unavailable().response(), "fault"
        finally:
            body.done()
        close_if_waiting(request, response)
        self._metrics.received.labels(outcome).inc()
        self._metrics.answer_seconds.observe(self._clock.monotonic() - started)
        return response

    async def _receive(self, visit: _Visit, body: Body) -> tuple[web.Response, str]:
        request = visit.request
        address = visit.address = await self._address(request)
        visit.remote = self._senders.address(request)
        if address.allowed and (visit.remote is None or not is_within(visit.remote, address.allowed)):
            raise Refused(403, "Not from this address", "address")
        self._check_method(address, request.method)
        check_transfer(request)
        limits = address.endpoint.limits
        encoding = check_encoding(request, allowed=limits.compressed)
        visit.body = await body.read(request, limits.body_bytes)
        url = self._senders.url(request, address.endpoint.public_url)
        signed = SignedRequest(request.method, url, request.raw_headers, visit.body)
        if header_bytes(signed) > REMEMBERED_HEADERS_BYTES:
            raise Refused(431, "The headers are too large", "headers_too_large")
        if address.handshake is not None:
            answer = await self._handshakes.answer(address, signed, address.keys.at(visit.at_s), None)
            if answer is not None and not answer.is_delivery:
                return await self._shaken(address, visit, answer)
        if request.method not in address.methods and not self._has_signed_handshake(address, request.method):
            raise _not_allowed(address)
        verified = await self._verified(address, signed, visit.at_s)
        address = visit.address = verified.address
        answer = None
        if address.handshake is not None:
            place = verified.verdict.secret_index or 0
            answer = await self._handshakes.answer(address, signed, verified.keys, place)
            if answer is not None and not answer.is_delivery:
                return await self._shaken(address, visit, answer)
        if request.method not in address.methods:
            raise _not_allowed(address)
        wait_s = 0.0 if address.bucket is None else address.bucket.take(self._clock.monotonic())
        if wait_s > 0:
            raise too_many(wait_s)
        if encoding:
            await check_unfolds(visit.body, encoding, limits.body_bytes)
        return await self._accept(visit, signed, verified, answer)

    async def _address(self, request: web.Request) -> Address:
        tenant, name = request.match_info["tenant"], request.match_info["endpoint"]
        address = None
        if _NAME.fullmatch(tenant) and _NAME.fullmatch(name):
            address = await self._endpoints.find(tenant, name)
        if address is None:
            raise Refused(404, "There is no such endpoint", "unknown")
        return address

    def _check_method(self, address: Address, method: str) -> None:
        if method not in address.methods and (
            address.handshake is None or method not in address.handshake.methods
        ):
            raise _not_allowed(address)

    def _has_signed_handshake(self, address: Address, method: str) -> bool:
        return (
            address.handshake is not None and address.handshake.signed and method in address.handshake.methods
        )

    async def _shaken(
        self, address: Address, visit: _Visit, answer: HandshakeAnswer
    ) -> tuple[web.Response, str]:
        address.tally.note(HANDSHAKE, visit.at_s)
        if answer.new_secret is not None:
            await self._endpoints.refresh(address)
        return response_of(answer), HANDSHAKE

    async def _verified(self, address: Address, request: SignedRequest, at_s: float) -> _Verified:
        """The endpoint under which the request verifies. Raises: Refused (401)."""
        verified = await self._judged(address, request, at_s)
        if not verified.verdict.valid and verified.verdict.reason in UNDER_NO_SECRET:  # maybe by a newer one
            newer = await self._endpoints.look_again(address)
            if newer is not None:
                verified = await self._judged(newer, request, at_s)
        verdict = verified.verdict
        if verdict.valid:
            self._metrics.verified.inc()
            return verified
        handshake = address.handshake
        raise Refused(
            401,
            "The signature does not verify",
            verdict.reason,
            detail=self._resting(verified.address, request, at_s, verdict.reason) or verdict.detail,
            skew_s=None if verdict.timestamp_s is None else at_s - verdict.timestamp_s,
            is_plain=handshake is not None and handshake.empty_refusal,
        )

    def _resting(self, address: Address, request: SignedRequest, at_s: float, reason: str) -> str:
        """Tell of a secret that made the signature and does not count at this moment; empty for none."""
        keys = address.keys.resting_at(at_s) if reason in UNDER_NO_SECRET else None
        if keys is None or not keys.secrets:
            return ""
        verdict = keys.verifier.verify(
            request, at_s=at_s, tolerance_s=address.tolerance_s, context=address.endpoint.context
        )
        return resting_detail(keys.indexes[verdict.secret_index or 0]) if verdict.valid else ""

    async def _judged(self, address: Address, request: SignedRequest, at_s: float) -> _Verified:
        keys = address.keys.at(at_s)
        verifier = keys.verifier
        if address.by_certificate:
            url = certificate_url(address.scheme, request)
            if url is None:
                return _Verified(address, keys, Verdict(valid=False, reason="certificate_elsewhere"))
            try:
                verifier = await self._certificates.verifier(address.scheme, url)
            except Unavailable as error:
                raise unavailable("certificate", str(error)) from error
        verdict = verifier.verify(
            request, at_s=at_s, tolerance_s=address.tolerance_s, context=address.endpoint.context
        )
        if verdict.reason == "mismatch" and address.by_certificate:
            verdict = await self._judged_anew(address, request, at_s) or verdict
        return _Verified(address, keys, verdict)

    async def _judged_anew(self, address: Address, request: SignedRequest, at_s: float) -> Verdict | None:
        """The verdict under keys that were published since; None where there are no others."""
        url = address.scheme.definition.key.keys_url
        verifier = None if url is None else await self._certificates.renewed(address.scheme, url)
        if verifier is None:
            return None
        return verifier.verify(
            request, at_s=at_s, tolerance_s=address.tolerance_s, context=address.endpoint.context
        )

    async def _accept(
        self, visit: _Visit, signed: SignedRequest, verified: _Verified, answer: HandshakeAnswer | None
    ) -> tuple[web.Response, str]:
        address, keys, verdict = verified.address, verified.keys, verified.verdict
        place = verdict.secret_index or 0
        signed = address.shield.without_parameter(signed)
        known = address.facts.read(signed)
        receipt = receipt_of(
            address,
            signed,
            known,
            verdict,
            secret_index=keys.indexes[place] if place < len(keys.indexes) else None,
            now=self._clock.now(),
            nonce=os.urandom(16),
            remote=visit.remote,
        )
        kept = await self._safekeeping.keep(receipt, known.order_key)
        if kept is Kept.NOWHERE:
            raise unavailable()
        if kept is Kept.SPOOLED:
            address.tally.note(SPOOLED, visit.at_s)
        address.tally.accept(visit.at_s, keys.secrets[place].name if place < len(keys.secrets) else None)
        if verdict.timestamp_s is not None:
            self._metrics.provider_lag_seconds.observe(max(0.0, visit.at_s - verdict.timestamp_s))
        if answer is not None:
            return response_of(answer), kept.value
        success = address.success
        body = success.body(str(receipt.id))
        return web.Response(status=success.status, headers=success.headers, body=body), kept.value

    def _note_refused(self, visit: _Visit, refused: Refused) -> str:
        """Count it, and keep a sample; gives the outcome for the metrics. Never a header's value or a body."""
        if refused.status not in (500, 503):
            self._metrics.refused.labels(refused.reason).inc()
        address = visit.address
        if address is None:
            return refused.reason
        address.tally.note(f"refused:{refused.reason}", visit.at_s)
        if address.tally.may_sample(refused.reason, visit.at_s):
            self._ledger.sample(_sample(address, visit, refused))
            logger.info(
                "refused a webhook for %s/%s: %d %s %s",
                address.tenant,
                address.name,
                refused.status,
                refused.reason,
                refused.detail,
            )
        return REFUSED if refused.status == 401 or refused.reason == HANDSHAKE else refused.reason


def _not_allowed(address: Address) -> Refused:
    return Refused(
        405, "This method is not accepted here", "method", headers={"Allow": address.answered_methods}
    )


def _sample(address: Address, visit: _Visit, refused: Refused) -> Refusal:
    request = visit.request
    at = datetime.fromtimestamp(visit.at_s, UTC)
    return Refusal(
        id=derive_id(at, "refusal", address.tenant, address.name, os.urandom(16)),
        tenant=address.tenant,
        endpoint=address.name,
        refused_at=at,
        status=refused.status,
        reason=refused.reason,
        detail=refused.detail[:200],
        skew_s=refused.skew_s,
        method=_plain(request.method, 20),
        path=_plain(request.raw_path.partition("?")[0], _SHOWN_PATH),
        remote=visit.remote,
        headers=[
            (_plain(name.decode("latin-1"), 128), len(value))
            for name, value in request.raw_headers[:_MAX_SAMPLED_HEADERS]
        ],
        body_bytes=request.content_length if visit.body is None else len(visit.body),
        body_sha256=None if visit.body is None else hashlib.sha256(visit.body).digest(),
    )


def _plain(text: str, most: int) -> str:
    """A text from outside as a row and a log line can hold it."""
    return "".join(each if each.isprintable() else "?" for each in text[:most])
