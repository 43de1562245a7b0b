"""The bus over PostgreSQL: durable, shared by any number of processes, without a broker.

Limits: the bytes of a queue are known to within what other processes published in the last half second; a
limit may be passed by that much.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg

from headwater.bus.dispatcher import Options
from headwater.bus.envelope import address
from headwater.bus.group_commit import GroupCommit
from headwater.bus.port import HELD_BYTES, Handler, Message
from headwater.bus.postgres.connection import connection
from headwater.bus.postgres.consumer import LEASE_S, Consumer
from headwater.bus.postgres.statements import CHECK, DEPTH, DONE, FOLD, PUT
from headwater.bus.postgres.wake import Wake
from headwater.bus.tasks import end_tasks
from headwater.bus.topology import Topology, load_topology
from headwater.contracts import codec
from headwater.model.errors import BusFull, ConfigError

REFRESH_S = 0.5
FOLD_ABOVE_ROWS = 200
MAX_PENDING_BYTES = 64 * 1024 * 1024  # of messages waiting for their commit in this process
PUBLISHERS = 2  # one group is collected and sent while the other waits for its commit


@dataclass(frozen=True, slots=True)
class _Put:
    """A message on its way to `queue`."""

    queue: str
    message: Message

    @property
    def size(self) -> int:
        return len(self.message.body)


class PostgresBus:
    """A `Bus` over a pool whose role is `headwater_worker` (or `headwater_api`, which may publish only).

    Call `open` before use and `close` after. Uses up to four connections of the pool, and one more per
    consumer.
    """

    def __init__(
        self,
        pool: asyncpg.Pool,
        *,
        topology: Topology | None = None,
        lease_s: float = LEASE_S,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._pool = pool
        self._topology = topology or load_topology()
        self._lease_s = lease_s
        self._now = now
        self._wake = Wake(pool)
        self._puts: GroupCommit[_Put] = GroupCommit(self._put, lambda put: put.size)
        self._done: GroupCommit[list[int]] = GroupCommit(self._forget)
        self._bytes: dict[str, int] = {}
        self._refreshed_at: float | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Look whether the tables are there, and begin to work. Raises: BusUnavailable."""
        await self.check()
        loops = [self._wake.run, self._done.run, *[self._puts.run] * PUBLISHERS]
        self._tasks = [
            asyncio.create_task(loop(), name=f"postgres bus {loop.__qualname__}") for loop in loops
        ]

    async def publish(self, message: Message) -> None:
        """See `Bus.publish`; returns after the commit."""
        queue = address(self._topology, message)
        if queue is None:
            return
        if self._puts.pending_bytes + len(message.body) > MAX_PENDING_BYTES:
            raise BusFull(queue)
        await self._puts.add(_Put(queue, message))

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
            self._topology.queues[queue], self._pool, self._wake, self._done, self._lease_s, self._now
        )
        return consumer.consuming(handler, Options(prefetch, batch, linger_s, concurrency, held_bytes))

    async def check(self) -> None:
        """See `Bus.check`."""
        async with connection(self._pool) as checking:
            await checking.fetchval(CHECK)

    async def depth(self) -> Mapping[str, int]:
        """See `Bus.depth`; a delayed message counts where it comes back to."""
        async with connection(self._pool) as counting:
            rows = await counting.fetch(DEPTH)
        counted = {row["queue"]: row["messages"] for row in rows}
        return {name: counted.get(name, 0) for name in self._topology.queues}

    async def close(self) -> None:
        """See `Bus.close`; the pool stays open, it is the caller's."""
        self._puts.close()
        self._done.close()
        tasks, self._tasks = self._tasks, []
        await end_tasks(tasks)

    async def _put(self, puts: Sequence[_Put]) -> Sequence[Exception | None]:
        """One commit for all that fit their queues' limits; one answer for each."""
        async with connection(self._pool) as putting:
            await self._refresh(putting)
            answers = [self._refusal(put) for put in puts]
            admitted = [put for put, refusal in zip(puts, answers, strict=True) if refusal is None]
            if admitted:
                await putting.execute(PUT, *_columns(admitted))
        self._wake.published({put.queue for put in admitted})
        return answers

    def _refusal(self, put: _Put) -> BusFull | None:
        stored = self._bytes.get(put.queue, 0) + put.size
        if stored > self._topology.queues[put.queue].max_bytes:
            return BusFull(put.queue)
        self._bytes[put.queue] = stored
        return None

    async def _refresh(self, counting: asyncpg.Connection) -> None:
        now = asyncio.get_running_loop().time()
        if self._refreshed_at is not None and now - self._refreshed_at < REFRESH_S:
            return
        self._refreshed_at = now
        rows = await counting.fetch(DEPTH)
        self._bytes = {row["queue"]: row["bytes"] for row in rows}
        if sum(row["rows"] for row in rows) > FOLD_ABOVE_ROWS:
            await counting.execute(FOLD)

    async def _forget(self, groups: Sequence[list[int]]) -> Sequence[Exception | None]:
        async with connection(self._pool) as forgetting:
            await forgetting.execute(DONE, [tag for tags in groups for tag in tags])
        return [None] * len(groups)


def _columns(puts: Sequence[_Put]) -> list[list[object]]:
    """The parallel arrays of statement PUT."""
    messages = [put.message for put in puts]
    return [
        [put.queue for put in puts],
        [message.type for message in messages],
        [message.id for message in messages],
        [codec.dumps(dict(message.headers)).decode() for message in messages],
        [message.attempt for message in messages],
        [message.user_id for message in messages],
        [message.body for message in messages],
        [put.size for put in puts],
    ]
