"""The bus over RabbitMQ: one connection publishes, another consumes, so that an alarm never holds up an
answer.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime

from yarl import URL

from headwater.bus.dispatcher import Options
from headwater.bus.envelope import address, require_sound
from headwater.bus.port import HELD_BYTES, Handler, Message
from headwater.bus.rabbitmq.consumer import Consumer
from headwater.bus.rabbitmq.declare import require_topology
from headwater.bus.rabbitmq.frames import Place
from headwater.bus.rabbitmq.link import Connection, Link, faults_are_unavailable, parse_url
from headwater.bus.rabbitmq.publisher import Publisher
from headwater.bus.topology import WORK_EXCHANGE, Topology, load_topology
from headwater.model.errors import BusUnavailable, ConfigError
from headwater.model.secret import Secret

CHECK_TIMEOUT_S = 2.0
START_TIMEOUT_S = 60.0
MAX_PLACES = 4096


class RabbitBus:
    """A `Bus` over RabbitMQ 3.10 or newer. Call `open` before use and `close` after."""

    def __init__(
        self,
        url: Secret | str,
        *,
        topology: Topology | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        secret = Secret.of(url) if isinstance(url, str) else url
        self._topology = topology or load_topology()
        self._now = now
        self._own_user = _user_of(parse_url(secret))
        self._publisher = Publisher(secret, self._own_user, now)
        self._places: dict[tuple[str, str], tuple[Place, str]] = {}  # by exchange and type; and who takes it
        self._consuming: Link[Connection] = Link(secret, "headwater consume", self._set_up)

    async def open(self, deadline_s: float = START_TIMEOUT_S) -> None:
        """Connect, trying again until `deadline_s` is over, and look whether the topology is there.

        Raises: BusUnavailable when the broker stays away, ConfigError when it lacks an exchange or a queue.
        """
        started = asyncio.get_running_loop().time()
        try:
            await self._consuming.open(deadline_s)
            spent_s = asyncio.get_running_loop().time() - started
            await self._publisher.link.open(max(deadline_s - spent_s, 1.0))
        except BaseException:
            await self.close()
            raise

    async def _set_up(self, connection: Connection) -> tuple[Connection, "asyncio.Future[object]"]:
        await require_topology(connection, self._topology)
        return connection, connection.wire.closing

    async def publish(self, message: Message) -> None:
        """See `Bus.publish`."""
        await self.post(message)

    def post(self, message: Message) -> "asyncio.Future[None]":
        """See `PostingBus.post`."""
        known = self._places.get((message.exchange, message.type))
        if known is None:
            queue = address(self._topology, message)
            known = Place(message.exchange, message.type, queue is not None), queue or message.exchange
            if len(self._places) < MAX_PLACES:
                self._places[message.exchange, message.type] = known
        else:
            require_sound(message)
        return self._publisher.post(message, *known)

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
        if queue not in self._topology.queues:
            raise ConfigError(f"no queue is named {queue!r}; see rabbitmq/definitions.json")
        consumer = Consumer(
            queue, self._consuming, self._publisher, self._topology, self._own_user, self._now
        )
        return consumer.consuming(handler, Options(prefetch, batch, linger_s, concurrency, held_bytes))

    async def check(self) -> None:
        """See `Bus.check`: the broker answers on both connections, and does not hold publishers back."""
        if self._publisher.breaker.is_open:
            raise BusUnavailable("RabbitMQ does not confirm: look for a memory or disk alarm")
        session = self._publisher.link.session
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S), faults_are_unavailable():
                await session.connection.unblocked.wait()
                for connection in (session.connection, self._consuming.session):
                    await _ask(connection)
        except TimeoutError as error:
            raise BusUnavailable(
                f"RabbitMQ did not answer within {CHECK_TIMEOUT_S:g} s: look for a memory or disk alarm"
            ) from error

    async def depth(self) -> Mapping[str, int]:
        """See `Bus.depth`; RabbitMQ tells over AMQP what is ready, not what is in hand."""
        connection = self._consuming.session
        depths = {}
        async with faults_are_unavailable(), connection.channel() as channel:
            for name in self._topology.queues:
                queue = await channel.declare_queue(name, passive=True, timeout=CHECK_TIMEOUT_S)
                depths[name] = queue.declaration_result.message_count or 0
        return depths

    async def close(self) -> None:
        """See `Bus.close`."""
        await self._consuming.close()
        await self._publisher.link.close()


async def _ask(connection: Connection) -> None:
    async with connection.channel() as channel:
        await channel.declare_exchange(WORK_EXCHANGE, passive=True, timeout=CHECK_TIMEOUT_S)


def _user_of(url: URL) -> str:
    return url.user or "guest"
