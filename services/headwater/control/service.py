"""Control as a service: the API, the dead letters, the AMQP door."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from aiohttp import web

from headwater.bus.port import Bus
from headwater.bus.topology import IN_QUEUE
from headwater.contracts.codec import dumps
from headwater.control.docs import docs_page
from headwater.control.door import Door
from headwater.control.drain import Drain
from headwater.control.frame import API, AioHandler, Frame
from headwater.control.home import Overview
from headwater.control.openapi import openapi_document
from headwater.control.problems import SAFE_HEADERS
from headwater.control.removing import Removal
from headwater.control.route import Desk, Reply
from headwater.control.routes import route_table
from headwater.control.ui.routes import ui_routes
from headwater.model.clock import Clock
from headwater.model.errors import Unavailable
from headwater.model.secret import Secret
from headwater.plugins.notifiers.base import PLAIN_OFFICE, Office
from headwater.store import idempotency
from headwater.store.bell import Bell
from headwater.store.database import Database
from headwater.store.keyring import Keyring
from headwater.store.retention import KEEP, Keep
from headwater.telemetry.metrics import Metrics

logger = logging.getLogger("headwater.control")
DEAD_QUEUE = "headwater.dead"
SWEEP_EVERY_S = 3600.0


class Control:
    """`database` acts as role `api`, `worker` as role `headwater_worker`.

    `management_url` is RabbitMQ's management API, where tenants' broker users are made; `has_broker`: whether the
    bus is a RabbitMQ (None: not known).
    """

    name = "control"

    def __init__(
        self,
        database: Database,
        worker: Database,
        bus: Bus,
        keyring: Keyring,
        bell: Bell,
        clock: Clock,
        metrics: Metrics,
        management_url: Secret | None = None,
        *,
        has_broker: bool | None = None,
        office: Office = PLAIN_OFFICE,
        keep: Keep = KEEP,
    ) -> None:
        self._desk = Desk(
            database, worker, bus, keyring, bell, clock, metrics, management_url, has_broker, office, keep
        )
        self._table = route_table(Overview())
        self._drain = Drain(worker, bell, metrics)
        self._door = Door(worker, bell)

    def routes(self) -> Sequence[web.RouteDef]:
        """The API, its description, the front page, and the web UI."""
        return [
            web.get(
                f"{API}/openapi.json", _described(lambda: Reply(raw=dumps(openapi_document(self._table))))
            ),
            web.get("/docs", _described(lambda: docs_page(self._table))),
            *Frame(self._desk, self._table).route_defs(),
            *ui_routes(self._desk, self._table),
        ]

    async def ready(self) -> str | None:
        """None when requests can be answered, else what is missing.

        Who waits for a herd has a connection for some seconds: that none is left for a moment is no outage, and whether
        the database answers is asked of the process as well.
        """
        try:
            if self._desk.database.is_all_in_use:
                return None
            await self._desk.database.check()
        except Unavailable as error:
            return str(error)
        return None

    def let_go(self) -> None:
        """Answer those who wait for something."""
        self._desk.ending.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Drain the dead letters, serve the AMQP door and go on with removals until `stop` is set."""
        bus = self._desk.bus
        removal = Removal(self._desk.worker, self._desk.management_url)
        async with (
            asyncio.TaskGroup() as group,
            bus.consume(
                DEAD_QUEUE, self._drain.handle, prefetch=200, batch=100, linger_s=0.05, concurrency=1
            ),
            bus.consume(IN_QUEUE, self._door.handle, prefetch=32, concurrency=4),
        ):
            group.create_task(removal.run(stop), name="control.removal")
            while not stop.is_set():
                await self._sweep()
                try:
                    async with asyncio.timeout(SWEEP_EVERY_S):
                        await stop.wait()
                except TimeoutError:
                    continue

    async def _sweep(self) -> None:
        try:
            async with self._desk.worker.connection() as connection:
                await idempotency.sweep(connection)
        except Unavailable as error:
            logger.warning("old idempotency keys stay until the next look: %s", error)


def _described(make: Callable[[], Reply]) -> AioHandler:
    """What `make` gives, made when somebody asks for it: it takes a moment, and memory that few services need."""
    made: list[Reply] = []
    making = asyncio.Lock()

    async def handle(_: web.Request) -> web.Response:
        async with making:
            if not made:
                made.append(await asyncio.to_thread(make))
        reply = made[0]
        headers = {**SAFE_HEADERS, **reply.headers, "Content-Type": reply.content_type}
        return web.Response(body=reply.raw, headers=headers)

    return handle
