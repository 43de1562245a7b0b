"""Herds: many schedules that are due at one moment are fired in the seconds before it, and announced when it comes.

Until then they are locked and their runs are seen by nobody. A change of one of them waits, for LEAD_S at most, and
holds from the next due time on.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest
from typing import Any

from headwater.bus.port import Message
from headwater.model.errors import Unavailable
from headwater.store import schedules, starts
from headwater.store.bell import wait_any
from headwater.store.database import Database
from headwater.timer.announce import Announcer, Letters, Row
from headwater.timer.fire import AHEAD_S, BATCH, Look, fire_ahead, nap_until, wake_at

HERD = 200  # fewer are fired within AHEAD_S
HANDS = 2
MOST = 40_000  # of each hand: held in memory, and announced within a few seconds
LEAD_S = 4.0  # a change of a schedule waits so long at most, less than `lock_timeout`
FIRST_S = 0.3  # what the first batch takes, on a machine that slept
EACH_S = 0.0001  # what one more takes
LOCK_S = 0.1  # who holds what a herd needs for longer keeps that part of it
ENOUGH_S = 0.02  # before the transaction has to end: one batch more would take longer


@dataclass(frozen=True, slots=True)
class _Coming:
    """What is due next: when, by the database's clock and by the loop's."""

    next_at: datetime
    at: float


@dataclass(frozen=True, slots=True)
class _Fired:
    """What a look did, and what is to be published for it."""

    look: Look
    letters: Letters


class Herds:
    """Hands beside those that fire what is due. `announced` is called with the number of schedules fired and whether
    any of their runs is left to the relay.
    """

    def __init__(
        self, database: Database, announcer: Announcer, announced: Callable[[int, bool], None]
    ) -> None:
        self._database = database
        self._announcer = announcer
        self._announced = announced
        self._coming: _Coming | None = None
        self._seen: datetime | None = None
        self.rung = asyncio.Event()

    def expect(self, next_at: datetime | None, due_s: float | None) -> None:
        """Say what is due next."""
        if next_at is None or due_s is None or next_at == self._seen or not AHEAD_S < due_s < LEAD_S + 1.5:
            return
        self._seen = next_at
        self._coming = _Coming(next_at, asyncio.get_running_loop().time() + due_s)
        self.rung.set()

    async def step(self, stop: asyncio.Event) -> bool:
        """Fire what comes, if it is a herd. Raises: Unavailable."""
        coming, self._coming = self._coming, None
        if coming is None or not self._announcer.is_at_work:
            return False
        async with self._database.transaction() as connection:
            await schedules.by_index(connection)
            count = await schedules.count_ahead(connection, coming.next_at, HANDS * MOST)
        if count < HERD:
            return False
        await wait_any(coming.at - _lead_s(count) - asyncio.get_running_loop().time(), stop)
        if stop.is_set():
            return False
        await self._fire(coming)
        return True

    async def _fire(self, coming: _Coming) -> None:
        fired: list[_Fired] = []
        faults: list[Unavailable] = []
        async with asyncio.TaskGroup() as hands:
            for _ in range(HANDS):
                hands.create_task(self._hand(coming, fired, faults), name="timer.fire_herd.hand")
        letters = dealt([each.letters for each in fired])
        await wake_at(coming.at)
        await self._announcer.hand_over_all(letters)
        self._announced(sum(each.look.fired for each in fired), any(each.look.is_waiting for each in fired))
        if faults:
            raise faults[0]

    async def _hand(self, coming: _Coming, fired: list[_Fired], faults: list[Unavailable]) -> None:
        """One of those that fire: while one thinks, the other one waits for the database.

        Adds what is committed, or the fault that kept it from that: what it held is fired when it is due, and what the
        other one has is announced.
        """
        try:
            async with self._database.transaction() as connection:
                own = [
                    _Fired(look, self._announcer.write(look.going))
                    async for look in _looks(connection, coming)
                ]
                await nap_until(coming.at - AHEAD_S)
        except Unavailable as error:
            faults.append(error)
        else:
            fired += own


async def _looks(connection: Any, coming: _Coming) -> AsyncIterator[Look]:
    """Fire batches until all is done, as much as is announced in time, or time is up."""
    await schedules.by_index(connection)
    await schedules.be_impatient(connection, lock_s=LOCK_S, idle_s=LEAD_S + 2.0)
    since = await starts.open_since(connection, coming.next_at)
    claims = await schedules.claim_ahead(connection, coming.next_at, since)
    clock = asyncio.get_running_loop().time
    fired = 0
    while fired < MOST and clock() < coming.at - AHEAD_S - ENOUGH_S:
        look = None
        async with schedules.unless_locked(connection):
            look = await fire_ahead(connection, claims, since, BATCH)
        if look is None:
            return
        fired += look.fired
        yield look


def dealt(letters: Sequence[Letters]) -> Sequence[Letters]:
    """The same in turn among the tenants, so that nobody waits behind one who has many."""
    by_tenant: dict[str, list[tuple[Row, Message]]] = {}
    for each in letters:
        for row, message in zip(each.rows, each.messages, strict=True):
            by_tenant.setdefault(row["tenant"], []).append((row, message))
    if len(by_tenant) < 2:
        return letters
    in_turn = [one for turn in zip_longest(*by_tenant.values()) for one in turn if one is not None]
    return [
        Letters(*zip(*in_turn[place : place + BATCH], strict=True)) for place in range(0, len(in_turn), BATCH)
    ]


def _lead_s(count: int) -> float:
    return min(FIRST_S + count * EACH_S, LEAD_S)
