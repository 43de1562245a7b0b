"""Destinations that are exchanges: which one is meant, and messages sent to it and confirmed."""

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headwater.bus.outlet import Fault, OpenOutlet, Outlet, Routed, Way
from headwater.bus.port import Message
from headwater.contracts.destinations import NamedDestination
from headwater.model.errors import DestinationError, HeadwaterError, Later
from headwater.model.secret import Secret
from headwater.persister.addresses import address_of, named
from headwater.plugins.destinations.messages import RECORD_TYPE, Outgoing
from headwater.store import destinations
from headwater.store.bell import wait_any
from headwater.store.database import Database
from headwater.store.destinations import Owed
from headwater.store.keyring import Keyring

logger = logging.getLogger("headwater.persister")
MAX_OPEN = 32  # brokers; the one that was not used for longest is left first
LOOK_S = 1.0  # between two looks for what deliveries owe, where nobody rings
_AT_ONCE = 1000
_AT_ONCE_BYTES = 16 * 1024 * 1024
_TYPE_HEADER = "cloudEvents:type"


@dataclass(frozen=True, slots=True)
class Target:
    """A destination that is an exchange, of a tenant, as it is defined now."""

    tenant: str
    definition: NamedDestination

    @property
    def name(self) -> str:
        return self.definition.name


class Outlets:
    """`amqp_url` is headwater's own broker, where there is one; `opened` makes a connection to any.

    Without `opened` and a key ring nothing can be sent, and whatever is to be fails.
    """

    def __init__(
        self,
        database: Database,
        keyring: Keyring | None = None,
        opened: OpenOutlet | None = None,
        amqp_url: Secret | None = None,
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._opened = opened
        self._amqp_url = amqp_url
        self._open: OrderedDict[bytes, Outlet] = OrderedDict()
        self._owing = asyncio.Event()

    async def targets(self, wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Target]:
        """The exchanges among the destinations (tenant, name); those that are not there are missing."""
        found = await named(self._database, wanted)
        return {of: Target(of[0], one) for of, one in found.items() if one.kind == "amqp"}

    async def target(self, tenant: str, name: str) -> Target:
        """Raises: DestinationError when there is no such exchange any more."""
        found = (await self.targets([(tenant, name)])).get((tenant, name))
        if found is None:
            raise DestinationError(f"destination {name}: it is not there any more, or is no exchange")
        return found

    async def send(self, target: Target, messages: Sequence[Outgoing | Owed]) -> list[Fault]:
        """What became of each message, None where it is confirmed. Raises: DestinationError, Later; both name it."""
        definition = target.definition
        assert definition.exchange is not None  # an amqp destination has one
        way = Way(definition.exchange, definition.mandatory, definition.declare)
        try:
            outlet = await self._outlet(target)
            faults = await outlet.send(way, [_routed(one) for one in messages])
        except Later as error:
            raise Later(error.delay_s, f"destination {target.name}: {error}") from error
        except DestinationError as error:
            raise DestinationError(f"destination {target.name}: {error}") from error
        return faults

    async def _outlet(self, target: Target) -> Outlet:
        url = await self._url(target)
        known = self._open.get(url.reveal())
        if self._opened is None:
            raise DestinationError("this service has no way to a broker")
        if known is None:
            known = self._open[url.reveal()] = self._opened(url)
        self._open.move_to_end(url.reveal())
        while len(self._open) > MAX_OPEN:
            _, idle = self._open.popitem(last=False)
            await idle.close()
        return known

    async def _url(self, target: Target) -> Secret:
        text = target.definition.url
        if text is None:
            if self._amqp_url is None:
                raise DestinationError(
                    "headwater runs without a RabbitMQ: give the destination a `url`, or set HEADWATER_AMQP_URL"
                )
            return self._amqp_url
        return await address_of(self._database, self._keyring, target.tenant, text)

    def ring(self) -> None:
        """Something is owed now."""
        self._owing.set()

    async def keep_sending(self, stop: asyncio.Event) -> None:
        """Send what deliveries owe until `stop` is set. What cannot be sent now is tried again with back-off."""
        while not stop.is_set():
            self._owing.clear()
            try:
                has_more = await self.send_owed()
            except HeadwaterError as error:
                logger.debug("what deliveries owe waits: %s", error)
                has_more = False
            if not has_more:
                await wait_any(LOOK_S, self._owing, stop)

    async def send_owed(self) -> bool:
        """One round over all destinations; True when there may be more."""
        async with self._database.connection() as connection:
            rows = await destinations.owing(connection)
        found = await asyncio.gather(*(self._send_owed_to(row) for row in rows))
        return any(found)

    async def _send_owed_to(self, row: Mapping[str, Any]) -> bool:
        target = Target(row["tenant"], NamedDestination.model_validate(row["definition"]))
        async with self._database.transaction() as connection:
            owed = await destinations.claim(connection, target.tenant, target.name, _AT_ONCE, _AT_ONCE_BYTES)
            if not owed:
                return False
            sent, trouble = await self._tried(target, owed)
            await destinations.sent(connection, sent)
            if trouble is None:
                await destinations.well(connection, target.tenant, target.name)
            else:
                await destinations.troubled(connection, target.tenant, target.name, trouble)
        if trouble is not None:
            logger.warning("tenant %s: %s", target.tenant, trouble)
        return trouble is None and len(owed) == _AT_ONCE

    async def _tried(self, target: Target, owed: Sequence[Owed]) -> tuple[list[Any], str | None]:
        """Which messages are confirmed, and what stood in the way of the others."""
        try:
            if target.definition.kind != "amqp":
                raise DestinationError(f"destination {target.name}: it is no exchange any more")
            faults = await self.send(target, owed)
        except (DestinationError, Later) as error:
            return [], str(error)
        sent = [one.id for one, fault in zip(owed, faults, strict=True) if fault is None]
        first = next((fault for fault in faults if fault is not None), None)
        return sent, None if first is None else f"destination {target.name}: {first}"

    async def close(self) -> None:
        """End all connections."""
        opened, self._open = self._open, OrderedDict()
        for outlet in opened.values():
            with contextlib.suppress(HeadwaterError):
                await outlet.close()


def _routed(one: Outgoing | Owed) -> Routed:
    kind = one.headers.get(_TYPE_HEADER, RECORD_TYPE)
    return Routed(one.routing_key, Message(kind, str(one.id), one.body, one.headers))
