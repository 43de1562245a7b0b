"""What the consumers of all backends share: batches, calls, answers, attempts, pauses, and leaving in order.

A backend offers deliveries and settles them; everything between is here. Invariant: a delivery that was
offered is settled exactly once by the settler (ack, again, dead or release), or its session is gone and the
bus hands it out again by itself.
"""

import asyncio
import contextlib
import functools
import logging
import math
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from headwater.bus.envelope import dead_letter
from headwater.bus.gate import Gate, Timer
from headwater.bus.port import HELD_BYTES, MAX_ATTEMPTS, Handler, Message
from headwater.bus.tasks import end_tasks
from headwater.bus.topology import DEAD_QUEUE
from headwater.bus.verdict import DONE, Kind, Verdict, judge
from headwater.model.backoff import RETRY_DELAYS_S, retry_delay_s
from headwater.model.errors import ConfigError, Later, Unavailable

log = logging.getLogger(__name__)

ALONE_FROM = 3  # a message handed out again so often may kill its process: it is handled without neighbours
GRACE_S = 30.0
# A batch fills for so many lingers more while another is handled: two small ones cost more than a large one, and would
# wait for each other's locks.
WHILE_BUSY = 5
QUIET = 0.5  # lingers: what comes alone after a longer silence is handled at once, since what follows may be as late
LONGEST_DELAY_S = RETRY_DELAYS_S[-1]
T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Delivery:
    """A message in hand. `tag` and `session` are the backend's; `fault` says why no handler may see the
    message. Nobody changes it (that the language should see to it would take longer than all else here).
    """

    message: Message
    tag: Any
    session: object = None
    fault: str | None = None

    @property
    def goes_alone(self) -> bool:
        return self.fault is not None or self.message.redelivered >= ALONE_FROM


