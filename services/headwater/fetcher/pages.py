"""One page: begin it in the ledger, wait for its turn, fetch, judge, hand on; then the one that follows it (`hand`).

Nothing is committed after the fetch, so the batch and the pages that follow are published directly; a handler
that runs twice publishes the same ids.
"""

import asyncio
import logging
from datetime import datetime, timedelta
from uuid import UUID

from headwater.bus.port import Bus, Message
from headwater.bus.wire import from_message, to_message
from headwater.contracts.codec import dumps
from headwater.contracts.messages import BatchReady, PageDue, RejectedRecord
from headwater.fetcher.ahead import Ahead
from headwater.fetcher.announce import followers, key_of, own_token, page_message, planned_after, step_of
from headwater.fetcher.beginnings import Beginnings
from headwater.fetcher.breaker import Breakers
from headwater.fetcher.definitions import Definitions, Known
from headwater.fetcher.faults import Faults
from headwater.fetcher.hand import Hand
from headwater.fetcher.pace import Pace, Turn
from headwater.fetcher.tokens import Held, Tokens
from headwater.fetcher.turns import Turns
from headwater.http.client import HttpClient
from headwater.model.backoff import retry_delay_s
from headwater.model.clock import Clock
from headwater.model.errors import ConfigError, Later, Reject, SecretError, SourceError, Unavailable
from headwater.model.http import Response, origin_of
from headwater.model.ids import derive_id, time_of
from headwater.plugins.auth import ACCESS_TOKEN
from headwater.plugins.mapping import keeps_scale
from headwater.plugins.secret_text import Secrets
from headwater.plugins.walk.page import Page
from headwater.plugins.walk.reading import given_answer
from headwater.plugins.walk.token import is_slice, token_digest
from headwater.store import ledger, payloads, runs
from headwater.store.bell import Bell
from headwater.store.database import Database
from headwater.store.ledger import Beginning, Begun
from headwater.telemetry.metrics import Metrics

logger = logging.getLogger("headwater.fetcher")
MAX_INLINE_BYTES = 1024 * 1024  # records beyond this travel by reference
BODY_BYTES = 64 * 1024 * 1024  # of answers in hand; beyond, pages wait
AHEAD = 1000  # pages of a walk that may be fetched and not yet settled; beyond, it waits for the persister
LOOP_WARNING = "pagination_loop"
LIMIT_WARNING = "limit_reached"
_GUARDED = frozenset(
    {"cursor", "next_url", "link", "keyset", "graphql_relay"}
)  # equal pages of these are a loop


