"""The database of the simulation: real statements on real connections, one turn each, and what may go wrong with them.

A process of the simulation sees a `Database` whose connections are lent to it from the lanes of the whole world.
What goes wrong is what a network does: the connection is lost before a statement is sent, or after it was carried
out and before the answer came (a commit with unknown outcome); a lock is not given in time; a serialisation fault;
the caller is cancelled, or its whole process ends.
"""

import asyncio
import heapq
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from enum import Enum
from typing import Any, Protocol

import asyncpg
from tests.support.simulation_time import Turns

from headwater.store.database import ACQUIRE_TIMEOUT_S, Database, faults_are_unavailable
from headwater.store.queries import aggregates, queries


class Mishap(Enum):
    """What happens to one statement."""

    NONE = "none"
    LOST_BEFORE = "lost before"  # the connection, before the statement was sent
    LOST_AFTER = "lost after"  # the connection, when the statement was carried out
    LOCKED = "locked"  # the lock was not given in time
    CONFLICT = "conflict"  # a serialisation fault or a deadlock
    CUT_BEFORE = "cut before"  # the caller is cancelled from within, as client libraries do
    CUT_AFTER = "cut after"
    KILLED_BEFORE = "killed before"  # the process ends
    KILLED_AFTER = "killed after"


class Owner(Protocol):
    """The process that a connection is lent to."""

    name: str

    def mishap(self, label: str, *, in_transaction: bool) -> Mishap: ...

    def kill(self) -> None: ...


class Lanes:
    """The real connections, by number; the lowest free one is lent first."""

    def __init__(self, connections: Sequence[asyncpg.Connection], turns: Turns) -> None:
        self.connections = connections
        self.turns = turns
        self._free = list(range(len(connections)))

    @property
    def lent_count(self) -> int:
        return len(self.connections) - len(self._free)

    def lend(self) -> int:
        return heapq.heappop(self._free)

    def give_back(self, lane: int) -> None:
        heapq.heappush(self._free, lane)


_NAMES = {
    text: f"{aggregate}.{name}" for aggregate in aggregates() for name, text in queries(aggregate).items()
}


def label_of(statement: str) -> str:
    """The name of one of our queries, else the statement's beginning."""
    return _NAMES.get(statement) or " ".join(statement.split())[:60]


