"""One page: begin it in the ledger, take a slot of the rate limit, fetch, judge, hand on.

Nothing is committed after the fetch, so the batch and the page that follows are published directly; a handler
that runs twice publishes the same ids.
"""

import asyncio
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from headwater.bus.port import MAX_ATTEMPTS, Bus, Message
from headwater.bus.wire import from_message, to_message
from headwater.contracts.codec import dumps
from headwater.contracts.messages import BatchReady, PageDue, RejectedRecord
from headwater.fetcher.definitions import Definitions, Known
from headwater.http.client import HttpClient
from headwater.model.backoff import RETRY_DELAYS_S
from headwater.model.clock import Clock
from headwater.model.errors import ConfigError, Later, Reject, SecretError, SourceError
from headwater.model.http import Response
from headwater.model.ids import derive_id, time_of
from headwater.plugins.walk import Page, token_digest
from headwater.store import ledger, limits, outbox, payloads, runs
from headwater.store.bell import Bell
from headwater.store.database import Database
from headwater.store.ledger import Begun, PageKey
from headwater.store.outbox import OutboxRow
from headwater.telemetry.metrics import Metrics

logger = logging.getLogger("headwater.fetcher")
MAX_INLINE_BYTES = 1024 * 1024  # records beyond this travel by reference
LOOP_WARNING = "pagination_loop"
LIMIT_WARNING = "limit_reached"


def page_message(page: PageDue, *salt: object) -> Message:
    """`page.due` under its derived id."""
    identity = ("page.due", page.run_id, page.attempt, page.walk, page.number, *salt)
    return to_message(page, derive_id(time_of(page.run_id), *identity), page.tenant)