class Pages:
    """The handler of `page.due`."""

    def __init__(
        self,
        database: Database,
        beginnings: Beginnings,
        bus: Bus,
        bell: Bell,
        http: HttpClient,
        definitions: Definitions,
        tokens: Tokens,
        pace: Pace,
        clock: Clock,
        metrics: Metrics,
        stop: asyncio.Event,
    ) -> None:
        self._stop = stop
        self._database = database
        self._beginnings = beginnings
        self._bus = bus
        self._http = http
        self._definitions = definitions
        self._tokens = tokens
        self._pace = pace
        self._breakers = Breakers(clock)
        self._turns = Turns()
        self._faults = Faults(database, bell, pace)
        self._clock = clock
        self._metrics = metrics
        self._body_bytes = 0

    async def handle(self, message: Message) -> None:
        """Fetch the page that `message` names, and those that follow it while no one else waits for this process."""
        due = from_message(PageDue, message)
        try:
            known = (await self._definitions.get(due.stream_version)).at(due.token)
        except ConfigError as error:
            await self._faults.fail(due, "config", str(error), retryable=False)
            return
        with self._pace.share((known.definition.tenant, known.definition.source)):
            await self._walk(own_token(known, due), known, message.attempt)

    async def _walk(self, due: PageDue, known: Known, failures: int) -> None:
        async with asyncio.TaskGroup() as group:
            hand = Hand(group, Ahead(self._beginnings), self._clock.monotonic())
            try:
                following = await self._page(due, known, failures, hand)
                while following is not None and self._goes_on(known, hand):
                    following = await self._next(following, known, hand)
                hand.asking()
            finally:
                hand.drop()
            if following is not None:
                await self._bus.publish(page_message(following))

    def _goes_on(self, known: Known, hand: Hand) -> bool:
        """Whether the next page is this hand's too: it is not, when others need its place, or the service ends."""
        source = (known.definition.tenant, known.definition.source)
        return (
            not self._stop.is_set()
            and hand.may_go_on(self._clock.monotonic())
            and not self._pace.is_crowded(source)
        )

    async def _next(self, due: PageDue, known: Known, hand: Hand) -> PageDue | None:
        """The page after one in hand. What comes of a fault is found out under a message of its own."""
        try:
            return await self._page(due, known, 0, hand)
        except Unavailable:
            raise
        except SourceError:  # it has asked once: then it waits as long as if the message had named it
            later = self._clock.now() + timedelta(seconds=retry_delay_s(1))
            put_off = page_message(due.model_copy(update={"not_before": later}))
            await self._bus.publish(put_off._replace(attempt=1))
        except Exception as error:  # noqa: BLE001 - raised again by the handler of that message, if it is a fault
            logger.debug("page %d of run %s is left to its own message: %s", due.number, due.run_id, error)
            await self._bus.publish(page_message(due))
        return None

    async def _page(self, due: PageDue, known: Known, failures: int, hand: Hand) -> PageDue | None:
        """Bring the page to its end; gives the one that follows, if this hand is to go on to it."""
        hand.step = step_of(known, due)
        begun = await self._begin(due, hand)
        if begun.is_lost:
            return None
        hand.came_to(due, is_new=begun.is_new)
        if begun.is_settled:
            return await self._past_settled(due, known, hand)
        if begun.same_token_as is not None:
            await self._faults.end(due, "loop", LOOP_WARNING)
        elif begun.is_undecided:
            raise Later(1.0, f"page {due.number} of run {due.run_id} is two, until the one before it settles")
        elif begun.is_wanted:
            return await self._fetch_or_fail(Turn(due, begun, known.definition), known, failures, hand)
        return None

    async def _begin(self, due: PageDue, hand: Hand) -> Begun:
        key = key_of(due)
        begun = await hand.ahead.begun(due.number, self._clock.monotonic(), self._pace.quiet_count)
        if begun is None:
            begun = await self._beginnings.begin(_beginning(due, hand))
        if begun is None:
            raise Reject(f"run {due.run_id} does not exist")
        if begun.is_wanted and not begun.is_new:
            async with self._database.connection() as connection:
                await ledger.take_in_hand(connection, key, hand.step, hand.holder)
        return begun

    async def _past_settled(self, due: PageDue, known: Known, hand: Hand) -> PageDue | None:
        """What follows the settled pages that begin here: the walk goes on there."""
        async with self._database.connection() as connection:
            end = await ledger.settled_end(connection, key_of(due), hand.step)
            if end is None:
                raise Later(1.0, f"page {due.number} of run {due.run_id} was settled, and is not")
            number, next_token = end
            last = due.model_copy(update={"number": number})
            await ledger.take_in_hand(connection, key_of(last), hand.step, hand.holder)
        hand.after = number
        following = followers(known, last, next_token, self._clock.now())
        if len(following) <= 1:
            return following[0] if following else None
        for page in await self._unseen(due, following):
            await self._bus.publish(page_message(page))
        return None

    async def _unseen(self, due: PageDue, following: list[PageDue]) -> list[PageDue]:
        """Those of `following` that are not known to have arrived: what came twice must not lead to more that does."""
        if not following:
            return []
        async with self._database.connection() as connection:
            seen = await ledger.begun_of(connection, key_of(due), [page.number for page in following])
        return [page for page in following if page.number not in seen]

    async def _fetch_or_fail(self, turn: Turn, known: Known, failures: int, hand: Hand) -> PageDue | None:
        due = turn.due
        try:
            if self._is_late(due, known):
                await self._faults.end(due, "limit", LIMIT_WARNING)
            elif turn.begun.ahead_count > AHEAD or self._body_bytes > BODY_BYTES:
                raise Later(1.0, f"run {due.run_id} is ahead of its table")
            elif await self._pace.wait(turn):
                return await self._fetch(turn, known, hand)
        except SourceError as error:
            self._metrics.pages.labels(error.kind).inc()
            await self._faults.after_fault(turn, error, failures)
        except (ConfigError, SecretError) as error:
            kind = type(error).__name__.removesuffix("Error").lower()
            await self._faults.fail(due, kind, str(error), retryable=False)
        return None

    def _is_late(self, due: PageDue, known: Known) -> bool:
        """Whether a walk that has pages already is over its time, waits included."""
        began_s = float(due.token.get("began_s") or 0.0)
        late_s = self._clock.now().timestamp() - began_s - known.definition.stream.limits.max_seconds
        return due.number > 1 and began_s > 0 and late_s > 0

    async def _fetch(self, turn: Turn, known: Known, hand: Hand) -> PageDue | None:
        """Ask for the page and hand it on; gives the one that follows, if there is one for this hand."""
        if turn.begun.is_parked:
            async with self._database.connection() as connection:
                await runs.unpark(connection, turn.due.run_id)
        secrets = await self._definitions.secrets(known)
        async with self._pace.under_way(turn):
            hand.asking()
            planned_next = self._begin_ahead(turn, known, hand)
            asked_at = self._clock.monotonic()
            response, page = await self._asked(turn, known, secrets)
            hand.ahead.last_request_s = self._clock.monotonic() - asked_at
        if page.pause_s > 0:
            await self._pace.be_quiet(turn.source, page.pause_s)
        following = followers(known, turn.due, page.next_token, self._clock.now(), planned_next)
        await hand.meanwhile(self._hand_on(turn, page, response))
        if len(following) <= 1:
            return following[0] if following else None
        if not turn.begun.is_new:
            following = await self._unseen(turn.due, following)
        for successor in following:
            hand.group.create_task(self._bus.publish(page_message(successor)))
        return None

    def _begin_ahead(self, turn: Turn, known: Known, hand: Hand) -> PageDue | None:
        """Begin the page that this hand goes on to, where that is known before the answer comes; gives it."""
        due = turn.due
        following = planned_after(known, due)
        if following is not None and turn.begun.is_new and self._goes_on(known, hand):
            now = self._clock.monotonic()
            hand.ahead.begin(_beginning(following, hand), now, self._pace.quiet_count)
        return following

    async def _asked(self, turn: Turn, known: Known, secrets: Secrets) -> tuple[Response, Page]:
        """The page; a token that the API does not take is renewed once."""
        held = await self._tokens.held(known, secrets)
        try:
            return await self._ask(turn, known, secrets, held)
        except SourceError as error:
            if held is None or error.kind != "unauthorized":
                raise
        held = await self._tokens.renewed(known, secrets, held)
        return await self._ask(turn, known, secrets, held, is_renewed=True)

    async def _ask(
        self, turn: Turn, known: Known, secrets: Secrets, held: Held | None, *, is_renewed: bool = False
    ) -> tuple[Response, Page]:
        given = given_answer(known.definition)
        if given is not None:
            return given, known.walk.read(turn.due.token, given, self._clock.now(), secrets)
        if held is not None:
            secrets = {**secrets, ACCESS_TOKEN: held.token.access}
        definition = known.definition
        request = known.walk.request(turn.due.token, secrets, self._clock.now())
        origin = origin_of(request.url)
        self._breakers.check(origin)
        response: Response | None = None
        try:
            response = await self._http.send(
                request, allow=definition.network.allow, timeout_s=definition.timeout_s
            )
            await self._turns.take()
            page = known.walk.read(
                turn.due.token,
                response,
                self._clock.now(),
                secrets,
                hidden=request.credentials.values(),
                is_renewed=is_renewed,
            )
        except SourceError as error:
            self._breakers.failed(origin, error)
            await self._count(turn.due, error.request_count if response is None else response.request_count)
            raise
        self._breakers.answered(origin)
        return response, page

    async def _count(self, due: PageDue, requests: int) -> None:
        """Requests that brought no page; those that did are counted where it settles."""
        async with self._database.connection() as connection:
            await runs.count_requests(connection, due.run_id, due.attempt, requests)

    async def _hand_on(self, turn: Turn, page: Page, response: Response) -> None:
        """Publish the batch. Pages that follow do not wait: if it is not confirmed, this one is fetched again."""
        size = len(response.body)
        self._body_bytes += size
        try:
            message = await self._batch_message(turn, page, response)
            del page, response  # while the broker confirms, the message is all that is kept
            await self._bus.publish(message)
        finally:
            self._body_bytes -= size
        self._metrics.pages.labels("ok").inc()

    async def _batch_message(self, turn: Turn, page: Page, response: Response) -> Message:
        due = turn.due
        body = dumps(page.records) if page.body is None else page.body
        payload_id = None
        if len(body) > MAX_INLINE_BYTES:
            place = (due.run_id, due.attempt, due.walk, due.number, token_digest(due.token))
            payload_id = derive_id(time_of(due.run_id), "payload", *place, body)
            async with self._database.connection() as connection:
                await payloads.put(connection, payload_id, due.tenant, body)
        batch = _batch(turn, page, response, self._clock.now(), payload_id)
        identity = derive_id(
            time_of(due.run_id), "batch.ready", due.run_id, due.attempt, due.walk, due.number
        )
        parts = {"records": body} if payload_id is None else {}
        is_plain = page.is_plain and bool(parts)
        scaled = keeps_scale(turn.definition.stream.fields)
        return to_message(batch, identity, due.tenant, parts=parts, is_plain=is_plain, keeps_scale=scaled)


