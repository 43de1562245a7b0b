"""One connection to the broker, kept: opened with a deadline at start, opened again whenever it is lost.

Our own loop, since a client that reconnects by itself hides which channel a delivery belongs to. Losing the
connection is told once, and so is its return.
"""

import asyncio
import logging
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

import aio_pika
from aio_pika.abc import UnderlayConnection
from aio_pika.exceptions import CONNECTION_EXCEPTIONS
from aiormq.abc import AbstractConnection
from aiormq.exceptions import InvalidFrameError
from yarl import URL

from headwater.bus.rabbitmq.reader import GuardedTransport, Row, Tap
from headwater.bus.tasks import end_tasks
from headwater.model.errors import BusUnavailable, ConfigError
from headwater.model.secret import Secret

log = logging.getLogger(__name__)

HEARTBEAT_S = 10  # a dead peer is noticed after 3.5 to 4 of these
CONNECT_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 5.0
FRAME_BYTES = 131_072  # where the broker sets no limit
_BLOCKED = struct.pack(">HH", 10, 60)  # Connection.Blocked, an extension of RabbitMQ
_UNBLOCKED = struct.pack(">HH", 10, 61)
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
LOST = (*CONNECTION_EXCEPTIONS, TimeoutError)  # how the client says that the broker or a channel is gone
S = TypeVar("S")


@asynccontextmanager
async def faults_are_unavailable() -> AsyncIterator[None]:
    """Raises: BusUnavailable in place of whatever the client raises when the broker is gone.

    That includes a CancelledError that nobody asked for: the client cancels its callers when heartbeats fail.
    """
    task = asyncio.current_task()
    asked = task.cancelling() if task else 0
    try:
        yield
    except asyncio.CancelledError as error:
        if task is None or task.cancelling() > asked:
            raise
        raise BusUnavailable("RabbitMQ: the connection was lost") from error
    except LOST as error:
        if task is not None and task.cancelling() > asked:
            # The client answered our cancellation by an error of its own: the cancellation must go on.
            raise asyncio.CancelledError from error
        raise BusUnavailable(f"RabbitMQ: {describe(error)}") from error


def describe(error: BaseException) -> str:
    """What the client says, in one line; it names no credentials."""
    if isinstance(error, InvalidFrameError) and "Connection.OpenOk" in str(error):
        return "the virtual host at the end of the address is not there, or its user may not enter it"
    text = " ".join(str(part) for part in error.args) or str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def place(url: Secret) -> str:
    """Host and port of an AMQP address, for messages to people."""
    parsed = URL(url.text())
    return f"{parsed.host}:{parsed.port or (5671 if parsed.scheme == 'amqps' else 5672)}"


def parse_url(url: Secret) -> URL:
    """The address, checked. Raises: ConfigError that does not repeat it."""
    parsed = URL(url.text())
    if parsed.scheme not in ("amqp", "amqps") or not parsed.host:
        raise ConfigError("HEADWATER_AMQP_URL: give amqp://user:password@host:port/vhost (or amqps)")
    return parsed


class Connection(aio_pika.Connection):
    """A connection that tells whether it is there, whose reader outlives malformed messages and can be tapped.

    `unblocked` is clear while an alarm of the broker holds publishers back.
    """

    def __init__(self, url: URL, name: str) -> None:
        super().__init__(url.update_query(heartbeat=str(HEARTBEAT_S), name=name))
        self._guard = self.kwargs["transport_factory"] = GuardedTransport()
        self.unblocked = asyncio.Event()
        self.unblocked.set()
        self.tap(0, self._note_alarm)

    def tap(self, channel: int, take: Tap, row: Row | None = None) -> None:
        """Offer the frames of a channel to `row`, as many as there are, and then each to `take`, before anybody else
        sees them.
        """
        self._guard.taps[channel] = take
        if row is not None:
            self._guard.rows[channel] = row

    def untap(self, channel: int, take: Tap) -> None:
        """Undo `tap`, unless the channel's number has gone to another meanwhile."""
        if self._guard.taps.get(channel) == take:
            del self._guard.taps[channel]
            self._guard.rows.pop(channel, None)

    def write(self, frames: bytes) -> None:
        """Put whole frames on the connection."""
        self._guard.write(frames)

    @property
    def frame_bytes(self) -> int:
        """The largest frame that was agreed on."""
        return self.wire.connection_tune.frame_max or FRAME_BYTES

    def _note_alarm(self, _: int, payload: bytes) -> bool:
        if payload.startswith(_BLOCKED):
            self.unblocked.clear()
        elif payload.startswith(_UNBLOCKED):
            self.unblocked.set()
        return False

    @property
    def wire(self) -> AbstractConnection:
        """The protocol layer's connection. Raises: BusUnavailable when it is gone."""
        transport: UnderlayConnection | None = self.transport
        if transport is None:
            raise BusUnavailable("RabbitMQ: the connection was lost")
        return transport.connection


