"""Taking messages from one queue, and settling them on the channel they came from."""

import asyncio
import functools
import itertools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

from aiormq.abc import DeliveredMessage
from aiormq.channel import Channel

from headwater.bus.dispatcher import Delivery, Dispatcher, Options
from headwater.bus.port import Handler, Message
from headwater.bus.rabbitmq.ahead import KEPT_FROM, NARROW_S, Ahead
from headwater.bus.rabbitmq.inlet import Inlet
from headwater.bus.rabbitmq.link import (
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    Connection,
    Link,
    close_quietly,
    faults_are_unavailable,
)
from headwater.bus.rabbitmq.properties import Arrival, decode
from headwater.bus.rabbitmq.publisher import Publisher
from headwater.bus.topology import DEAD_EXCHANGE, DEAD_QUEUE, WAIT_PREFIX, Topology
from headwater.model.backoff import RETRY_DELAYS_S, step_for
from headwater.model.errors import BusUnavailable

log = logging.getLogger(__name__)

RPC_TIMEOUT_S = 10.0
SETTLE_TIMEOUT_S = 10.0  # the socket may be stuck; then the heartbeat ends the connection


@dataclass(slots=True, eq=False)
class Session:
    """One channel and the deliveries on it that are not settled, oldest first.

    Frames go out one settlement at a time: an acknowledgement of several covers all before it, and the broker
    closes a channel that acknowledges twice.
    """

    channel: Channel
    open: dict[int, None] = field(default_factory=dict)
    is_lost: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)  # another channel is to take its place
    ahead: Ahead = field(default_factory=lambda: Ahead(1, 1))
    tags: list[str] = field(default_factory=list)  # of its consumers; the second one takes the rest
    over: list[int] = field(default_factory=list)  # what the second one brought beyond the bound
    narrow_until: float = 0.0
    _settling: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def is_wide(self) -> bool:
        return len(self.tags) > 1

    @property
    def wants_more(self) -> bool:
        return not self.is_wide and len(self.open) >= self.ahead.few and self.ahead.is_light

    def has(self, delivery: Delivery) -> bool:
        return not self.is_lost and delivery.tag in self.open

    def give_up(self) -> None:
        """Settle nothing on it any more. It is closed, so that the broker hands out again what is open."""
        self.is_lost = True
        self.ended.set()

    async def ack(self, tags: Sequence[int]) -> None:
        """Acknowledge, by one frame what lies before the oldest open delivery."""
        async with self._settling:
            for tag in tags:
                self.open.pop(tag, None)
            oldest = next(iter(self.open), None)
            together = [tag for tag in tags if oldest is None or tag < oldest]
            if together:
                await self.channel.basic_ack(max(together), multiple=True, wait=False)
            for tag in tags:
                if oldest is not None and tag > oldest:
                    await self.channel.basic_ack(tag, wait=False)

    async def give_back(self, tags: Sequence[int]) -> None:
        async with self._settling:
            for tag in tags:
                await self.channel.basic_nack(tag, requeue=True, wait=False)
                self.open.pop(tag, None)


