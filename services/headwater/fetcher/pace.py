"""When a page may be asked for: what its source allows, what its API asked for, what is fair to other sources.

Short waits are waited in process, by few pages of one source at once; for longer ones the message comes back, or
is a row of the outbox until then. A page that waits for its turn in the rate limit has the slot already, so that
a thousand waiting pages ask once each (DESIGN.md §2.11).
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from uuid import UUID

from headwater.contracts.messages import PageDue
from headwater.contracts.source import StreamDefinition
from headwater.fetcher.announce import page_message
from headwater.fetcher.in_flight import InFlight, Place
from headwater.model.backoff import RETRY_DELAYS_S
from headwater.model.clock import Clock
from headwater.model.errors import Later
from headwater.store import ledger, limits, outbox, runs
from headwater.store.database import Database
from headwater.store.ledger import Begun, PageKey
from headwater.store.outbox import OutboxRow

IN_PROCESS_S = 1.0
WAITERS = 64  # pages of one source that wait in process at once
PARK_FROM_S = 10.0  # a wait from here on is a row with its instant; below, the delay queues come near enough
HORIZON_S = 3600.0  # slots are reserved this far ahead
_GRACE_S = (
    2.0  # a slot that is taken up later than this is taken anew, so that late pages do not come in a crowd
)
_LEASE_MARGIN_S = 60.0  # beyond the time-out of the request
_CROWDS = (
    (500, 30.0),
    (50, 5.0),
    (0, 1.0),
)  # pages of one source that came in vain in this second → their wait


@dataclass(frozen=True, slots=True)
class Turn:
    """A page whose turn it is to be asked for, as soon as `under_way` lets it."""

    due: PageDue
    begun: Begun
    definition: StreamDefinition

    @property
    def key(self) -> PageKey:
        return PageKey(self.due.run_id, self.due.attempt, self.due.walk, self.due.number)

    @property
    def source(self) -> tuple[str, str]:
        return (self.definition.tenant, self.definition.source)


class Pace:
    """The waits of one process. `in_hand` most pages of one source are worked on at once."""

    def __init__(self, database: Database, clock: Clock, in_hand: int) -> None:
        self._database = database
        self._clock = clock
        self._most_in_hand = in_hand
        self._in_hand: Counter[tuple[str, str]] = Counter()
        self._in_flight = InFlight(database)
        self._waiters: Counter[tuple[str, str]] = Counter()
        self.quiet_count = 0  # how often a source was told to be quiet
        self._vain: dict[tuple[str, str], tuple[int, int]] = defaultdict(lambda: (0, 0))

    @contextmanager
    def share(self, source: tuple[str, str]) -> Iterator[None]:
        """A source's part of this process. Raises: Later when it has enough of it: others come first."""
        if self._in_hand[source] >= self._most_in_hand:
            raise Later(self._crowded_s(source), f"{source[1]} has {self._most_in_hand} pages in hand")
        with _counted(self._in_hand, source):
            yield

    def is_crowded(self, source: tuple[str, str]) -> bool:
        """Whether a walk should leave its place to others: of its source, or of all."""
        return (
            4 * self._in_hand[source] > 3 * self._most_in_hand
            or 4 * self._in_hand.total() > 3 * 2 * self._most_in_hand
        )

    async def wait(self, turn: Turn) -> bool:
        """Returns True when the page may be asked for now; False when it is a row that is due later.

        Raises: Later.
        """
        begun = turn.begun
        due_s = begun.wait_s or 0.0
        if (
            begun.has_slot
            and begun.wait_s is not None
            and due_s > -_GRACE_S
            and begun.pause_s <= max(due_s, 0.0)
        ):
            return await self._until(turn, due_s, has_slot=True)
        delay = turn.due.not_before
        delay_s = 0.0 if delay is None else (delay - self._clock.now()).total_seconds()
        asked_s = 0.0 if begun.has_slot else due_s
        if not await self._until(turn, max(delay_s, asked_s, begun.pause_s)):
            return False
        return await self._slot(turn)

    async def _slot(self, turn: Turn) -> bool:
        limit, source = turn.begun.limit, turn.source
        if not limit.gaps_s:
            return True
        if self._waiters[source] >= WAITERS:
            raise Later(self._crowded_s(source), f"many pages wait for the rate limit of {source[1]}")
        weight = turn.definition.stream.request.weight
        async with self._database.connection() as connection:
            wait_s, is_reserved = await limits.reserve(connection, *source, limit, weight, HORIZON_S)
        return await self._until(turn, wait_s if is_reserved else HORIZON_S / 2, has_slot=is_reserved)

    async def _until(self, turn: Turn, wait_s: float, *, has_slot: bool = False) -> bool:
        if wait_s <= 0:
            return True
        if wait_s <= IN_PROCESS_S and self._waiters[turn.source] < WAITERS:
            with _counted(self._waiters, turn.source):
                await asyncio.sleep(wait_s)
            return True
        await self.put_off(turn, wait_s, "rate_limit", has_slot=has_slot)
        return False

    async def put_off(
        self, turn: Turn, wait_s: float, why: str, *, has_slot: bool = False, is_refused: bool = False
    ) -> None:
        """The page comes back after `wait_s` seconds: returns when it is a row until then.

        Raises: Later where the wait is short.
        """
        async with self._database.transaction() as connection:
            await ledger.put_off(connection, turn.key, wait_s, has_slot=has_slot, is_refused=is_refused)
            if wait_s >= PARK_FROM_S:
                message = page_message(turn.due, "parked", self._clock.now().isoformat())
                row = OutboxRow(UUID(message.id), turn.due.tenant, message.type, message.body)
                await runs.park(connection, turn.due.run_id, wait_s, why)
                await outbox.add(connection, row, delay_s=wait_s)
                return
        raise Later(_step_s(wait_s), f"page {turn.due.number} of {turn.source[1]} waits: {why}")

    async def be_quiet(self, source: tuple[str, str], wait_s: float) -> None:
        """Nobody asks the source for anything for `wait_s` seconds."""
        self.quiet_count += 1
        async with self._database.connection() as connection:
            await limits.pause(connection, *source, wait_s)

    @asynccontextmanager
    async def under_way(self, turn: Turn) -> AsyncIterator[None]:
        """One of the requests that the source allows at once. Raises: Later when all are taken."""
        most = turn.begun.limit.in_flight
        if most is None:
            yield
            return
        place = await self._place(turn, most)
        try:
            yield
        finally:
            await self._in_flight.leave(place)

    async def _place(self, turn: Turn, most: int) -> Place:
        source = turn.source
        if self._waiters[source] < WAITERS:
            with _counted(self._waiters, source):
                place = await self._in_flight.take(source, most, turn.definition.timeout_s + _LEASE_MARGIN_S)
            if place is not None:
                return place
        wait_s = min(self._crowded_s(source), 5.0)
        await self.put_off(turn, wait_s, "in_flight", has_slot=bool(turn.begun.limit.gaps_s))
        raise AssertionError("a short wait is a Later")

    def _crowded_s(self, source: tuple[str, str]) -> float:
        """How long a page waits that came in vain: the longer, the more of them came in this second."""
        second = int(self._clock.monotonic())
        since, count = self._vain[source]
        count = count + 1 if since == second else 1
        if len(self._vain) > 1000:
            self._vain.clear()
        self._vain[source] = (second, count)
        return next(wait_s for many, wait_s in _CROWDS if count > many)


@contextmanager
def _counted(counts: Counter[tuple[str, str]], key: tuple[str, str]) -> Iterator[None]:
    counts[key] += 1
    try:
        yield
    finally:
        counts[key] -= 1
        if not counts[key]:
            del counts[key]


def _step_s(wait_s: float) -> float:
    """The longest step of the delay queues that is not too long: the rest is waited when the page comes back."""
    return float(max((step for step in RETRY_DELAYS_S if step <= wait_s), default=RETRY_DELAYS_S[0]))
