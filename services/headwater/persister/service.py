"""The persister as a service."""

import asyncio

from headwater.bus.port import Bus
from headwater.persister.closing import RunCloser
from headwater.persister.definitions import Definitions
from headwater.persister.deliveries import DeliveryLoader
from headwater.persister.far import FarDatabases
from headwater.persister.outlets import Outlets
from headwater.persister.pages import PageLoader
from headwater.persister.tables import RunTables
from headwater.persister.widening import Widenings
from headwater.plugins.destinations import PostgresDestination
from headwater.store.bell import Bell
from headwater.store.database import Database
from headwater.store.keyring import Keyring
from headwater.telemetry.metrics import Metrics

DELIVERIES_AT_ONCE = 500  # in one transaction
DELIVERIES_IN_HAND = 4 * DELIVERIES_AT_ONCE  # three batches are handled while a fourth fills
PAGES_AT_ONCE = 40  # in one transaction; with 64 a walk of 100 KiB a page would take over 120 MiB
LINGER_S = 0.02


class Persister:
    """Any number of replicas. One batch fills while two are written."""

    name = "persister"

    def __init__(
        self,
        database: Database,
        bus: Bus,
        bell: Bell,
        metrics: Metrics,
        outlets: Outlets | None = None,
        keyring: Keyring | None = None,
    ) -> None:
        """`keyring` opens the keys of hashed fields; without it a delivery that needs one is dead."""
        outlets = outlets or Outlets(database)
        self._bus = bus
        self._outlets = outlets
        destination = PostgresDestination()
        definitions = Definitions(database)
        self._deliveries = DeliveryLoader(database, destination, bell, metrics, outlets, keyring)
        self._databases = databases = FarDatabases(database, keyring)
        self._pages = PageLoader(database, destination, definitions, bell, metrics, outlets, databases)
        self._tables = RunTables(database, destination, definitions, databases)
        self._widenings = Widenings(database, destination, definitions, databases)
        self._closer = RunCloser(database, definitions, self._tables, bell)

    async def ready(self) -> str | None:
        return None

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop` is set."""
        consume = self._bus.consume
        async with (
            consume(
                "headwater.webhook.received",
                self._deliveries.handle,
                prefetch=DELIVERIES_IN_HAND,
                batch=DELIVERIES_AT_ONCE,
                linger_s=LINGER_S,
                concurrency=3,
            ),
            consume(
                "headwater.batch.ready",
                self._pages.handle,
                prefetch=4 * PAGES_AT_ONCE,
                batch=PAGES_AT_ONCE,
                linger_s=LINGER_S,
                concurrency=3,
            ),
            consume("headwater.run.close", self._closer.handle, prefetch=16, concurrency=4),
        ):
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._tables.keep_clean(stop))
                    group.create_task(self._outlets.keep_sending(stop))
                    group.create_task(self._widenings.keep_looking(stop))
            finally:
                await self._outlets.close()
                await self._databases.close()
