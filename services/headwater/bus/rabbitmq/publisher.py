"""Publishing with confirms: many messages in flight, each confirmed by the broker or refused by name.

Invariant: `send` returns only after the broker's own acknowledgement of this very message.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from aiormq.channel import Channel

from headwater.bus.port import Message
from headwater.bus.rabbitmq.breaker import TIME_OUTS_TO_REFUSE, Breaker
from headwater.bus.rabbitmq.frames import Place, publication
from headwater.bus.rabbitmq.lane import Lane
from headwater.bus.rabbitmq.link import Connection, Link, describe
from headwater.model.errors import BusFull, BusUnavailable
from headwater.model.secret import Secret

PUBLISH_TIMEOUT_S = 5.0  # a broker in alarm accepts nothing and says nothing
MAX_BYTES_IN_FLIGHT = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Session:
    """A channel with confirms, on a connection that only publishes."""

    connection: Connection
    lane: Lane


class Publisher:
    """The connection that publishes."""

    def __init__(self, url: Secret, own_user: str, now: Callable[[], datetime]) -> None:
        self.breaker = Breaker()
        self.link: Link[Session] = Link(url, "headwater publish", self._set_up)
        self._own_user = own_user
        self._now = now
        self._held_bytes = 0  # of messages that wait for an alarm to end

    async def _set_up(self, connection: Connection) -> tuple[Session, "asyncio.Future[object]"]:
        channel = connection.channel(publisher_confirms=True)
        await channel.initialize(timeout=PUBLISH_TIMEOUT_S)
        below = await channel.get_underlay_channel()
        assert isinstance(below, Channel)
        lane = Lane(below.number, connection.frame_bytes, connection.write, self.breaker)
        connection.tap(below.number, lane.take)
        below.closing.add_done_callback(lambda closing: lane.lose(_why(closing)))
        return Session(connection, lane), below.closing

    async def send(self, message: Message, exchange: str, key: str, *, queue: str | None) -> None:
        """Publish `message`; returns when the broker has confirmed. `queue` takes it, None when nobody needs to.

        Raises: BusUnavailable, BusFull, ContractError, as `Bus.publish`.
        """
        await self.post(message, Place(exchange, key, queue is not None), queue or exchange)

    def post(self, message: Message, to: Place, taker: str) -> "asyncio.Future[None]":
        """Publish `message`; the future is done when the broker has confirmed. `taker` is named when it refuses.

        Raises, at once or by the future: as `send`.
        """
        session = self.link.session
        if self.breaker.is_open and not self.breaker.admits(time.monotonic()):
            raise BusUnavailable(f"RabbitMQ did not confirm the last {TIME_OUTS_TO_REFUSE} messages in time")
        if session.lane.open_bytes + self._held_bytes + len(message.body) > MAX_BYTES_IN_FLIGHT:
            raise BusFull(taker)
        if session.connection.unblocked.is_set():
            return self._posted(session.lane, message, to, taker)
        return asyncio.ensure_future(self._post_when_unblocked(session, message, to, taker))

    async def _post_when_unblocked(self, session: Session, message: Message, to: Place, taker: str) -> None:
        size = len(message.body)
        self._held_bytes += size
        try:
            async with asyncio.timeout(PUBLISH_TIMEOUT_S):
                await session.connection.unblocked.wait()
        except TimeoutError as error:
            self.breaker.timed_out(time.monotonic())
            raise BusUnavailable(
                f"RabbitMQ takes no messages for {PUBLISH_TIMEOUT_S:g} s: look for a memory or disk alarm"
            ) from error
        finally:
            self._held_bytes -= size
        await self._posted(session.lane, message, to, taker)

    def _posted(self, lane: Lane, message: Message, to: Place, taker: str) -> "asyncio.Future[None]":
        frames = publication(
            message,
            to,
            own_user=self._own_user,
            at_s=int(self._now().timestamp()),
            channel=lane.channel,
            frame_bytes=lane.frame_bytes,
        )
        return lane.publish(frames, identity=message.id, to=to, taker=taker, timeout_s=PUBLISH_TIMEOUT_S)


def _why(closing: "asyncio.Future[object]") -> str:
    error = None if closing.cancelled() else closing.exception()
    return "the connection was lost" if error is None else describe(error)
