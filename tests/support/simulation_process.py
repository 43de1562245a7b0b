"""The processes of a simulation: replicas of services that are killed at any turn and started again."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from tests.support.simulation_bus import SimulatedBus
from tests.support.simulation_database import Mishap, SimulatedDatabase

from headwater.contracts.webhook import Receipt
from headwater.store.database import Database
from headwater.store.runs import NewRun


@dataclass(slots=True)
class Sent:
    """One webhook as its sender knows it. `is_kept`: 202 was answered."""

    receipt: Receipt
    is_kept: bool
    kind: str


@dataclass(slots=True)
class Findings:
    """What the outside saw, for the oracle."""

    started: dict[UUID, NewRun] = field(default_factory=dict)
    touched: set[str] = field(default_factory=set)  # streams that were walked
    boundaries: list[tuple[str, datetime]] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    poison: set[str] = field(default_factory=set)
    announced: dict[str, list[tuple[str, bytes]]] = field(default_factory=dict)  # run id: message id, body
    named_payloads: dict[str, datetime] = field(default_factory=dict)  # when a message last named the body
    resets: list[str] = field(default_factory=list)
    kills: int = 0
    mishaps: int = 0


class Process:
    """One replica of one service: it is started again whenever it is killed."""

    def __init__(
        self, world: "Any", name: str, work: Callable[["Process"], Awaitable[None]], size: int
    ) -> None:
        self.name = name
        self._world = world
        self._work = work
        self._task: asyncio.Task[None] | None = None
        self.may_be_cut = name.startswith(("fetcher", "persister"))
        self.database: Database = SimulatedDatabase(world.lanes, self, size)
        self.bus = SimulatedBus(world.memory, world.turns, self, world.plan.shape, world.weather, world.draw)
        self.extra: set[asyncio.Task[Any]] = set()
        self.is_dying = False

    def mishap(self, label: str, *, in_transaction: bool) -> Mishap:
        """See `simulation_database.Owner`."""
        world = self._world
        if world.calm or self.is_dying or self.name == "outside":
            return Mishap.NONE
        rates, drawn = world.plan.rates, world.draw.random()
        may_be_cut = self.may_be_cut and _is_handler()
        choices = [
            (rates.unknown_commit if label == "COMMIT" else rates.lost / 2, Mishap.LOST_AFTER),
            (rates.lost / 2, Mishap.LOST_BEFORE),
            (rates.locked if in_transaction else 0.0, Mishap.LOCKED),
            (rates.locked / 2 if in_transaction else 0.0, Mishap.CONFLICT),
            (rates.cut / 2 if may_be_cut else 0.0, Mishap.CUT_BEFORE),
            (rates.cut / 2 if may_be_cut else 0.0, Mishap.CUT_AFTER),
            (rates.killed / 2, Mishap.KILLED_BEFORE),
            (rates.killed / 2, Mishap.KILLED_AFTER),
        ]
        for rate, mishap in choices:
            if drawn < rate:
                world.findings.mishaps += 1
                return mishap
            drawn -= rate
        return Mishap.NONE

    def kill(self) -> None:
        if self._task is not None and not self.is_dying:
            self.is_dying = True
            self._world.findings.kills += 1
            self._world.trace(f"{self.name} is killed")
            self._task.cancel()

    async def live(self) -> None:
        """Work, and begin anew after each death, until cancelled from outside."""
        while True:
            self.is_dying = False
            self._task = self._world.loop.create_task(self._start(), name=self.name)
            try:
                await asyncio.wait({self._task})
            except asyncio.CancelledError:
                self._task.cancel()
                await asyncio.wait({self._task})
                raise
            if not self._task.cancelled():
                error = self._task.exception()
                raise AssertionError(f"{self.name} ended by itself: {error!r}") from error
            await asyncio.sleep(self._world.draw.choice((0.0, 0.3, 5.0)))

    async def _start(self) -> None:
        try:
            await self._work(self)
        finally:
            for task in list(self.extra):
                task.cancel()


def _is_handler() -> bool:
    """Whether the consumer itself is at work here, and no task that its handler started."""
    task = asyncio.current_task()
    return task is not None and task.get_coro().__qualname__ == "Dispatcher._work"  # type: ignore[union-attr]