class Settler(Protocol):
    """How a backend ends deliveries. Each may raise Unavailable (or BusFull) and is then called again with
    the same deliveries; what it has already settled, or what belongs to a lost session, it passes over.
    """

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Forget these messages."""
        ...

    async def again(self, pairs: Sequence[tuple[Delivery, Message]], delay_s: float) -> None:
        """Hand out the second of each pair after `delay_s` in place of the first."""
        ...

    async def dead(self, delivery: Delivery, letter: Message) -> None:
        """Put `letter` to the dead letters in place of the delivery."""
        ...

    async def release(self, deliveries: Sequence[Delivery]) -> None:
        """Give these messages back at once; other consumers may have them."""
        ...


@dataclass(frozen=True, slots=True)
class Options:
    """The arguments of `Bus.consume`. A batch never waits for more messages than may be in hand."""

    prefetch: int = 64
    batch: int = 1
    linger_s: float = 0.02
    concurrency: int = 8
    held_bytes: int = HELD_BYTES
    grace_s: float = GRACE_S

    def __post_init__(self) -> None:
        if (
            min(self.prefetch, self.batch, self.concurrency, self.held_bytes) < 1
            or self.linger_s < 0
            or self.grace_s < 0
        ):
            raise ConfigError(
                "consume: prefetch, batch, concurrency and held bytes are at least 1, linger and grace at least 0"
            )

    @property
    def batch_limit(self) -> int:
        return min(self.batch, self.prefetch)

    @property
    def batch_bytes(self) -> int:
        """What a batch does not grow beyond: one is handled while others fill."""
        return self.held_bytes // 4


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Dispatcher:
    """Takes deliveries of one queue and brings each to an end by what the handler answers."""

    def __init__(
        self,
        queue: str,
        handler: Handler,
        settler: Settler,
        options: Options,
        *,
        timer: Timer | None = None,
        now: Callable[[], datetime] = _utc_now,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._queue = queue
        self._handler = handler
        self._settler = settler
        self._options = options
        self._now = now
        self._on_change = on_change
        self._inbox: deque[Delivery] = deque()
        timer = timer or asyncio.get_running_loop()
        self._time = timer.time
        self._offered_at = -math.inf
        self._silence_s = 0.0  # before the latest delivery was offered
        self._arrived = asyncio.Event()
        self._collecting = asyncio.Lock()
        self._held: set[Delivery] = set()
        self._held_bytes = 0
        self._calling: set[asyncio.Task[Any]] = set()
        self._stopping = False
        self._gate = Gate(f"consumer of {queue}", timer, on_change)

    @property
    def room(self) -> int:
        """How many more deliveries may be offered now."""
        if self._stopping or self.room_bytes <= 0:
            return 0
        return self._options.prefetch - len(self._held)

    @property
    def room_bytes(self) -> int:
        """How many more bytes of bodies there is room for; negative when the last one was larger than that."""
        return self._options.held_bytes - self._held_bytes

    @property
    def held(self) -> Sequence[Delivery]:
        """Everything offered and not settled."""
        return tuple(self._held)

    @property
    def is_active(self) -> bool:
        """Whether something in hand can go on without time passing in a pause."""
        return bool(self._held) and (bool(self._calling) or not self._gate.is_waiting)

    def offer(self, delivery: Delivery) -> None:
        """Take a delivery; the backend keeps to `room`."""
        now = self._time()
        self._silence_s, self._offered_at = now - self._offered_at, now
        self._held.add(delivery)
        self._held_bytes += len(delivery.message.body)
        self._inbox.append(delivery)
        self._arrived.set()

    def forget(self, session: object) -> None:
        """Drop what waits here from a session that is gone: the bus hands it out again by itself."""
        gone = [delivery for delivery in self._inbox if delivery.session is session]
        self._inbox = deque(delivery for delivery in self._inbox if delivery.session is not session)
        self._settled(gone)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Work while the context is open. On leaving, running calls get `grace_s`, the rest is released.

        A second cancellation while leaving ends them at once.
        """
        async with asyncio.TaskGroup() as group:
            workers = {group.create_task(self._work()) for _ in range(self._options.concurrency)}
            try:
                yield
            finally:
                await self._stop(workers)

    async def _stop(self, workers: set[asyncio.Task[None]]) -> None:
        self._stopping = True
        try:
            for worker in workers - self._calling:
                worker.cancel()
            if self._calling and not _is_hurried():
                await asyncio.wait(set(self._calling), timeout=self._options.grace_s)
        finally:
            await end_tasks(workers)
            await self._release_rest()

    async def _release_rest(self) -> None:
        rest = list(self._held)
        self._inbox.clear()
        if rest:
            try:
                await self._settler.release(rest)
            except Unavailable as error:
                log.info("%d messages of %s come back by themselves: %s", len(rest), self._queue, error)
        self._settled(rest)

    async def _work(self) -> None:
        while not self._stopping:
            groups = [await self._collect()]
            while groups:
                groups.extend(await self._end(groups.pop()))

    async def _collect(self) -> list[Delivery]:
        """Deliveries to be handled together: those here now, and those that come within `linger_s`. One that comes
        alone after a silence does not wait for others.
        """
        async with self._collecting:
            while not self._inbox:
                self._arrived.clear()
                await self._arrived.wait()
            group = [self._inbox.popleft()]
            is_lone = not (self._inbox or self._calling) and self._silence_s > QUIET * self._options.linger_s
            if self._options.batch_limit == 1 or group[0].goes_alone or is_lone:
                return group
            with contextlib.suppress(TimeoutError):  # the batch is as full as it gets
                async with asyncio.timeout(self._options.linger_s):
                    await self._fill(group)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WHILE_BUSY * self._options.linger_s):
                    await self._fill(group, while_busy=True)
            return group

    async def _fill(self, group: list[Delivery], *, while_busy: bool = False) -> None:
        limit, most = self._options.batch_limit, self._options.batch_bytes
        size = sum([len(delivery.message.body) for delivery in group])
        inbox = self._inbox
        while len(group) < limit and (self._calling or not while_busy):
            if not inbox:
                self._arrived.clear()
                await self._arrived.wait()
                inbox = self._inbox  # a session that is gone takes its own with it
                continue
            following = inbox[0]
            size += len(following.message.body)
            if following.goes_alone or size > most:
                return
            group.append(inbox.popleft())

    async def _end(self, group: list[Delivery]) -> list[list[Delivery]]:
        """Bring `group` to its end; returns its halves when they must be tried apart."""
        if self._stopping:
            return []  # they are still held, and are released with the rest
        verdict = await self._judge(group)
        if verdict is None:
            await self._settle(group, functools.partial(self._settler.release, group))
        elif verdict.kind is Kind.DONE:
            await self._settle(group, functools.partial(self._settler.ack, group))
        elif verdict.kind is Kind.LATER:
            await self._again(group, verdict.delay_s, spent=0)
        elif len(group) > 1:
            middle = len(group) // 2
            return [group[middle:], group[:middle]]
        else:
            await self._end_alone(group[0], verdict)
        return []

    async def _judge(self, group: list[Delivery]) -> Verdict | None:
        """What the handler says of `group`; None when it was cancelled from outside and nothing is known."""
        if group[0].fault is not None:
            return Verdict(Kind.REJECTED, group[0].fault)
        messages = tuple(delivery.message for delivery in group)
        return await self._gated(functools.partial(self._call, messages))

    async def _call(self, messages: tuple[Message, ...]) -> Verdict | None:
        task = asyncio.current_task()
        assert task is not None
        before = (
            task.cancelling()
        )  # a task group that failed may leave its own request behind (Python 3.11, 3.12)
        try:
            await self._handler(messages)
        except asyncio.CancelledError:
            if task.cancelling() > before:
                raise
            # Not ours: a client library cancels the caller when its connection dies.
            log.warning("handler of %s was cancelled from within; its messages are given back", self._queue)
            return None
        except Exception as error:
            verdict = judge(error)
            if verdict.kind is Kind.UNAVAILABLE:
                raise Unavailable(verdict.reason) from error
            return verdict
        return DONE

    async def _end_alone(self, delivery: Delivery, verdict: Verdict) -> None:
        failures = delivery.message.attempt + (verdict.kind is Kind.FAILED)
        if self._queue == DEAD_QUEUE:
            # Nothing may come after the dead letters: keep trying, slowly.
            log.error(
                "dead letter %s could not be handled: %s",
                _name(delivery),
                verdict.reason,
                exc_info=verdict.error,
            )
            await self._again([delivery], LONGEST_DELAY_S, spent=0)
        elif verdict.kind is Kind.FAILED and failures < MAX_ATTEMPTS:
            log.warning(
                "%s failed (%d of %d): %s",
                _name(delivery),
                failures,
                MAX_ATTEMPTS,
                verdict.reason,
                exc_info=verdict.error,
            )
            await self._again([delivery], retry_delay_s(failures), spent=1)
        else:
            log.error("%s becomes a dead letter: %s", _name(delivery), verdict.reason, exc_info=verdict.error)
            counted = delivery.message._replace(attempt=failures)
            letter = dead_letter(counted, reason=verdict.reason, queue=self._queue, at=self._now())
            await self._settle([delivery], functools.partial(self._settler.dead, delivery, letter))

    async def _again(self, group: list[Delivery], delay_s: float, *, spent: int) -> None:
        """Longer waits than the longest step are clipped to it; the handler is asked again then."""
        pairs = [(d, d.message._replace(attempt=d.message.attempt + spent)) for d in group]
        again = functools.partial(self._settler.again, pairs, min(delay_s, LONGEST_DELAY_S))
        await self._settle(group, again)

    async def _settle(self, group: list[Delivery], call: Callable[[], Awaitable[None]]) -> None:
        async def settle() -> None:
            try:
                await call()
            except Later as full:
                raise Unavailable(str(full)) from full

        await self._gated(settle)
        self._settled(group)

    def _settled(self, group: Sequence[Delivery]) -> None:
        for delivery in group:
            if delivery in self._held:
                self._held.remove(delivery)
                self._held_bytes -= len(delivery.message.body)
        self._on_change()

    async def _gated(self, call: Callable[[], Awaitable[T]]) -> T:
        """`call` through the gate; while it runs, leaving waits for it."""

        async def counted() -> T:
            task = asyncio.current_task()
            assert task is not None
            self._calling.add(task)
            try:
                return await call()
            finally:
                self._calling.discard(task)
                self._arrived.set()  # a batch that fills while others are handled looks again

        return await self._gate.run(counted)


def _is_hurried() -> bool:
    """Whether the current task was asked a second time to end: then nothing is waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 1


def _name(delivery: Delivery) -> str:
    return f"{delivery.message.type} {delivery.message.id}"
