"""The books of a test that kills something under load: what was attempted, confirmed, received."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from headwater.bus.port import Bus, Message
from headwater.model.errors import BusFull, BusUnavailable

RETRY_S = 0.02


@dataclass
class Ledger:
    """`lost` must be empty: a confirmed message that no consumer got."""

    attempted: set[str] = field(default_factory=set)
    confirmed: set[str] = field(default_factory=set)
    refused_count: int = 0
    received: Counter[str] = field(default_factory=Counter)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def lost(self) -> set[str]:
        return self.confirmed - set(self.received)

    @property
    def unexpected(self) -> set[str]:
        return set(self.received) - self.attempted

    @property
    def duplicated(self) -> set[str]:
        return {identity for identity, count in self.received.items() if count > 1}

    def summary(self) -> dict[str, int]:
        return {
            "attempted": len(self.attempted),
            "acknowledged": len(self.confirmed),
            "refused": self.refused_count,
            "received": len(self.received),
            "lost": len(self.lost),
            "duplicated": len(self.duplicated),
            "unexpected": len(self.unexpected),
        }

    def __str__(self) -> str:
        return ", ".join(f"{name} {count}" for name, count in self.summary().items())

    @asynccontextmanager
    async def publishing(self, bus: Bus, type_: str, *, publishers: int) -> AsyncIterator[None]:
        """Publish while the context is open; on leaving, every publish has been answered."""
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for _ in range(publishers):
                group.create_task(self._publish(bus, type_, stop))
            try:
                yield
            finally:
                stop.set()

    async def _publish(self, bus: Bus, type_: str, stop: asyncio.Event) -> None:
        """Publish until `stop`; what is not confirmed is not sent again, so that loss cannot hide."""
        while not stop.is_set():
            identity = f"l-{next(self._numbers)}"
            self.attempted.add(identity)
            try:
                await bus.publish(Message(type_, identity, identity.encode() * 20))
                self.confirmed.add(identity)
            except (BusUnavailable, BusFull):
                self.refused_count += 1
                await asyncio.sleep(RETRY_S)
            self._changed.set()

    async def receive(self, messages: Sequence[Message]) -> None:
        """A handler."""
        self.received.update(message.id for message in messages)
        self._changed.set()

    async def until(self, met: Callable[[], bool], patience_s: float) -> None:
        try:
            async with asyncio.timeout(patience_s):
                while not met():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"waited {patience_s:g} s in vain; {self}") from None