class Consumer:
    """A `Settler` over the channels that the link's connections bring, one after the other."""

    def __init__(
        self,
        queue: str,
        link: Link[Connection],
        publisher: Publisher,
        topology: Topology,
        own_user: str,
        now: Callable[[], datetime],
    ) -> None:
        self._queue = queue
        self._link = link
        self._publisher = publisher
        self._topology = topology
        self._own_user = own_user
        self._now = now
        self._numbers = itertools.count(1)
        self._stopping = asyncio.Event()
        self._turned = asyncio.Event()  # more is to be taken at once, or less, or nothing

    @asynccontextmanager
    async def consuming(self, handler: Handler, options: Options) -> AsyncIterator[None]:
        """Consume while the context is open."""
        dispatcher = Dispatcher(self._queue, handler, self, options, now=self._now)
        async with asyncio.TaskGroup() as group:
            async with dispatcher.running():
                feeding = group.create_task(self._feed(dispatcher, options))
                try:
                    yield
                finally:
                    # Nothing new is taken; the channel stays until the dispatcher has settled what it can.
                    self._stopping.set()
                    self._turned.set()
            feeding.cancel()

    async def _feed(self, dispatcher: Dispatcher, options: Options) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._stopping.is_set():
            connection = await self._link.wait()
            try:
                async with self._channel(connection, dispatcher, options) as session:
                    pause_s = FIRST_PAUSE_S
                    await self._until_ended(session)
            except BusUnavailable as error:
                if pause_s > FIRST_PAUSE_S:  # the link tells the first loss
                    log.warning("consumer of %s could not begin: %s; trying again", self._queue, error)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    async def _until_ended(self, session: Session) -> None:
        """Returns when the channel is lost or given up, or the broker ended the consumer."""
        ended: asyncio.Future[object] = asyncio.ensure_future(session.ended.wait())
        try:
            await asyncio.wait([session.channel.closing, ended], return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()

    @asynccontextmanager
    async def _channel(
        self, connection: Connection, dispatcher: Dispatcher, options: Options
    ) -> AsyncIterator[Session]:
        async with faults_are_unavailable():
            channel = connection.channel(publisher_confirms=False)
            await channel.initialize(timeout=RPC_TIMEOUT_S)
            below = await channel.get_underlay_channel()
        assert isinstance(below, Channel)
        session = Session(below, ahead=Ahead(options.prefetch, options.held_bytes))
        inlet = Inlet(lambda tag, arrival: self._arrived(session, dispatcher, tag, arrival))
        connection.tap(below.number, inlet.take, inlet.take_row)
        pacing: asyncio.Task[None] | None = None
        try:
            async with faults_are_unavailable():
                session.channel.on_consumer_cancel_callbacks.add(lambda _: session.ended.set())
                await self._subscribe(session, session.ahead.few)
            pacing = asyncio.create_task(self._pace(session))
            yield session
        finally:
            if pacing is not None:
                pacing.cancel()
                await asyncio.wait({pacing})
            session.is_lost = True
            dispatcher.forget(session)
            await close_quietly(channel.close)
            connection.untap(below.number, inlet.take)

    def _arrived(self, session: Session, dispatcher: Dispatcher, tag: int, arrival: Arrival) -> None:
        if session.is_lost:
            return  # the broker hands it out again
        name = "" if arrival.message_id else f"unnamed-{id(session):x}-{next(self._numbers)}"
        read = decode(arrival, queue=self._queue, own_user=self._own_user, number=name)
        session.open[tag] = None
        if session.ahead.rest:
            session.ahead.note(len(arrival.body))
            if session.is_wide and dispatcher.room_bytes <= 0 and read.message.redelivered < KEPT_FROM:
                session.over.append(tag)
                self._turned.set()
                return
            if session.wants_more:
                self._turned.set()
        dispatcher.offer(Delivery(read.message, tag, session, read.fault))

    async def _subscribe(self, session: Session, count: int) -> None:
        await session.channel.basic_qos(prefetch_count=count, timeout=RPC_TIMEOUT_S)
        answer = await session.channel.basic_consume(self._queue, _never, timeout=RPC_TIMEOUT_S)
        session.tags.append(answer.consumer_tag or "")

    async def _pace(self, session: Session) -> None:
        """Take more or less at once, as the bodies are; at last nothing."""
        try:
            while not self._stopping.is_set():
                await self._turned.wait()
                self._turned.clear()
                async with faults_are_unavailable():
                    await self._turn(session)
        except BusUnavailable as error:
            log.debug(
                "consumer of %s: %s", self._queue, error
            )  # its channel is lost, which is told elsewhere
            return
        for tag in session.tags:
            await close_quietly(functools.partial(session.channel.basic_cancel, tag, timeout=RPC_TIMEOUT_S))

    async def _turn(self, session: Session) -> None:
        now = asyncio.get_running_loop().time()
        if session.over:
            if session.is_wide:
                await session.channel.basic_cancel(session.tags[-1], timeout=RPC_TIMEOUT_S)
                session.tags.pop()
                session.narrow_until = now + NARROW_S
            over, session.over = session.over, []
            await session.give_back(over)
        elif session.wants_more and now >= session.narrow_until and not self._stopping.is_set():
            await self._subscribe(session, session.ahead.rest)

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        """See `Settler`."""
        by_session: dict[Session, list[int]] = {}
        for delivery in deliveries:
            session = _session(delivery)
            if session.has(delivery):
                by_session.setdefault(session, []).append(delivery.tag)
        for session, tags in by_session.items():
            await _or_lost(session, session.ack(tags))

    async def release(self, deliveries: Sequence[Delivery]) -> None:
        """See `Settler`."""
        for delivery in deliveries:
            session = _session(delivery)
            if session.has(delivery):
                await _or_lost(session, session.give_back([delivery.tag]))

    async def again(self, pairs: Sequence[tuple[Delivery, Message]], delay_s: float) -> None:
        """See `Settler`; the delayed copy is confirmed before the original is acknowledged."""
        step = step_for(delay_s) or RETRY_DELAYS_S[-1]
        await self._replace(pairs, f"{WAIT_PREFIX}{step}")

    async def dead(self, delivery: Delivery, letter: Message) -> None:
        """See `Settler`."""
        await self._replace([(delivery, letter)], DEAD_EXCHANGE)

    async def _replace(self, pairs: Sequence[tuple[Delivery, Message]], exchange: str) -> None:
        open_pairs = [(delivery, message) for delivery, message in pairs if _session(delivery).has(delivery)]
        copies = (self._copy(message, exchange) for _, message in open_pairs)
        outcomes = await asyncio.gather(*copies, return_exceptions=True)
        failures = [outcome for outcome in outcomes if outcome is not None]
        confirmed = [pair[0] for pair, failure in zip(open_pairs, outcomes, strict=True) if failure is None]
        await self.ack(confirmed)
        if failures:
            raise failures[0]

    async def _copy(self, message: Message, exchange: str) -> None:
        is_dead = exchange == DEAD_EXCHANGE
        key = message.type if is_dead else self._topology.return_key(self._queue, message.type)
        taker = DEAD_QUEUE if is_dead else exchange  # a delay queue has the name of its exchange
        await self._publisher.send(message, exchange, key, queue=taker)


async def _never(_: DeliveredMessage) -> None:
    """The inlet takes every message before the protocol layer sees it."""


def _session(delivery: Delivery) -> Session:
    assert isinstance(delivery.session, Session)
    return delivery.session


async def _or_lost(session: Session, settling: Awaitable[None]) -> None:
    """Settle on a channel that may be gone; then its messages come again: one that only was too slow is closed."""
    try:
        async with asyncio.timeout(SETTLE_TIMEOUT_S), faults_are_unavailable():
            await settling
    except (BusUnavailable, TimeoutError) as error:
        session.give_up()
        log.debug("a channel was lost before its messages were settled: %s", error)
