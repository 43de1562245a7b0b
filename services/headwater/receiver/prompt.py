"""The short way of a webhook: plain, signed rightly, to an endpoint that is known, and confirmed by the bus.

The same rules as `receiver.web`, without its waits: whatever is refused, unknown, a handshake, limited in its rate or
in an order goes the long way from the beginning, before anything was done about it.
"""

import asyncio
import logging
import os
import random
import time
from email.utils import formatdate

from headwater.bus.port import Message
from headwater.http.plain import METHOD, PlainRequest
from headwater.http.short import SERVER, Reply, ShortWay
from headwater.model.clock import Clock
from headwater.model.networks import is_within
from headwater.model.secret import Secret
from headwater.plugins.signatures.handshakes import handshake_for
from headwater.plugins.signatures.request import SignedRequest
from headwater.receiver.address import Address
from headwater.receiver.endpoints import Endpoints
from headwater.receiver.intake import prompt_message
from headwater.receiver.offers import Offer
from headwater.receiver.reading import Budget
from headwater.receiver.refused import RETRY_AFTER_S
from headwater.receiver.safekeeping import Kept, Safekeeping
from headwater.receiver.senders import Senders
from headwater.telemetry.metrics import Metrics

logger = logging.getLogger("headwater.receiver")
BEGINNING = b"POST /in/"
_random_bytes = random.Random(os.urandom(32)).randbytes  # noqa: S311 - tells receipts apart, and keeps no secret
_UNAVAILABLE = b'{"type":"about:blank","title":"Not accepted now; send it again","status":503}'


class _Visit(Offer):
    """A webhook that is being made safe."""

    __slots__ = ("address", "at_s", "intake", "message", "reply", "secret", "stamp_s", "started")

    def __init__(
        self,
        intake: "PromptIntake",
        address: Address,
        message: Message,
        secret: str | None,
        stamp_s: float | None,
        at_s: float,
        started: float,
        reply: Reply,
    ) -> None:
        self.is_told = False
        self.intake = intake
        self.address = address
        self.message = message
        self.secret = secret
        self.stamp_s = stamp_s
        self.at_s = at_s
        self.started = started
        self.reply = reply

    def told(self, is_confirmed: bool) -> None:
        self.intake.told(self, is_confirmed)