class Pages:
    """The handler of `page.due`."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        bell: Bell,
        http: HttpClient,
        definitions: Definitions,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._database = database
        self._bus = bus
        self._bell = bell
        self._http = http
        self._definitions = definitions
        self._clock = clock
        self._metrics = metrics

    async def handle(self, message: Message) -> None:
        """Fetch the page that `message` names."""
        due = from_message(PageDue, message)
        begun = await self._begin(due)
        if begun.is_settled:
            await self._announce(due, begun.next_token)
        elif begun.same_token_as is not None:
            await self._end(due, "loop", LOOP_WARNING)
        elif begun.is_wanted:
            await self._fetch_or_fail(due, begun.started_at, message.attempt)

    async def _begin(self, due: PageDue) -> Begun:
        key = PageKey(due.run_id, due.attempt, due.walk, due.number)
        async with self._database.connection() as connection:
            begun = await ledger.begin_page(connection, key, due.tenant, token_digest(due.token))
        if begun is None:
            raise Reject(f"run {due.run_id} does not exist")
        return begun

    async def _fetch_or_fail(self, due: PageDue, started_at: datetime, failures: int) -> None:
        try:
            known = await self._definitions.get(due.stream_version)
            if self._is_late(due, known):
                await self._end(due, "limit", LIMIT_WARNING)
                return
            await self._fetch(due, known, started_at)
        except SourceError as error:
            self._metrics.pages.labels(error.kind).inc()
            await self._after_fault(due, error, failures)
        except (ConfigError, SecretError) as error:
            await self._fail(
                due, type(error).__name__.removesuffix("Error").lower(), str(error), retryable=False
            )

    def _is_late(self, due: PageDue, known: Known) -> bool:
        """Whether a walk that has pages already is over its time, waits included."""
        began_s = float(due.token.get("began_s") or 0.0)
        late_s = self._clock.now().timestamp() - began_s - known.definition.stream.limits.max_seconds
        return due.number > 1 and began_s > 0 and late_s > 0

    async def _fetch(self, due: PageDue, known: Known, started_at: datetime) -> None:
        definition = known.definition
        await self._take_slot(definition.tenant, definition.source)
        secrets = await self._definitions.secrets(known)
        request = known.walk.request(due.token, secrets, self._clock.now())
        response = await self._http.send(
            request, allow=definition.network.allow, timeout_s=definition.timeout_s
        )
        page = known.walk.read(due.token, response, self._clock.now(), secrets)
        if page.pause_s > 0:
            async with self._database.connection() as connection:
                await limits.pause(connection, definition.tenant, definition.source, page.pause_s)
        await self._hand_on(due, page, response, started_at)
        self._metrics.pages.labels("ok").inc()

    async def _take_slot(self, tenant: str, source: str) -> None:
        async with self._database.connection() as connection:
            limit = await limits.of_source(connection, tenant, source)
            if limit is None:
                wait_s = await limits.paused_s(connection, tenant, source)
            else:
                gap_s = float(limit["per_s"]) / int(limit["requests"])
                wait_s = await limits.take(connection, tenant, source, gap_s, int(limit["burst"]))
        if wait_s > limits.LONGEST_RESERVED_S:
            raise Later(wait_s, f"the rate limit of {source} is used up")
        if wait_s > 0:
            await asyncio.sleep(wait_s)

    async def _hand_on(self, due: PageDue, page: Page, response: Response, started_at: datetime) -> None:
        """Publish the batch, then the page that follows: a settled page names its successor either way."""
        body = dumps(page.records)
        payload_id = None
        if len(body) > MAX_INLINE_BYTES:
            payload_id = derive_id(
                time_of(due.run_id), "payload", due.run_id, due.attempt, due.walk, due.number, body
            )
            async with self._database.connection() as connection:
                await payloads.put(connection, payload_id, due.tenant, body)
        batch = _batch(due, page, response, started_at, self._clock.now(), payload_id)
        identity = ("batch.ready", due.run_id, due.attempt, due.walk, due.number)
        await self._bus.publish(to_message(batch, derive_id(time_of(due.run_id), *identity), due.tenant))
        await self._announce(due, page.next_token)

    async def _announce(self, due: PageDue, token: Mapping[str, Any] | None) -> None:
        if token is not None:
            following = due.model_copy(update={"number": due.number + 1, "token": dict(token)})
            await self._bus.publish(page_message(following))

    async def _end(self, due: PageDue, reason: str, warning: str) -> None:
        """The walk ends before this page."""
        key = PageKey(due.run_id, due.attempt, due.walk, due.number)
        async with self._database.transaction() as connection:
            await ledger.end_walk(connection, key, due.tenant, reason, [warning])
        self._bell.ring()

    async def _after_fault(self, due: PageDue, error: SourceError, failures: int) -> None:
        """A wait that the API asked for costs no attempt; other faults do, and the last one ends the run."""
        if error.retryable and error.delay_s is not None and not self._would_be_late(due, error.delay_s):
            if error.delay_s > RETRY_DELAYS_S[-1]:
                await self._park(due, error.delay_s, error.kind)
                return
            raise Later(error.delay_s, error.message) from error
        if error.retryable and failures + 1 < MAX_ATTEMPTS:
            raise error
        await self._fail(due, error.kind, error.message, retryable=error.retryable or error.restart)

    def _would_be_late(self, due: PageDue, delay_s: float) -> bool:
        began_s = float(due.token.get("began_s") or 0.0)
        return began_s > 0 and self._clock.now().timestamp() + delay_s - began_s > 7 * 86_400

    async def _park(self, due: PageDue, delay_s: float, kind: str) -> None:
        """A wait longer than the delay queues: a row that the relay publishes then."""
        message = page_message(due, "parked", self._clock.now().isoformat())
        row = OutboxRow(UUID(message.id), due.tenant, message.type, message.body)
        async with self._database.transaction() as connection:
            await runs.park(connection, due.run_id, delay_s, kind)
            await outbox.add(connection, row, delay_s=delay_s)

    async def _fail(self, due: PageDue, kind: str, message: str, *, retryable: bool) -> None:
        logger.warning("run %s failed on page %d: %s: %s", due.run_id, due.number, kind, message)
        async with self._database.transaction() as connection:
            await runs.fail_attempt(connection, due.run_id, due.attempt, kind, message, retryable=retryable)
        self._bell.ring()


def _batch(
    due: PageDue, page: Page, response: Response, started_at: datetime, now: datetime, payload_id: UUID | None
) -> BatchReady:
    return BatchReady(
        run_id=due.run_id,
        attempt=due.attempt,
        tenant=due.tenant,
        stream_version=due.stream_version,
        walk=due.walk,
        number=due.number,
        token=due.token,
        next_token=page.next_token,
        stop_reason=None if page.stop_reason is None else page.stop_reason.value,
        warnings=page.warnings,
        requests=max(1, response.request_count),
        rejected=tuple(RejectedRecord(position=item.index, reason=item.reason) for item in page.rejected),
        received=page.received_count,
        status=response.status,
        body_bytes=len(response.body),
        fetched_at=now,
        started_at=started_at,
        highest=page.highest,
        records=page.records if payload_id is None else None,
        payload_id=payload_id,
    )
