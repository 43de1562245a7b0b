"""Rooms at work in one process over a memory bus and a real database: for tests that look at the ways."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from headwater.app.clock import SystemClock
from headwater.bus.memory import MemoryBus
from headwater.bus.port import Bus
from headwater.bus.rabbitmq import RabbitOutlet
from headwater.contracts.manifest_text import parse_manifest
from headwater.control.apply import apply_manifest
from headwater.fetcher.service import Fetcher
from headwater.model.secret import Secret
from headwater.notifier.service import Notifier
from headwater.persister.outlets import Outlets
from headwater.persister.service import Persister
from headwater.plugins.notifiers.base import Office
from headwater.store.bell import Bell
from headwater.store.database import Database
from headwater.store.keyring import Keyring
from headwater.telemetry.metrics import Metrics
from headwater.timer.service import Timer

KEY = Secret.of("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")


@dataclass
class Spine:
    """What a test needs to see and do."""

    url: str
    worker: Database
    api: Database
    bus: Bus
    keyring: Keyring
    metrics: Metrics
    amqp_url: Secret | None = None  # headwater's own broker, for destinations that are exchanges

    async def apply(self, manifest: str) -> None:
        parsed, _ = parse_manifest(manifest, "test.yml", {})
        async with self.api.as_tenant(parsed.tenant, admin=True) as connection:
            await apply_manifest(connection, self.keyring, parsed)

    async def fetch(self, query: str, *values: Any) -> list[Any]:
        return await self.worker.fetch(query, *values)

    async def row(self, query: str, *values: Any) -> Any:
        return await self.worker.fetchrow(query, *values)

    async def rows_of(self, table: str, order: str, tenant: str = "default") -> list[dict[str, Any]]:
        """The rows of a destination table, in order."""
        async with self.worker.transaction() as connection:
            await connection.execute("SET LOCAL ROLE headwater_loader")
            rows = await connection.fetch(f'SELECT * FROM "hw_{tenant}"."{table}" ORDER BY {order}')
        return [dict(row) for row in rows]

    async def until(self, query: str, *values: Any, timeout_s: float = 30.0) -> Any:
        """The first row of `query` that is not empty; asked again every 20 ms, since the answer is a commit's."""
        async with asyncio.timeout(timeout_s):
            while True:
                row = await self.worker.fetchrow(query, *values)
                if row is not None:
                    return row
                await asyncio.sleep(0.02)


@asynccontextmanager
async def open_spine(url: str, bus: Bus | None = None) -> AsyncIterator[Spine]:
    """Pools and bus, no service yet."""
    async with AsyncExitStack() as stack:
        worker = Database(Secret.of(url), "headwater_worker")
        api = Database(Secret.of(url), "headwater_api", size=4)
        for pool in (worker, api):
            await pool.open()
            stack.push_async_callback(pool.close)
        own = bus or MemoryBus()
        stack.push_async_callback(own.close)
        yield Spine(url, worker, api, own, Keyring.of(KEY), Metrics())


@asynccontextmanager
async def working(spine: Spine, *names: str, office: Office | None = None) -> AsyncIterator[None]:
    """The named services at work until the context ends; a service that falls fails the test."""
    stop = asyncio.Event()
    clock, url = SystemClock(), Secret.of(spine.url)
    async with Bell(spine.worker).running() as bell:
        made: dict[str, Any] = {
            "timer": lambda: Timer(spine.worker, url, spine.bus, bell, spine.metrics),
            "fetcher": lambda: Fetcher(spine.worker, spine.bus, spine.keyring, bell, clock, spine.metrics),
            "persister": lambda: Persister(
                spine.worker,
                spine.bus,
                bell,
                spine.metrics,
                Outlets(spine.worker, spine.keyring, RabbitOutlet, spine.amqp_url),
                spine.keyring,
            ),
        }
        usual = tuple(made)
        made["notifier"] = lambda: Notifier(
            spine.worker,
            spine.bus,
            spine.keyring,
            bell,
            clock,
            spine.metrics,
            office or Office("https://hw.example.com"),
        )
        async with asyncio.TaskGroup() as group:
            for name in names or usual:
                group.create_task(made[name]().run(stop), name=name)
            try:
                yield
            finally:
                stop.set()
