"""The bus within one process: for unit tests and for the seeded simulation. Nothing outlives the process.

Same routing, limits, attempts and dead letters as the brokers, from the same topology. Time comes from
`timer`, so that a test with a clock of its own moves delayed messages and pauses; trouble comes from `chaos`.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime

from headwater.bus.chaos import Chaos, Fate, Quiet
from headwater.bus.dispatcher import Delivery, Dispatcher, Options
from headwater.bus.envelope import address
from headwater.bus.gate import Handle, Timer
from headwater.bus.port import HELD_BYTES, Handler, Message
from headwater.bus.topology import DEAD_QUEUE, WORK_EXCHANGE, Queue, Topology, load_topology
from headwater.model.errors import BusFull, BusUnavailable, ConfigError


class _MemoryQueue:
    """One queue, and the settler of its consumers. Bytes count from publish to acknowledgement."""

    def __init__(
        self,
        queue: Queue,
        chaos: Chaos,
        timer: Timer | None,
        dead: "_MemoryQueue | None",
        on_change: Callable[[], None],
    ) -> None:
        self._queue = queue
        self._chaos = chaos
        self._timer = timer
        self._dead = dead
        self._on_change = on_change
        self._ready: deque[Message] = deque()
        self._waiting: set[Handle] = set()
        self._consumers: list[Dispatcher] = []
        self._turn = 0
        self.stored_count = 0
        self.stored_bytes = 0

    @property
    def is_active(self) -> bool:
        return any(consumer.is_active for consumer in self._consumers)

    def admit(self, size: int) -> None:
        """Raises: BusFull when `size` bytes more are over the limit."""
        if self.stored_bytes + size > self._queue.max_bytes:
            raise BusFull(self._queue.name)

    def store(self, message: Message, delay_s: float = 0.0) -> None:
        """Take `message`; it is handed out after `delay_s`."""
        self._count(message, 1)
        self._put(message, delay_s)

    def add(self, consumer: Dispatcher) -> None:
        self._consumers.append(consumer)
        self.pump()

    def remove(self, consumer: Dispatcher) -> None:
        self._consumers = [other for other in self._consumers if other is not consumer]
        self._on_change()

    def clear(self) -> None:
        for handle in self._waiting:
            handle.cancel()
        self._waiting.clear()
        self._ready.clear()

    def pump(self) -> None:
        """Hand out what is ready, to the consumers in turn."""
        while self._ready and (taker := self._next_taker()) is not None:
            at = self._chaos.position(len(self._ready))
            message = self._ready[at]
            del self._ready[at]
            taker.offer(Delivery(message, tag=None, fault=self._fault(message)))
        self._on_change()

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        """See `Settler`; what chaos drops of it is handed out again."""
        for delivery in deliveries:
            self._end(delivery.message)

    async def again(self, pairs: Sequence[tuple[Delivery, Message]], delay_s: float) -> None:
        """See `Settler`; as with a broker, the copy is stored before the original is acknowledged."""
        for delivery, message in pairs:
            self.store(message._replace(redelivered=0), delay_s)
            self._end(delivery.message)

    async def dead(self, delivery: Delivery, letter: Message) -> None:
        """See `Settler`."""
        assert self._dead is not None, "a dead letter never dies again"
        self._dead.admit(len(letter.body))
        self._dead.store(letter._replace(redelivered=0))
        self._end(delivery.message)

    async def release(self, deliveries: Sequence[Delivery]) -> None:
        """See `Settler`."""
        for delivery in deliveries:
            self._hand_out_again(delivery.message)

    def _end(self, message: Message) -> None:
        if self._chaos.keeps_acknowledgement(message):
            self._count(message, -1)
        else:
            self._hand_out_again(message)

    def _hand_out_again(self, message: Message) -> None:
        self._put(message._replace(redelivered=message.redelivered + 1), 0.0)

    def _count(self, message: Message, sign: int) -> None:
        self.stored_count += sign
        self.stored_bytes += sign * len(message.body)

    def _put(self, message: Message, delay_s: float) -> None:
        if delay_s <= 0:
            self._ready.append(message)
            self.pump()
            return

        def ripen() -> None:
            self._waiting.discard(handle)
            self._ready.append(message)
            self.pump()

        timer = self._timer or asyncio.get_running_loop()
        handle = timer.call_later(delay_s, ripen)
        self._waiting.add(handle)

    def _next_taker(self) -> Dispatcher | None:
        count = len(self._consumers)
        for step in range(count):
            taker = self._consumers[(self._turn + step) % count]
            if taker.room > 0:
                self._turn = (self._turn + step + 1) % count
                return taker
        return None

    def _fault(self, message: Message) -> str | None:
        limit = self._queue.delivery_limit
        return f"handed out {limit} times without an answer" if message.redelivered >= limit else None


class MemoryBus:
    """A `Bus` in memory.

    `idle()` returns when nothing can go on until time passes or something is published; `drain()` returns
    when no message is left at all (dead letters apart).
    """

    def __init__(
        self,
        topology: Topology | None = None,
        *,
        timer: Timer | None = None,
        chaos: Chaos | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._topology = topology or load_topology()
        self._timer = timer
        self._chaos = chaos or Quiet()
        self._now = now
        self._changed = asyncio.Event()
        self._closed = False
        dead = self._make(DEAD_QUEUE, None)
        self._queues = {name: self._make(name, dead) for name in self._topology.queues}
        self._queues[DEAD_QUEUE] = dead

    def _make(self, name: str, dead: _MemoryQueue | None) -> _MemoryQueue:
        queue = self._topology.queues[name]
        return _MemoryQueue(queue, self._chaos, self._timer, dead, self._changed.set)

    async def publish(self, message: Message) -> None:
        """See `Bus.publish`."""
        name = address(self._topology, message)
        await self.check()
        fate = self._chaos.fate(message)
        if fate is Fate.LOST:
            raise BusUnavailable("not confirmed (nothing was taken)")
        if name is not None:
            queue = self._queues[name]
            queue.admit(len(message.body))
            sent = message._replace(redelivered=0, exchange=WORK_EXCHANGE)
            for _ in range(self._chaos.copies(message)):
                queue.store(sent, self._chaos.delay_s(message))
        if fate is Fate.UNKNOWN:
            raise BusUnavailable("not confirmed (it was taken)")

    def consume(
        self,
        queue: str,
        handler: Handler,
        *,
        prefetch: int = 64,
        batch: int = 1,
        linger_s: float = 0.02,
        concurrency: int = 8,
        held_bytes: int = HELD_BYTES,
    ) -> AbstractAsyncContextManager[None]:
        """See `Bus.consume`. Raises: ConfigError for a queue that the topology does not have."""
        if queue not in self._queues:
            raise ConfigError(f"no queue is named {queue!r}; see rabbitmq/definitions.json")
        options = Options(prefetch, batch, linger_s, concurrency, held_bytes)
        return self._consume(self._queues[queue], queue, handler, options)

    @asynccontextmanager
    async def _consume(
        self, queue: _MemoryQueue, name: str, handler: Handler, options: Options
    ) -> AsyncIterator[None]:
        dispatcher = Dispatcher(
            name, handler, queue, options, timer=self._timer, now=self._now, on_change=queue.pump
        )
        try:
            async with dispatcher.running():
                queue.add(dispatcher)
                yield
        finally:
            queue.remove(dispatcher)

    async def check(self) -> None:
        """See `Bus.check`."""
        if self._closed:
            raise BusUnavailable("the memory bus is closed")

    async def depth(self) -> Mapping[str, int]:
        """See `Bus.depth`; a delayed message counts where it comes back to."""
        return {name: queue.stored_count for name, queue in self._queues.items()}

    async def close(self) -> None:
        """Forget everything."""
        self._closed = True
        for queue in self._queues.values():
            queue.clear()

    async def idle(self) -> None:
        """Returns when nothing can go on by itself: what is left waits for time, or for a consumer."""
        while any(queue.is_active for queue in self._queues.values()):
            await self._change()

    async def drain(self) -> None:
        """Returns when every queue but the dead letters is empty and nothing is in hand or delayed."""
        while any(queue.stored_count for name, queue in self._queues.items() if name != DEAD_QUEUE):
            await self._change()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()
