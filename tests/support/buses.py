"""The three backends behind one door, for the conformance suite, and what every test of a bus needs."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import pytest

from headwater.bus.memory import MemoryBus
from headwater.bus.port import Bus, Message
from headwater.bus.postgres import PostgresBus
from headwater.bus.rabbitmq import RabbitBus

PATIENCE_S = 20.0  # a slow machine may take its time; a promise that is not kept fails anyway

# Promises that a backend cannot keep, and why. Their tests run over the others.
CANNOT: dict[str, dict[str, str]] = {
    "memory": {"outlive": "nothing outlives the process, and one bus is all there is in it"},
    "postgres": {},
    "rabbitmq": {},
}
_numbers = itertools.count(1)


def message(type_: str = "run.due", body: bytes = b"{}", **fields: Any) -> Message:
    """A message with an id of its own."""
    return Message(type_, fields.pop("id", f"m-{next(_numbers)}"), body, **fields)


@dataclass
class Inbox:
    """A handler that keeps what it gets, and answers as `answer` says."""

    answer: Callable[[Sequence[Message]], Awaitable[None]] | None = None
    calls: list[tuple[Message, ...]] = field(default_factory=list)
    also: "Inbox | None" = None  # gets everything as well
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, messages: Sequence[Message]) -> None:
        self.calls.append(tuple(messages))
        self._changed.set()
        if self.also is not None:
            await self.also(messages)
        if self.answer is not None:
            await self.answer(messages)

    @property
    def messages(self) -> list[Message]:
        return [one for call in self.calls for one in call]

    @property
    def ids(self) -> list[str]:
        return [one.id for one in self.messages]

    async def until(self, met: Callable[["Inbox"], bool]) -> None:
        """Returns when `met` holds of this inbox; fails after `PATIENCE_S`."""
        async with asyncio.timeout(PATIENCE_S):
            while not met(self):
                self._changed.clear()
                await self._changed.wait()

    async def count(self, number: int) -> list[Message]:
        """The messages, when there are `number` of them."""
        await self.until(lambda inbox: len(inbox.messages) >= number)
        return self.messages


@dataclass
class Backend:
    """One backend; `client()` opens another client of the same queues."""

    name: str
    client: Callable[[], Awaitable[Bus]]


async def _memory(_: str, stack: AsyncExitStack) -> Callable[[], Awaitable[Bus]]:
    bus = MemoryBus()
    stack.push_async_callback(bus.close)

    async def client() -> Bus:
        return bus

    return client


async def _postgres(url: str, stack: AsyncExitStack) -> Callable[[], Awaitable[Bus]]:
    async def client() -> Bus:
        pool = await open_pool(url)
        stack.push_async_callback(pool.close)
        bus = PostgresBus(pool)
        stack.push_async_callback(bus.close)
        await bus.open()
        return bus

    return client


async def _rabbitmq(url: str, stack: AsyncExitStack) -> Callable[[], Awaitable[Bus]]:
    async def client() -> Bus:
        bus = RabbitBus(url)
        stack.push_async_callback(bus.close)
        await bus.open()
        return bus

    return client


async def open_pool(url: str) -> asyncpg.Pool:
    """A pool as a service has it: under the worker's role, every wait bounded."""
    return await asyncpg.create_pool(
        url,
        min_size=1,
        max_size=6,
        timeout=5,
        command_timeout=10,
        server_settings={"role": "headwater_worker", "search_path": "headwater, pg_temp"},
    )


_OPEN = {"memory": _memory, "postgres": _postgres, "rabbitmq": _rabbitmq}
_ADDRESS_FIXTURES = {"postgres": "database", "rabbitmq": "rabbit"}


def _able(promise: str) -> list[str]:
    return [name for name in _OPEN if promise not in CANNOT[name]]


def _place(request: pytest.FixtureRequest) -> tuple[str, str]:
    fixture = _ADDRESS_FIXTURES.get(request.param)
    return request.param, request.getfixturevalue(fixture) if fixture else ""


@pytest.fixture(params=list(_OPEN))
def place(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Name and address of each backend in turn, empty."""
    return _place(request)


@pytest.fixture(params=_able("outlive"))
def lasting_place(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Name and address of each backend that outlives its clients."""
    return _place(request)


@pytest.fixture
async def backend(place: tuple[str, str]) -> AsyncIterator[Backend]:
    async with AsyncExitStack() as stack:
        yield Backend(place[0], await _OPEN[place[0]](place[1], stack))


@pytest.fixture
async def lasting_backend(lasting_place: tuple[str, str]) -> AsyncIterator[Backend]:
    async with AsyncExitStack() as stack:
        yield Backend(lasting_place[0], await _OPEN[lasting_place[0]](lasting_place[1], stack))


@pytest.fixture
async def bus(backend: Backend) -> Bus:
    """A client of each backend in turn."""
    return await backend.client()