class PromptIntake:
    """Takes what may go the short way."""

    def __init__(
        self,
        endpoints: Endpoints,
        senders: Senders,
        safekeeping: Safekeeping,
        budget: Budget,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._endpoints = endpoints
        self._senders = senders
        self._safekeeping = safekeeping
        self._offers = safekeeping.offers
        self._budget = budget
        self._clock = clock
        self._metrics = metrics
        self._outcomes = {kept: metrics.received.labels(kept.value) for kept in (Kept.QUEUED, Kept.SPOOLED)}
        self._late: set[asyncio.Task[None]] = set()
        self._tail = b""  # of every head: date and server
        self._tail_s = 0

    def way(self) -> ShortWay:
        """This way, for the server."""
        return ShortWay(BEGINNING, self.take)

    def take(self, request: PlainRequest, reply: Reply) -> bool:
        """Take the request and reply when it is safe; False, with nothing done, where it has to go the long way."""
        try:
            return self._take(request, reply)
        except Exception as error:  # noqa: BLE001 - the long way meets it again, and answers for it
            logger.debug("not on the short way: %s", type(error).__name__)
            return False

    def _take(self, request: PlainRequest, reply: Reply) -> bool:
        started = self._clock.monotonic()
        address = self._address(request.raw_path)
        body = request.body
        if address is None or address.answer_head is None or len(body) > address.endpoint.limits.body_bytes:
            return False
        remote = self._senders.address(request)
        if address.allowed and (remote is None or not is_within(remote, address.allowed)):
            return False
        now = self._clock.now()
        at_s = now.timestamp()
        url = self._senders.url(request, address.endpoint.public_url)
        signed = SignedRequest(METHOD, url, request.raw_headers, body, request.values)
        keys = address.keys.at(at_s)
        if address.handshake is not None and _asks(address, signed, keys.newest, is_verified=False):
            return False
        verdict = keys.verifier.verify(
            signed, at_s=at_s, tolerance_s=address.tolerance_s, context=address.endpoint.context
        )
        if not verdict.valid:
            return False
        place = verdict.secret_index or 0
        is_kept = place < len(keys.secrets)
        if address.handshake is not None and _asks(
            address, signed, keys.secrets[place].secret if is_kept else keys.newest, is_verified=True
        ):
            return False
        if address.bucket is not None and address.bucket.take(started) > 0.0:
            return False
        message = prompt_message(
            address,
            signed,
            address.facts.read(signed),
            verdict,
            secret_index=keys.indexes[place] if is_kept else None,
            now=now,
            random=_random_bytes(10),
            remote=remote,
        )
        secret = keys.secrets[place].name if is_kept else None
        visit = _Visit(self, address, message, secret, verdict.timestamp_s, at_s, started, reply)
        self._budget.add(len(body))
        if self._offers.offer(message, visit):
            return True
        self._budget.free(len(body))
        if address.bucket is not None:
            address.bucket.give_back()  # the long way takes it again
        return False

    def _address(self, target: str) -> Address | None:
        parts = target.partition("?")[0].split("/")
        return self._endpoints.known(parts[2], parts[3]) if len(parts) == 4 else None

    def told(self, visit: _Visit, is_confirmed: bool) -> None:
        """Answer what is safe, and spool what is not."""
        if is_confirmed:
            self._done(visit, Kept.QUEUED)
            return
        task = asyncio.create_task(self._spool(visit), name="spool")
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def _spool(self, visit: _Visit) -> None:
        kept = Kept.NOWHERE
        try:
            kept = await self._safekeeping.spooled(visit.message)
        finally:
            self._done(visit, kept)

    def _done(self, visit: _Visit, kept: Kept) -> None:
        """Count it and answer."""
        self._budget.free(len(visit.message.body))
        self._metrics.verified.inc()
        if kept is Kept.NOWHERE:
            self._metrics.received.labels("unavailable").inc()
            visit.address.tally.note("refused:unavailable", visit.at_s)
            visit.reply(self._unavailable())
        else:
            visit.address.tally.accept(visit.at_s, visit.secret)
            if visit.stamp_s is not None:
                self._metrics.provider_lag_seconds.observe(max(0.0, visit.at_s - visit.stamp_s))
            self._outcomes[kept].inc()
            visit.reply(self._accepted(visit))
        self._metrics.answer_seconds.observe(self._clock.monotonic() - visit.started)

    def _accepted(self, visit: _Visit) -> bytes:
        head = visit.address.answer_head
        assert head is not None
        return b"".join(
            (head, self._date(), visit.address.success.body(visit.message.headers["delivery-id"]))
        )

    def _unavailable(self) -> bytes:
        head = (
            "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\n"
            f"Retry-After: {RETRY_AFTER_S}\r\nContent-Length: {len(_UNAVAILABLE)}\r\n"
        )
        return head.encode() + self._date() + _UNAVAILABLE

    def _date(self) -> bytes:
        """The last headers of an answer, made once a second."""
        now_s = int(time.time())
        if now_s != self._tail_s:
            self._tail_s = now_s
            self._tail = f"Date: {formatdate(now_s, usegmt=True)}\r\nServer: {SERVER}\r\n\r\n".encode()
        return self._tail


def _asks(address: Address, request: SignedRequest, secret: Secret | None, *, is_verified: bool) -> bool:
    """Whether the request is a handshake, or a delivery that is answered as one."""
    handshake = address.handshake
    if handshake is None or METHOD not in handshake.methods or (handshake.signed and not is_verified):
        return False
    answer = handshake_for(
        handshake,
        request,
        verified=is_verified,
        secret=secret,
        context=address.endpoint.context,
        awaiting=address.is_awaiting,
    )
    return answer is not None
