"""Publishing with confirms: many messages in flight, each confirmed by the broker or refused by name.

Invariant: `send` returns only after the broker's own acknowledgement of this very message.
"""

import asyncio
import time
from collections import deque
from dataclasses import dataclass

from aiormq.abc import AbstractConnection
from aiormq.channel import Channel
from aiormq.exceptions import DeliveryError, PublishError
from pamqp.commands import Basic

from headwater.bus.rabbitmq.link import Connection, Link, faults_are_unavailable
from headwater.model.errors import BusFull, BusUnavailable, ContractError
from headwater.model.secret import Secret

PUBLISH_TIMEOUT_S = 5.0  # a broker in alarm accepts nothing and says nothing
TIME_OUTS_TO_REFUSE = 3
TIME_OUT_WINDOW_S = 10.0
PROBE_EVERY_S = 1.0
MAX_BYTES_IN_FLIGHT = 64 * 1024 * 1024


class Breaker:
    """Refuses at once after three time-outs in ten seconds, but for one probe a second, until one is
    confirmed.
    """

    def __init__(self) -> None:
        self._time_outs: deque[float] = deque(maxlen=TIME_OUTS_TO_REFUSE)
        self._is_open = False
        self._probed_at = 0.0

    @property
    def is_open(self) -> bool:
        return self._is_open

    def admits(self, now: float) -> bool:
        """Whether a publish may be tried at `now` (monotonic seconds)."""
        if not self._is_open:
            return True
        if now - self._probed_at < PROBE_EVERY_S:
            return False
        self._probed_at = now
        return True

    def timed_out(self, now: float) -> None:
        self._time_outs.append(now)
        if len(self._time_outs) == TIME_OUTS_TO_REFUSE and now - self._time_outs[0] <= TIME_OUT_WINDOW_S:
            self._is_open = True
            self._probed_at = now

    def confirmed(self) -> None:
        self._is_open = False
        self._time_outs.clear()


@dataclass(frozen=True, slots=True)
class Session:
    """A channel with confirms, on a connection that only publishes."""

    connection: Connection
    wire: AbstractConnection
    channel: Channel


@dataclass(frozen=True, slots=True)
class Sending:
    """A message on its way; `queue` is the one that takes it, None when nobody needs to."""

    exchange: str
    key: str
    properties: Basic.Properties
    body: bytes
    queue: str | None

    @property
    def taker(self) -> str:
        return self.queue or self.exchange


async def _set_up(connection: Connection) -> tuple[Session, "asyncio.Future[object]"]:
    channel = connection.channel(publisher_confirms=True, on_return_raises=True)
    await channel.initialize(timeout=PUBLISH_TIMEOUT_S)
    below = await channel.get_underlay_channel()
    assert isinstance(below, Channel)
    return Session(connection, connection.wire, below), below.closing


class Publisher:
    """The connection that publishes."""

    def __init__(self, url: Secret) -> None:
        self.link: Link[Session] = Link(url, "headwater publish", _set_up)
        self.breaker = Breaker()
        self._in_flight: dict[str, asyncio.Event] = {}
        self._bytes_in_flight = 0

    async def send(self, sending: Sending) -> None:
        """Returns when the broker has confirmed. Raises: BusUnavailable, BusFull, ContractError, as
        `Bus.publish`.
        """
        session = self.link.session
        if not self.breaker.admits(time.monotonic()):
            raise BusUnavailable(f"RabbitMQ did not confirm the last {TIME_OUTS_TO_REFUSE} messages in time")
        if self._bytes_in_flight + len(sending.body) > MAX_BYTES_IN_FLIGHT:
            raise BusFull(sending.taker)
        self._bytes_in_flight += len(sending.body)
        try:
            async with faults_are_unavailable():
                answer = await self._within_time(session, sending)
        finally:
            self._bytes_in_flight -= len(sending.body)
        if not isinstance(answer, Basic.Ack):
            raise BusUnavailable(f"RabbitMQ answered {type(answer).__name__} instead of a confirmation")
        self.breaker.confirmed()

    async def _within_time(self, session: Session, sending: Sending) -> object:
        try:
            async with asyncio.timeout(PUBLISH_TIMEOUT_S):
                return await self._one_per_id(session, sending)
        except TimeoutError as error:
            self.breaker.timed_out(time.monotonic())
            raise BusUnavailable(
                f"RabbitMQ did not confirm within {PUBLISH_TIMEOUT_S:g} s; whether it was taken is unknown"
            ) from error

    async def _one_per_id(self, session: Session, sending: Sending) -> object:
        """The client tells returned messages apart by their id alone: one at a time per id is in flight."""
        identity = sending.properties.message_id or ""
        while (other := self._in_flight.get(identity)) is not None:
            await other.wait()
        done = self._in_flight[identity] = asyncio.Event()
        try:
            await session.wire.ready()  # waits here while the broker blocks publishers: nothing is written
            return await session.channel.basic_publish(
                sending.body,
                exchange=sending.exchange,
                routing_key=sending.key,
                properties=sending.properties,
                mandatory=sending.queue is not None,
                wait=False,
            )
        except PublishError as error:
            raise ContractError(
                f"no queue takes {sending.key!r} from exchange {sending.exchange!r}"
            ) from error
        except DeliveryError as error:
            raise BusFull(sending.taker) from error
        finally:
            del self._in_flight[identity]
            done.set()
