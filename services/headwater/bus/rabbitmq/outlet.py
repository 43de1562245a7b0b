"""Messages to exchanges that are not headwater's own: over a connection of its own, so that what goes wrong there
is told there alone.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import aio_pika
from aio_pika.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed
from aiormq.exceptions import ChannelAccessRefused

from headwater.bus.envelope import fault_of
from headwater.bus.outlet import Fault, Routed, Way
from headwater.bus.rabbitmq.link import Connection, faults_are_unavailable, parse_url, place
from headwater.bus.rabbitmq.publisher import Publisher
from headwater.model.errors import BusUnavailable, ConfigError, ContractError, DestinationError, Later
from headwater.model.secret import Secret

ARRIVAL_S = 5.0  # how long a broker may take to let us in
RPC_TIMEOUT_S = 5.0
AWAY_S = 5.0  # until a broker that is away is asked again
_AT_ONCE_BYTES = 8 * 1024 * 1024  # in flight; much below what the publisher bears
_AT_ONCE = 2000


class RabbitOutlet:
    """An `Outlet` over RabbitMQ. Raises: DestinationError for an address that cannot be."""

    def __init__(self, url: Secret, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        try:
            user = parse_url(url).user or "guest"
        except (ConfigError, ValueError) as error:
            raise DestinationError(
                "its url is no AMQP address: write amqp://user:password@host:port/vhost (or amqps)"
            ) from error
        self._place = place(url)
        self._publisher = Publisher(url, user, now)
        self._checked: tuple[Connection, set[Way]] | None = None

    async def send(self, way: Way, messages: Sequence[Routed]) -> list[Fault]:
        """See `Outlet.send`."""
        await self._ready(way)
        faults: list[Fault] = []
        for part in _parts(messages):
            faults += await asyncio.gather(*(self._one(way, routed) for routed in part))
        return faults

    async def _ready(self, way: Way) -> None:
        """The connection is there, and on it the exchange."""
        try:
            await self._publisher.link.open(ARRIVAL_S)
            connection = self._publisher.link.session.connection
            if self._checked is None or self._checked[0] is not connection:
                self._checked = connection, set()
            if way not in self._checked[1]:
                await self._look(connection, way)
                self._checked[1].add(way)
        except BusUnavailable as error:
            raise _away(error) from error

    async def _look(self, connection: Connection, way: Way) -> None:
        try:
            async with faults_are_unavailable(), connection.channel() as channel:
                if way.declare is None:
                    await channel.declare_exchange(way.exchange, passive=True, timeout=RPC_TIMEOUT_S)
                else:
                    kind = aio_pika.ExchangeType(way.declare)
                    await channel.declare_exchange(way.exchange, kind, durable=True, timeout=RPC_TIMEOUT_S)
        except BusUnavailable as error:
            cause = error.__cause__
            if isinstance(cause, ChannelNotFoundEntity):
                raise DestinationError(
                    f"the broker at {self._place} has no exchange {way.exchange!r}: declare it there, or give the "
                    "destination `declare: topic`"
                ) from error
            if isinstance(cause, ChannelPreconditionFailed):
                raise DestinationError(
                    f"exchange {way.exchange!r} is there with another type than {way.declare}, or not durable: leave "
                    "out `declare`, or correct it"
                ) from error
            if isinstance(cause, ChannelAccessRefused):
                raise DestinationError(self._refused(way)) from error
            raise

    async def _one(self, way: Way, routed: Routed) -> Fault:
        fault = fault_of(routed.message)
        if fault is not None:
            return DestinationError(f"a message cannot be sent: {fault}")
        try:
            await self._publisher.send(
                routed.message, way.exchange, routed.key, queue=way.exchange if way.mandatory else None
            )
        except BusUnavailable as error:
            if "ACCESS_REFUSED" in str(error):
                return DestinationError(self._refused(way))
            return _away(error)
        except Later as error:
            return Later(
                error.delay_s, f"the broker refused a message to exchange {way.exchange!r} (a full queue?)"
            )
        except ContractError:
            return DestinationError(
                f"no queue takes routing key {routed.key!r} from exchange {way.exchange!r}: bind one, or set "
                "`mandatory: false`"
            )
        return None

    def _refused(self, way: Way) -> str:
        return f"the user of the broker at {self._place} may not use exchange {way.exchange!r}: give it the right"

    async def close(self) -> None:
        await self._publisher.link.close()


def _away(error: BusUnavailable) -> Later:
    return Later(AWAY_S, str(error).partition("; start it")[0])


def _parts(messages: Sequence[Routed]) -> list[list[Routed]]:
    """The messages in parts that may be in flight together."""
    parts: list[list[Routed]] = []
    size = _AT_ONCE_BYTES
    for routed in messages:
        size += len(routed.message.body)
        if size > _AT_ONCE_BYTES or len(parts[-1]) >= _AT_ONCE:
            parts.append([])
            size = len(routed.message.body)
        parts[-1].append(routed)
    return parts
