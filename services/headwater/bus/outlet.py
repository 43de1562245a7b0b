"""Messages to exchanges that are not headwater's own, as everyone above sees them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from headwater.bus.port import Message
from headwater.model.errors import DestinationError, Later
from headwater.model.secret import Secret

Fault = DestinationError | Later | None


@dataclass(frozen=True, slots=True)
class Routed:
    """A message and the routing key it goes by; the message's own type only says what it is."""

    key: str
    message: Message


@dataclass(frozen=True, slots=True)
class Way:
    """The exchange. `mandatory`: some queue must take each message; `declare`: its type, where it is to be made."""

    exchange: str
    mandatory: bool
    declare: str | None


class Outlet(Protocol):
    """One broker, for as long as it is used."""

    async def send(self, way: Way, messages: Sequence[Routed]) -> list[Fault]:
        """What became of each of `messages`: None where the broker has confirmed it.

        Raises: DestinationError for what somebody must mend (the exchange, rights), Later when the broker is away.
        """
        ...

    async def close(self) -> None: ...


OpenOutlet = Callable[[Secret], Outlet]  # raises DestinationError for an address that cannot be
