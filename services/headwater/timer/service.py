"""The timer's loops: fire, relay, reap, keep house. Each sleeps until something is due; once a second is the net."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from headwater.bus.port import Bus
from headwater.model.errors import Unavailable
from headwater.model.secret import Secret
from headwater.store import deliveries, maintenance, outbox, payloads, retention
from headwater.store.bell import WORK, Bell, listening, wait_any
from headwater.store.config import CONFIG_CHANNEL
from headwater.store.database import Database
from headwater.store.retention import KEEP, Keep
from headwater.telemetry.metrics import Metrics
from headwater.telemetry.repeats import Repeats
from headwater.timer.endpoints import sweep, watch
from headwater.timer.fire import AHEAD_S, Firing, Look, wake_at
from headwater.timer.herds import Herds
from headwater.timer.reaper import reap
from headwater.timer.relay import Relay
from headwater.timer.zones import Zones

logger = logging.getLogger("headwater.timer")
NET_S = 1.0
REAP_EVERY_S = 30.0
HOUSE_EVERY_S = 3600.0
PAYLOAD_DAYS = 14
WATCH_EVERY_S = 30.0


class Timer:
    """Any number of replicas; no leader."""

    name = "timer"

    def __init__(
        self,
        database: Database,
        url: Secret,
        bus: Bus,
        bell: Bell,
        metrics: Metrics,
        keep: Keep = KEEP,
    ) -> None:
        self._keep = keep
        self._database = database
        self._url = url
        self._bell = bell
        self._metrics = metrics
        self._relay = Relay(database, bus, metrics)
        self._work = asyncio.Event()
        self._firing = Firing()
        self._beside = Firing()
        self._behind = asyncio.Event()
        self._herds = Herds(database, self._relay.announcer, self._fired)
        self._zones = Zones(database)

    async def ready(self) -> str | None:
        return None

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set."""
        async with (
            listening(self._url, WORK) as work,
            listening(self._url, CONFIG_CHANNEL) as changed,
            asyncio.TaskGroup() as group,
        ):
            self._work = work
            with contextlib.suppress(Unavailable):  # the loops say so, and wait
                await self._get_ready()
            group.create_task(self._loop(stop, self._fire, changed), name="timer.fire")
            group.create_task(self._loop(stop, self._fire_beside, self._behind), name="timer.fire_beside")
            group.create_task(
                self._loop(stop, lambda: self._fire_herd(stop), self._herds.rung), name="timer.fire_herd"
            )
            group.create_task(self._loop(stop, self._zones.look, asyncio.Event()), name="timer.zones")
            group.create_task(self._loop(stop, self._relay_round, work), name="timer.relay")
            group.create_task(self._relay.announcer.run(stop), name="timer.announce")
            group.create_task(self._loop(stop, self._reap, asyncio.Event()), name="timer.reap")
            group.create_task(self._loop(stop, self._keep_house, asyncio.Event()), name="timer.house")
            group.create_task(
                self._loop(stop, self._watch_endpoints, asyncio.Event()), name="timer.endpoints"
            )

    async def _get_ready(self) -> None:
        """Two connections: one fires while another one marks what was published."""
        async with self._database.transaction() as one, self._database.transaction() as other:
            await self._firing.get_ready(one)
            await self._firing.get_ready(other)

    async def _loop(
        self, stop: asyncio.Event, step: Callable[[], Awaitable[float]], rung: asyncio.Event
    ) -> None:
        """Call `step` until `stop`; it gives the seconds to sleep unless `rung` wakes it.

        While our own means are away nothing wakes it: each webhook that is spooled rings.
        """
        pause_s, repeats = 0.2, Repeats()
        while not stop.is_set():
            rung.clear()
            try:
                wait_s = await step()
                pause_s = 0.2
            except Unavailable as error:
                if repeats.is_due(str(error)):
                    logger.warning("%s; it is tried again all the while", error)
                await wait_any(pause_s, stop)
                pause_s = min(pause_s * 2, 5.0)
            else:
                await wait_any(wait_s, stop, rung)

    async def _fire(self) -> float:
        look = await self._look(self._firing)
        if self._firing.is_behind:
            self._behind.set()
        if look.due_s == 0:
            return 0.0
        self._herds.expect(look.next_at, look.due_s)
        return NET_S if look.due_s is None else min(max(look.due_s - AHEAD_S * 3 / 4, 0.001), NET_S)

    async def _fire_beside(self) -> float:
        """A second hand while more is due than a claim takes: one plans while the other waits for the database."""
        if self._firing.is_behind and (await self._look(self._beside)).fired:
            return 0.0
        return HOUSE_EVERY_S  # or until it is rung for

    async def _fire_herd(self, stop: asyncio.Event) -> float:
        await self._herds.step(stop)
        return HOUSE_EVERY_S  # or until it is rung for

    async def _look(self, firing: Firing) -> Look:
        announcer = self._relay.announcer
        async with self._database.transaction() as connection:
            look = await firing.look(connection, may_go=announcer.is_at_work)
        letters = announcer.write(look.going)
        if look.at is not None:
            await wake_at(look.at)
        if look.going:
            await announcer.hand_over(letters)
        self._fired(look.fired, look.is_waiting)
        return look

    def _fired(self, count: int, is_waiting: bool) -> None:
        """So many schedules were fired; `is_waiting`: some of their runs are left to the relay."""
        if count:
            self._metrics.fired.inc(count)
        if is_waiting:
            self._work.set()  # the relay beside it is sooner than the bell
            self._bell.ring()

    async def _relay_round(self) -> float:
        if await self._relay.work():
            return 0.0
        due_s = self._relay.due_s
        return NET_S if due_s is None else min(max(due_s, 0.02), NET_S)

    async def _reap(self) -> float:
        async with self._database.transaction() as connection:
            touched = await reap(connection)
            count, _ = await outbox.backlog(connection)
            self._metrics.outbox.set(count)
        if touched:
            self._bell.ring()
        return REAP_EVERY_S

    async def _watch_endpoints(self) -> float:
        async with self._database.transaction() as connection:
            owes = await watch(connection, self._metrics)
        if owes:
            self._bell.ring()
        return WATCH_EVERY_S

    async def _keep_house(self) -> float:
        for removal in await retention.clean(self._database, self._keep):
            where = f" of {removal.day}" if removal.day else f" of {removal.tenant or 'endpoints'}"
            logger.info(
                "%s%s: %d rows are older than they are kept: removed", removal.table, where, removal.count
            )
        async with self._database.transaction() as connection:
            outside = await maintenance.default_rows(connection)
        self._metrics.outside_partitions.clear()
        for table, count in outside.items():
            self._metrics.outside_partitions.labels(table).set(count)
            logger.error(
                "table %s has %d rows outside of every day's partition; check the clocks", table, count
            )
        async with self._database.transaction() as connection:
            await payloads.sweep(connection, PAYLOAD_DAYS)
            await deliveries.sweep_claims(connection)
        async with self._database.transaction() as connection:
            await sweep(connection)
        return HOUSE_EVERY_S