def _beginning(due: PageDue, hand: Hand) -> Beginning:
    return Beginning(key_of(due), due.tenant, token_digest(due.token), hand.holder, hand.after)


def _batch(turn: Turn, page: Page, response: Response, now: datetime, payload_id: UUID | None) -> BatchReady:
    """The batch without its records, which are written down apart."""
    due = turn.due
    # of slices the first pages are compared: where they are alike the API may not heed the bounds
    is_guarded = turn.definition.stream.pagination.type in _GUARDED or (
        due.number == 1 and is_slice(due.token)
    )
    # planned pages come in any order: which of them are alike is seen when all are there. One that the walk itself
    # found to repeat the first has no records left, and what it received is known by this
    is_guarded = is_guarded or (bool(due.token.get("planned")) and page.received_count > 0)
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
        requests=0 if turn.definition.stream.values is not None else max(1, response.request_count),
        rejected=tuple(RejectedRecord(position=item.index, reason=item.reason) for item in page.rejected),
        received=page.received_count,
        status=response.status,
        body_bytes=len(response.body),
        fetched_at=now,
        started_at=turn.begun.started_at,
        highest=page.highest,
        below=page.below,
        resume_token=page.resume_token,
        content_digest=page.content_digest if is_guarded and page.content_digest else None,
        sample=page.sample,
        payload_id=payload_id,
    )