async def connect(url: Secret, name: str) -> Connection:
    """An open connection. Raises: BusUnavailable."""
    connection = Connection(parse_url(url), name)
    async with faults_are_unavailable():
        await connection.connect(timeout=CONNECT_TIMEOUT_S)
    return connection


async def close_quietly(closing: Callable[[], Awaitable[object]]) -> None:
    """Close something that may be gone already."""
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S), faults_are_unavailable():
            await closing()
    except (BusUnavailable, TimeoutError) as error:
        log.debug("closing: %s", error)


class Link(Generic[S]):
    """Keeps a connection open, and on it what `set_up` makes; `session` is that, or None while it is away.

    `set_up` gives the session and an awaitable that ends when the session is lost.
    """

    def __init__(
        self,
        url: Secret,
        name: str,
        set_up: Callable[[Connection], Awaitable[tuple[S, "asyncio.Future[object]"]]],
    ) -> None:
        self._url = url
        self._name = name
        self._set_up = set_up
        self._session: S | None = None
        self._there = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._has_been_there = False
        self._why = "not opened"

    @property
    def session(self) -> S:
        """Raises: BusUnavailable while the connection is away."""
        if self._session is None:
            raise BusUnavailable(f"RabbitMQ at {place(self._url)} is away: {self._why}")
        return self._session

    async def open(self, deadline_s: float) -> None:
        """Returns with the session there. Raises: BusUnavailable after `deadline_s`, ConfigError at once."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep(), name=f"{self._name} connection")
        arrival = asyncio.ensure_future(self._there.wait())
        try:
            await asyncio.wait({arrival, self._task}, timeout=deadline_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            arrival.cancel()
        if self._task.done():
            self._task.result()  # the keeper ends by an error only: the topology is not as it must be
        if not self._there.is_set():
            raise BusUnavailable(
                f"RabbitMQ at {place(self._url)} could not be reached for {deadline_s:g} s: {self._why}; "
                "start it, or mend HEADWATER_AMQP_URL"
            )

    async def wait(self) -> S:
        """The session, as soon as there is one."""
        while self._session is None:
            self._there.clear()
            await self._there.wait()
        return self._session

    async def close(self) -> None:
        """End the connection, for good."""
        task, self._task = self._task, None
        if task is not None:
            await end_tasks([task])

    async def _keep(self) -> None:
        pause_s = FIRST_PAUSE_S
        told = False
        while True:
            try:
                async with self._connected() as lost:
                    if told:
                        log.warning("connection to RabbitMQ at %s is back", place(self._url))
                    pause_s, told = FIRST_PAUSE_S, False
                    await asyncio.wait({lost})
                    self._why = describe(error) if (error := _error_of(lost)) else "the connection was lost"
            except BusUnavailable as error:
                self._why = str(error).removeprefix("RabbitMQ: ")
            except ConfigError as error:
                if not self._has_been_there:
                    raise  # at start it is for the operator; later, somebody is mending the broker
                self._why = str(error)
            if not told:
                log.warning("RabbitMQ at %s is away: %s; trying again", place(self._url), self._why)
                told = True
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator["asyncio.Future[object]"]:
        connection = await connect(self._url, self._name)
        try:
            async with faults_are_unavailable():
                self._session, lost = await self._set_up(connection)
            self._has_been_there = True
            self._there.set()
            yield lost
        finally:
            self._session = None
            self._there.clear()
            await close_quietly(connection.close)


def _error_of(future: "asyncio.Future[object]") -> BaseException | None:
    return None if future.cancelled() else future.exception()