class SimulatedConnection:
    """What the rooms use of an asyncpg connection."""

    def __init__(self, lanes: Lanes, owner: Owner) -> None:
        self._lanes = lanes
        self._owner = owner
        self.lane = lanes.lend()
        self._real = lanes.connections[self.lane]
        self._depth = 0
        self._is_broken = False
        self._is_aborted = False
        self._is_begun = False

    def end(self) -> None:
        """The client lets go of the connection; a transaction that is open ends without a trace."""
        self._is_broken = True
        if not self._is_begun:
            self._lanes.give_back(self.lane)
            return
        label = f"{self._owner.name}[{self.lane}] the server rolls back"
        self._lanes.turns.later(
            label, self.lane, lambda: self._real.execute("ROLLBACK"), lambda: self._lanes.give_back(self.lane)
        )

    # Time-outs are not handed on: their clock is the virtual one, and statements take none of it.

    async def fetch(self, query: str, *values: object, **_: object) -> list[asyncpg.Record]:
        return await self._do(label_of(query), lambda: self._real.fetch(query, *values))  # type: ignore[no-any-return]

    async def fetchrow(self, query: str, *values: object, **_: object) -> asyncpg.Record | None:
        return await self._do(label_of(query), lambda: self._real.fetchrow(query, *values))

    async def fetchval(self, query: str, *values: object, **_: object) -> Any:
        return await self._do(label_of(query), lambda: self._real.fetchval(query, *values))

    async def execute(self, query: str, *values: object, **_: object) -> str:
        return str(await self._do(label_of(query), lambda: self._real.execute(query, *values)))

    async def executemany(self, query: str, rows: Iterable[Sequence[object]], **_: object) -> None:
        listed = list(rows)
        if listed:
            await self._do(label_of(query), lambda: self._real.executemany(query, listed))

    async def copy_to_table(self, name: str, **options: Any) -> str:
        return str(
            await self._do(
                f"COPY {name}", lambda: self._real.copy_to_table(name, **{**options, "timeout": None})
            )
        )

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """A transaction, or a savepoint in one."""
        point = f"point_{self._depth}"
        is_outer = self._depth == 0
        self._is_begun = True  # from the moment it is asked for: an unheard BEGIN has to be undone too
        await self._do("BEGIN" if is_outer else f"SAVEPOINT {point}", is_control=True)
        self._depth += 1
        was_aborted = self._is_aborted
        try:
            yield
        except BaseException:
            self._depth -= 1
            self._is_aborted = was_aborted
            await self._do("ROLLBACK" if is_outer else f"ROLLBACK TO SAVEPOINT {point}", is_control=True)
            self._is_begun = not is_outer
            raise
        self._depth -= 1
        await self._do("COMMIT" if is_outer else f"RELEASE SAVEPOINT {point}", is_control=True)
        self._is_begun = not is_outer

    async def _do(
        self, label: str, act: Callable[[], Awaitable[Any]] | None = None, *, is_control: bool = False
    ) -> Any:
        if self._is_broken:
            raise asyncpg.InterfaceError("the connection is closed")
        if self._is_aborted and not is_control:
            raise asyncpg.InFailedSQLTransactionError("current transaction is aborted")
        mishap = self._owner.mishap(label, in_transaction=self._is_begun)
        if is_control and mishap in {Mishap.LOCKED, Mishap.CONFLICT}:
            mishap = Mishap.NONE
        name = f"{self._owner.name}[{self.lane}] {label}"
        if mishap is not Mishap.NONE:
            name += f" ({mishap.value})"
        before = _BEFORE.get(mishap)
        if before is not None:
            await self._lanes.turns.take(name)
            await before(self)
        result = await self._lanes.turns.take(
            name,
            self.lane,
            act or (lambda: self._real.execute(label)),
            ends_transaction=label in {"COMMIT", "ROLLBACK"},
        )
        after = _AFTER.get(mishap)
        if after is not None:
            if label in {"COMMIT", "ROLLBACK"}:
                self._is_begun = False
            await after(self)
        return result

    async def _lose(self) -> None:
        self._is_broken = True
        raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")

    async def _lock(self) -> None:
        self._is_aborted = self._is_begun
        raise asyncpg.LockNotAvailableError("canceling statement due to lock timeout")

    async def _conflict(self) -> None:
        self._is_aborted = self._is_begun
        raise asyncpg.SerializationError("could not serialize access due to concurrent update")

    async def _cut(self) -> None:
        raise asyncio.CancelledError

    async def _kill(self) -> None:
        self._owner.kill()
        await asyncio.Event().wait()  # nobody hears from this task again, until it is cancelled


_Act = Callable[[SimulatedConnection], Awaitable[None]]
_BEFORE: dict[Mishap, _Act] = {
    Mishap.LOST_BEFORE: SimulatedConnection._lose,
    Mishap.LOCKED: SimulatedConnection._lock,
    Mishap.CONFLICT: SimulatedConnection._conflict,
    Mishap.CUT_BEFORE: SimulatedConnection._cut,
    Mishap.KILLED_BEFORE: SimulatedConnection._kill,
}
_AFTER: dict[Mishap, _Act] = {
    Mishap.LOST_AFTER: SimulatedConnection._lose,
    Mishap.CUT_AFTER: SimulatedConnection._cut,
    Mishap.KILLED_AFTER: SimulatedConnection._kill,
}


class SimulatedDatabase(Database):
    """The pool of one process."""

    def __init__(self, lanes: Lanes, owner: Owner, size: int) -> None:
        self._lanes = lanes
        self._owner = owner
        self._room = asyncio.Semaphore(size)

    async def open(self) -> None:
        """The lanes are open already."""

    async def close(self) -> None:
        """The lanes stay open."""

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """See `Database.connection`."""
        async with faults_are_unavailable():
            async with asyncio.timeout(ACQUIRE_TIMEOUT_S):
                await self._room.acquire()
            connection = SimulatedConnection(self._lanes, self._owner)
            try:
                yield connection
            finally:
                connection.end()
                self._room.release()
