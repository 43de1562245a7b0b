"""The bus of the simulation: the memory bus under seeded weather, seen from processes that may die.

Publishing takes a turn before and after, so that a process can end between what it did and what it knows.
"""

import asyncio
import random
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.support.simulation_database import Mishap
from tests.support.simulation_time import Turns

from headwater.bus.chaos import Fate, Quiet, SeededChaos
from headwater.bus.dispatcher import Options
from headwater.bus.memory import MemoryBus
from headwater.bus.port import HELD_BYTES, Handler, Message
from headwater.model.errors import BusFull


class Process(Protocol):
    """Who publishes and consumes."""

    name: str

    def mishap(self, label: str, *, in_transaction: bool) -> Mishap: ...

    def kill(self) -> None: ...


@dataclass(slots=True)
class Weather:
    """Chaos that can be switched off."""

    seeded: SeededChaos
    on_taken: Callable[[Message], None]
    calm: bool = False
    quiet: Quiet = field(default_factory=Quiet)

    @property
    def _now(self) -> SeededChaos | Quiet:
        return self.quiet if self.calm else self.seeded

    def fate(self, message: Message) -> Fate:
        return self._now.fate(message)

    def copies(self, message: Message) -> int:
        self.on_taken(message)  # asked of what is stored only
        return self._now.copies(message)

    def delay_s(self, message: Message) -> float:
        return self._now.delay_s(message)

    def position(self, ready: int) -> int:
        return self._now.position(ready)

    def keeps_acknowledgement(self, message: Message) -> bool:
        return self._now.keeps_acknowledgement(message)


@dataclass(slots=True)
class Shape:
    """How consumers of one seed take messages."""

    batch: int = 64
    linger_s: float = 0.02
    concurrency: int = 4
    full: float = 0.0  # share of publishes that are refused because the queue is full


class SimulatedBus:
    """One process's view of the one bus."""

    def __init__(
        self,
        memory: MemoryBus,
        turns: Turns,
        process: Process,
        shape: Shape,
        weather: Weather,
        draw: random.Random,
    ) -> None:
        self._memory = memory
        self._turns = turns
        self._process = process
        self._shape = shape
        self._weather = weather
        self._draw = draw

    async def publish(self, message: Message) -> None:
        """See `Bus.publish`."""
        label = f"{self._process.name} publishes {message.type} {message.id}"
        await self._turns.take(label)
        mishap = self._process.mishap(label, in_transaction=False)
        if mishap is Mishap.CUT_BEFORE:
            raise asyncio.CancelledError
        if mishap is Mishap.KILLED_BEFORE:
            await self._die()
        if not self._weather.calm and self._draw.random() < self._shape.full:
            raise BusFull(message.type)
        await self._memory.publish(message)
        await self._turns.take(f"{label}: confirmed")
        if mishap is Mishap.CUT_AFTER:
            raise asyncio.CancelledError
        if mishap is Mishap.KILLED_AFTER:
            await self._die()

    async def _die(self) -> None:
        self._process.kill()
        await asyncio.Event().wait()

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
        """See `Bus.consume`. A process that ends leaves no time to its handlers."""
        options = Options(
            prefetch,
            min(batch, self._shape.batch),
            min(linger_s, self._shape.linger_s),
            min(concurrency, self._shape.concurrency),
            held_bytes,
            grace_s=0.0,
        )
        return self._memory._consume(self._memory._queues[queue], queue, handler, options)

    async def check(self) -> None:
        """See `Bus.check`."""
        await self._memory.check()

    async def depth(self) -> Any:
        """See `Bus.depth`."""
        return await self._memory.depth()

    async def close(self) -> None:
        """The one bus stays."""
