"""The notifier as a service: what happened goes out to those who subscribed, and to those who are to be told."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

from headwater.bus.port import Bus, Message
from headwater.bus.wire import from_message
from headwater.contracts.messages import RunFinished
from headwater.http.client import HttpClient, HttpLimits
from headwater.http.sockets import open_socket
from headwater.model.clock import Clock
from headwater.model.errors import Unavailable
from headwater.notifier.events import event_of
from headwater.notifier.finished import plan_ends
from headwater.notifier.happenings import BATCH, plan_happenings
from headwater.notifier.late import look, look_for_silence
from headwater.notifier.sending import Sending
from headwater.plugins.notifiers.base import Means, Office
from headwater.store import notifications
from headwater.store.bell import Bell, wait_any
from headwater.store.database import Database
from headwater.store.keyring import Keyring
from headwater.telemetry.metrics import Metrics
from headwater.telemetry.repeats import Repeats

logger = logging.getLogger("headwater.notifier")
QUEUE = "headwater.run.finished"
NET_S = 1.0  # what other processes' commits owe is seen within it
LATE_EVERY_S = 30.0
SILENCE_EVERY_S = 300.0  # nothing is silent within an hour
SWEEP_EVERY_S = 3600.0


class Notifier:
    """Tells of every final run and of what else happened, once or more with one id."""

    name = "notifier"

    def __init__(
        self,
        database: Database,
        bus: Bus,
        keyring: Keyring,
        bell: Bell,
        clock: Clock,
        metrics: Metrics,
        office: Office,
    ) -> None:
        self._database = database
        self._bus = bus
        self._keyring = keyring
        self._bell = bell
        self._clock = clock
        self._metrics = metrics
        self._office = office
        self._planned = asyncio.Event()
        self._repeats = Repeats()

    async def ready(self) -> str | None:
        """None when bus and database answer, else what is missing."""
        try:
            await self._bus.check()
            await self._database.check()
        except Unavailable as error:
            return str(error)
        return None

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; what is being sent then is sent to its end."""
        # a redirected POST would become a GET somewhere: callbacks follow none
        client = HttpClient(self._clock, HttpLimits(redirects=0))
        async with client, asyncio.TaskGroup() as group:
            means = Means(client, self._clock, open_socket, self._owe, self._office)
            sending = Sending(self._database, self._keyring, means, self._clock, self._metrics)
            group.create_task(self._loop(stop, self._plan), name="notifier.plan")
            group.create_task(self._loop(stop, self._look), name="notifier.late")
            group.create_task(self._loop(stop, self._hush), name="notifier.silence")
            group.create_task(self._loop(stop, self._sweep), name="notifier.sweep")
            group.create_task(self._send(stop, sending, group), name="notifier.send")
            async with self._bus.consume(QUEUE, self._handle, prefetch=200, batch=50, concurrency=2):
                await stop.wait()
            await sending.finish()

    async def _owe(self, topic: str, identifier: str, body: bytes, tenant: str) -> None:
        async with self._database.transaction() as connection:
            await notifications.owe_event(connection, topic, UUID(identifier), tenant, body)
        self._bell.ring()

    async def _handle(self, messages: Sequence[Message]) -> None:
        ends = [(from_message(RunFinished, message), message.id) for message in messages]
        await asyncio.gather(
            *(self._bus.publish(event_of(finished, identifier)) for finished, identifier in ends)
        )
        async with self._database.transaction() as connection:
            new = await plan_ends(
                connection, [finished for finished, _ in ends], self._office.public_url, self._office.reach
            )
        if new:
            self._planned.set()

    async def _loop(self, stop: asyncio.Event, step: Callable[[], Awaitable[float]]) -> None:
        """Call `step`, which gives the seconds to wait, until `stop`."""
        while not stop.is_set():
            try:
                wait_s = await step()
            except Unavailable as error:
                self._tell(error)
                wait_s = NET_S
            await wait_any(wait_s, stop)

    def _tell(self, error: Unavailable) -> None:
        if self._repeats.is_due(str(error)):
            logger.warning("%s; it is tried again every second", error)

    async def _plan(self) -> float:
        async with self._database.transaction() as connection:
            count = await plan_happenings(connection, self._office.public_url, self._office.reach)
        if count:
            self._planned.set()
            self._bell.ring()
        return 0.0 if count >= BATCH else NET_S

    async def _look(self) -> float:
        async with self._database.transaction() as connection:
            await look(connection)
        return LATE_EVERY_S

    async def _hush(self) -> float:
        async with self._database.transaction() as connection:
            await look_for_silence(connection)
        return SILENCE_EVERY_S

    async def _sweep(self) -> float:
        async with self._database.transaction() as connection:
            await notifications.sweep(connection)
        return SWEEP_EVERY_S

    async def _send(self, stop: asyncio.Event, sending: Sending, group: asyncio.TaskGroup) -> None:
        while not stop.is_set():
            self._planned.clear()
            sending.freed.clear()
            wait_s = NET_S
            try:
                if not await sending.start(group):
                    async with self._database.connection() as connection:
                        due_s = await notifications.next_due_s(connection)
                    wait_s = NET_S if due_s is None or due_s <= 0 else min(due_s, NET_S)
                else:
                    wait_s = 0.0
            except Unavailable as error:
                self._tell(error)
            if wait_s:
                await wait_any(wait_s, stop, self._planned, sending.freed)
