"""Announcing: runs whose admission is committed are published as `run.due`, then it is written down that they are.

A run that was published and not yet marked is announced again under the same id; handlers bear that. It is marked by
its attempt, since nothing holds its row meanwhile: a fetcher may have failed it before the mark comes.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from headwater.bus.port import Bus, Message, poster
from headwater.contracts.codec import dumps
from headwater.contracts.messages import RunDue
from headwater.model.errors import BusFull, ContractError, Unavailable
from headwater.model.ids import following_text
from headwater.store import runs, schedules
from headwater.store.bell import wait_any
from headwater.store.database import Database

logger = logging.getLogger("headwater.timer")
OPEN_BATCHES = 6  # published and not marked: one more waits for room
TOGETHER = 1000  # runs marked in one statement, unless a batch alone has more
Row = Mapping[str, Any]  # id, attempt, tenant, stream_version


class Letters(NamedTuple):
    """Runs and their `run.due`, ready to be published."""

    rows: Sequence[Row]
    messages: Sequence[Message]


@dataclass(frozen=True, slots=True)
class _Batch:
    rows: Sequence[Row]
    results: Sequence["asyncio.Future[None]"]

    def abandon(self) -> None:
        """Nobody waits for the answers any more; faults among them are known by then."""
        for result in self.results:
            if not result.cancel() and not result.cancelled():
                result.exception()


@dataclass(frozen=True, slots=True)
class Heard:
    """Which runs the bus has taken, and why others are unknown. Those that it refused are in neither. `at`: when the
    last answer came (seconds of the event loop).
    """

    taken: Sequence[Row]
    fault: Unavailable | None
    at: float

    @property
    def since_s(self) -> float:
        return asyncio.get_running_loop().time() - self.at

    def raise_fault(self) -> None:
        if self.fault is not None:
            raise self.fault


class Announcer:
    """`announce` waits for the end of it. `hand_over` does not: the marking is done by `run`, which runs beside.

    `is_at_work` is False from the moment that the broker failed until it has taken a run again. `is_busy`: what it has
    in hand takes longer than others wait for a mark.
    """

    def __init__(self, database: Database, bus: Bus) -> None:
        self._database = database
        self._post = poster(bus)
        self._open: deque[_Batch] = deque()
        self._rung = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self.is_at_work = True
        self.is_busy = False

    async def publish(self, rows: Sequence[Row]) -> Heard:
        """Publish; the marking is the caller's."""
        return await self._hear([self._begin(self.write(rows))])

    async def announce(self, rows: Sequence[Row]) -> int:
        """Publish and mark; gives how many the bus took. Raises: Unavailable when database or broker is away."""
        return await self._settle([self._begin(self.write(rows))]) if rows else 0

    def write(self, rows: Sequence[Row]) -> Letters:
        """What is to be published of these runs."""
        return Letters(rows, [message_of(row) for row in rows])

    async def hand_over(self, letters: Letters) -> None:
        """Publish; returns when there is room for more."""
        self._open.append(self._begin(letters))
        self._rung.set()
        if len(self._open) >= OPEN_BATCHES:
            self._room.clear()
        await asyncio.sleep(0)  # what was posted goes out now
        await self._room.wait()

    async def hand_over_all(self, letters: Sequence[Letters]) -> None:
        """Publish one after the other; `is_busy` meanwhile."""
        self.is_busy = True
        try:
            for each in letters:
                await self.hand_over(each)
        finally:
            self.is_busy = False

    async def run(self, stop: asyncio.Event) -> None:
        """Mark what was handed over, until `stop` is set and nothing is open any more."""
        try:
            while self._open or not stop.is_set():
                self._rung.clear()
                if not self._open:
                    await wait_any(3600.0, stop, self._rung)
                    continue
                try:
                    await self._settle(self._together())
                except Unavailable as error:
                    logger.warning("%s; what is not marked as published is looked for again", error)
                    self._abandon()
        finally:
            self._abandon()

    def _together(self) -> list[_Batch]:
        """The oldest batch, and those behind it that are marked with it."""
        batches = [self._open.popleft()]
        count = len(batches[0].rows)
        while self._open and (count := count + len(self._open[0].rows)) <= TOGETHER:
            batches.append(self._open.popleft())
        self._room.set()
        return batches

    def _abandon(self) -> None:
        while self._open:
            self._open.popleft().abandon()
        self._room.set()

    def _begin(self, letters: Letters) -> _Batch:
        return _Batch(letters.rows, [self._post_one(message) for message in letters.messages])

    def _post_one(self, message: Message) -> "asyncio.Future[None]":
        try:
            return self._post(message)
        except (Unavailable, ContractError) as error:
            refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            refused.set_exception(error)
            return refused

    async def _settle(self, batches: Sequence[_Batch]) -> int:
        heard = await self._hear(batches)
        if heard.taken:
            await self._mark(heard)
        heard.raise_fault()
        return len(heard.taken)

    async def _hear(self, batches: Sequence[_Batch]) -> Heard:
        """Wait for the answers."""
        taken: list[Row] = []
        fault: Unavailable | None = None
        try:
            for batch in batches:
                for row, result in zip(batch.rows, batch.results, strict=True):
                    try:
                        await result
                        taken.append(row)
                    except (BusFull, ContractError) as error:
                        logger.debug("run %s is not published yet: %s", row["id"], error)
                    except Unavailable as error:
                        fault = error
        finally:
            for batch in batches:
                batch.abandon()
        self.is_at_work = fault is None and (self.is_at_work or bool(taken))
        return Heard(taken, fault, asyncio.get_running_loop().time())

    async def _mark(self, heard: Heard) -> None:
        async with self._database.transaction() as connection:
            await schedules.by_index(connection)
            await runs.mark_published(connection, heard.taken, heard.since_s)


def message_of(row: Row) -> Message:
    """The `run.due` of an admitted run. Put together by hand: thousands may be due in one second."""
    run_id, attempt, tenant = row["id"], row["attempt"], row["tenant"]
    body = _BODY % (str(run_id).encode(), attempt, _quoted(tenant), str(row["stream_version"]).encode())
    return Message(
        RunDue.type, following_text(run_id, RunDue.type, run_id, attempt), body, {"tenant": tenant}
    )


_BODY = b'{"run_id":"%b","attempt":%d,"tenant":%b,"stream_version":"%b"}'
_quoted = lru_cache(maxsize=1024)(dumps)
