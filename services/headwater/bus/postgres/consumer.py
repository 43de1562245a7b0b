"""Taking rows of one queue under a lease, and settling them.

A row in hand is leased for 15 s and renewed every 5 s, so the messages of a killed consumer come back by
themselves. Each consumer has a lease of its own; what it does to a row that another has taken since does
nothing.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from uuid import uuid4

import asyncpg

from headwater.bus.dispatcher import Delivery, Dispatcher, Options
from headwater.bus.group_commit import GroupCommit
from headwater.bus.port import Handler, Message
from headwater.bus.postgres.connection import connection
from headwater.bus.postgres.statements import AGAIN, DEAD, NEXT_DUE, RELEASE, RENEW, TAKE
from headwater.bus.postgres.wake import Wake
from headwater.bus.topology import DEAD_QUEUE, Queue
from headwater.contracts import codec
from headwater.model.errors import BusUnavailable, ContractError

log = logging.getLogger(__name__)

LEASE_S = 15.0  # two renewals may fail before others take the message
POLL_S = 1.0  # delayed messages, lapsed leases, and notifications that got lost
SHORTEST_REST_S = 0.01
TAKE_LIMIT = 200
STOP_S = 10.0  # for the last statement
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0


class Consumer:
    """A `Settler` over rows. A delivery's tag is the row's id."""

    def __init__(
        self,
        queue: Queue,
        pool: asyncpg.Pool,
        wake: Wake,
        done: GroupCommit[list[int]],
        lease_s: float,
        now: Callable[[], datetime],
    ) -> None:
        self._queue = queue
        self._pool = pool
        self._wake = wake
        self._done = done
        self._now = now
        self._lease = uuid4()
        self._lease_s = lease_s
        self._room = asyncio.Event()
        self._woken = asyncio.Event()
        self._stopping = False

    @asynccontextmanager
    async def consuming(self, handler: Handler, options: Options) -> AsyncIterator[None]:
        """Consume while the context is open."""
        dispatcher = Dispatcher(
            self._queue.name, handler, self, options, now=self._now, on_change=self._room.set
        )
        async with asyncio.TaskGroup() as group:
            renewing = group.create_task(self._renew(dispatcher))
            async with dispatcher.running():
                taking = group.create_task(self._take(dispatcher, options.prefetch))
                try:
                    yield
                finally:
                    await self._stop(taking)
            renewing.cancel()

    async def _stop(self, taking: asyncio.Task[None]) -> None:
        """Let the taker finish its statement: rows leased and not offered would wait for the end of the
        lease.
        """
        self._stopping = True
        self._room.set()
        self._woken.set()
        try:
            await asyncio.wait({taking}, timeout=STOP_S)
        finally:
            taking.cancel()

    async def _take(self, dispatcher: Dispatcher, prefetch: int) -> None:
        pause_s = FIRST_PAUSE_S
        self._wake.add(self._queue.name, self._woken)
        try:
            while not self._stopping:
                await self._until_room(dispatcher, max(prefetch // 4, 1))
                self._woken.clear()
                try:
                    rest_s = await self._take_some(dispatcher)
                    pause_s = FIRST_PAUSE_S
                except BusUnavailable as error:
                    if pause_s == FIRST_PAUSE_S:
                        log.warning("consumer of %s cannot take: %s; trying again", self._queue.name, error)
                    rest_s = pause_s
                    pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
                if not self._stopping:
                    await _wait_at_most(self._woken, rest_s)
        finally:
            self._wake.remove(self._queue.name, self._woken)

    async def _until_room(self, dispatcher: Dispatcher, wanted: int) -> None:
        while dispatcher.room < wanted and not self._stopping:
            self._room.clear()
            await self._room.wait()

    async def _take_some(self, dispatcher: Dispatcher) -> float:
        """Offers what is due; returns how long to rest then, 0 while there may be more."""
        count = min(dispatcher.room, TAKE_LIMIT)
        if count < 1:
            return 0
        async with connection(self._pool) as taking:
            rows = await taking.fetch(
                TAKE, self._queue.name, count, self._lease_s, self._lease, dispatcher.room_bytes
            )
            next_s = None if rows else await taking.fetchval(NEXT_DUE, self._queue.name)
        for row in sorted(rows, key=lambda row: row["id"]):
            dispatcher.offer(self._delivery(row))
        if rows:
            return 0
        return POLL_S if next_s is None else min(max(next_s, SHORTEST_REST_S), POLL_S)

    def _delivery(self, row: asyncpg.Record) -> Delivery:
        redelivered = row["taken"] - 1
        limit = self._queue.delivery_limit
        fault = f"handed out {limit} times without an answer" if redelivered >= limit else None
        try:
            headers = codec.loads(row["headers"].encode())
        except ContractError as error:
            headers, fault = {}, f"headers: {error}"
        message = Message(
            type=row["type"],
            id=row["message_id"],
            body=row["body"],
            headers=headers,
            attempt=row["attempt"],
            redelivered=redelivered,
            user_id=row["user_id"],
        )
        return Delivery(message, row["id"], fault=None if self._queue.name == DEAD_QUEUE else fault)

    async def _renew(self, dispatcher: Dispatcher) -> None:
        while True:
            await asyncio.sleep(self._lease_s / 3)
            tags = [delivery.tag for delivery in dispatcher.held]
            if not tags:
                continue
            try:
                async with connection(self._pool) as renewing:
                    await renewing.execute(RENEW, tags, self._lease, self._lease_s)
            except BusUnavailable as error:
                log.info("leases on %s could not be renewed: %s", self._queue.name, error)

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        """See `Settler`."""
        await self._done.add([delivery.tag for delivery in deliveries])

    async def again(self, pairs: Sequence[tuple[Delivery, Message]], delay_s: float) -> None:
        """See `Settler`; the row itself is put off, so there is no moment with two or none."""
        tags = [delivery.tag for delivery, _ in pairs]
        attempts = [message.attempt for _, message in pairs]
        async with connection(self._pool) as putting_off:
            await putting_off.execute(AGAIN, tags, self._lease, attempts, delay_s)
        self._woken.set()  # the rest until the next one is due has to be measured anew

    async def dead(self, delivery: Delivery, letter: Message) -> None:
        """See `Settler`."""
        headers = codec.dumps(dict(letter.headers)).decode()
        async with connection(self._pool) as moving:
            await moving.execute(DEAD, delivery.tag, self._lease, DEAD_QUEUE, headers, letter.attempt)
        self._wake.published([DEAD_QUEUE])

    async def release(self, deliveries: Sequence[Delivery]) -> None:
        """See `Settler`."""
        tags = [delivery.tag for delivery in deliveries]
        async with connection(self._pool) as releasing:
            await releasing.execute(RELEASE, tags, self._lease)
        self._wake.published([self._queue.name])


async def _wait_at_most(event: asyncio.Event, seconds: float) -> None:
    if seconds <= 0:
        return
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
