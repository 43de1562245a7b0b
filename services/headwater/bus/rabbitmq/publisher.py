"""Publishing with confirms: many messages in flight, each confirmed by the broker or refused by name.

Invariant: `send` returns only after the broker's own acknowledgement of this very message.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from aiormq.channel import Channel

from headwater.bus.port import Message
from headwater.bus.rabbitmq.frames import Place, publication
from headwater.bus.rabbitmq.lane import Lane
from headwater.bus.rabbitmq.link import Connection, Link, describe
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
    lane: Lane


async def _set_up(connection: Connection) -> tuple[Session, "asyncio.Future[object]"]:
    channel = connection.channel(publisher_confirms=True)
    await channel.initialize(timeout=PUBLISH_TIMEOUT_S)
    below = await channel.get_underlay_channel()
    assert isinstance(below, Channel)
    lane = Lane(below.number, connection.frame_bytes, connection.write)
    connection.tap(below.number, lane.take)
    below.closing.add_done_callback(lambda closing: lane.lose(_why(closing)))
    return Session(connection, lane), below.closing


def _why(closing: "asyncio.Future[object]") -> str:
    error = None if closing.cancelled() else closing.exception()
    return "the connection was lost" if error is None else describe(error)


class Publisher:
    """The connection that publishes."""

    def __init__(self, url: Secret, own_user: str, now: Callable[[], datetime]) -> None:
        self.link: Link[Session] = Link(url, "headwater publish", _set_up)
        self.breaker = Breaker()
        self._own_user = own_user
        self._now = now
        self._bytes_in_flight = 0

    async def send(self, message: Message, exchange: str, key: str, *, queue: str | None) -> None:
        """Publish `message`; returns when the broker has confirmed. `queue` takes it, None when nobody needs to.

        Raises: BusUnavailable, BusFull, ContractError, as `Bus.publish`.
        """
        session = self.link.session
        size = len(message.body)
        if not self.breaker.admits(time.monotonic()):
            raise BusUnavailable(f"RabbitMQ did not confirm the last {TIME_OUTS_TO_REFUSE} messages in time")
        if self._bytes_in_flight + size > MAX_BYTES_IN_FLIGHT:
            raise BusFull(queue or exchange)
        self._bytes_in_flight += size
        try:
            await self._confirmed(
                session, message, Place(exchange, key, queue is not None), queue or exchange
            )
        except TimeoutError as error:
            self.breaker.timed_out(time.monotonic())
            raise BusUnavailable(
                f"RabbitMQ did not confirm within {PUBLISH_TIMEOUT_S:g} s; whether it was taken is unknown"
            ) from error
        except ContractError as error:
            raise ContractError(f"no queue takes {key!r} from exchange {exchange!r}") from error
        finally:
            self._bytes_in_flight -= size
        self.breaker.confirmed()

    async def _confirmed(self, session: Session, message: Message, to: Place, taker: str) -> None:
        if not session.connection.unblocked.is_set():
            async with asyncio.timeout(PUBLISH_TIMEOUT_S):
                await session.connection.unblocked.wait()
        lane = session.lane
        frames = publication(
            message,
            to,
            own_user=self._own_user,
            at_s=int(self._now().timestamp()),
            channel=lane.channel,
            frame_bytes=lane.frame_bytes,
        )
        await lane.publish(frames, identity=message.id, taker=taker, timeout_s=PUBLISH_TIMEOUT_S)
