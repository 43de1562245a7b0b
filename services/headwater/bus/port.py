"""The bus as everyone above sees it: messages, a small port, and the four ways a handler can end.

`publish` returns when broker or database has taken responsibility. A handler never acknowledges: it returns
(done), raises `Later` (again, costs no attempt), `Reject` (dead letter), `Unavailable` (our own means are
away: no attempt, the consumer pauses and probes), or fails in any other way (an attempt is spent; at the
limit the message becomes a dead letter). A handler may run twice, or twice at once, for one message.

An answer is for the whole batch: `Later` delays all of it, at most 120 s; a batch that fails or is rejected
is tried again by halves, so that only the message at fault bears it. A dead letter keeps everything the
message had and says why, where and when in headers (`bus/envelope.py`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import MappingProxyType
from typing import NamedTuple, Protocol, runtime_checkable

MAX_BODY_BYTES = 1024 * 1024 + 64 * 1024  # bodies over 1 MiB travel by reference; the rest is envelope
MAX_ATTEMPTS = 5  # failures of a message's own before it is given up
HELD_BYTES = 64 * MAX_BODY_BYTES  # of bodies that a consumer has in hand


class Message(NamedTuple):
    """One message on the bus. (A tuple, since one is made for every delivery: that takes a third of the time.)

    `type` is the routing key and leads to exactly one queue. `id` is derived by the sender and is the
    idempotency key: a message sent twice carries the same id. `headers` are plain text values. `attempt`
    counts failures of this message's own (0 for a fresh one) and travels in our own header. `redelivered` is
    how often the bus had to hand it out again without an answer (set by the consumer side, never sent).
    `user_id` is the publisher's broker user as verified by the broker, where there is one. `exchange` is
    where to publish when it is not `headwater` (for example `headwater.events`); a message that was consumed
    has the default, over which its type leads back to its queue.
    """

    type: str
    id: str
    body: bytes
    headers: Mapping[str, str] = MappingProxyType({})
    attempt: int = 0
    redelivered: int = 0
    user_id: str | None = None
    exchange: str = "headwater"


Handler = Callable[[Sequence[Message]], Awaitable[None]]


class Bus(Protocol):
    """Where messages go and come from."""

    async def publish(self, message: Message) -> None:
        """Hand `message` over; returns when it is safe.

        Raises: BusUnavailable when the broker is away or did not confirm in time (then whether it was taken
        is unknown), BusFull when the queue's limit refused it, ContractError when no queue takes its type,
        its body is larger than MAX_BODY_BYTES, or its id or headers cannot be carried (texts without NUL,
        names of at most 255 bytes, headers of at most 64 KiB). Messages to `headwater.events` need no taker.
        """
        ...

    def consume(
        self,
        queue: str,
        handler: Handler,
        *,
        prefetch: int = 64,
        batch: int = 1,
        linger_s: float = 0.02,
        concurrency: int = 8,
        held_bytes: int = HELD_BYTES,
    ) -> AbstractAsyncContextManager[None]:
        """Consume while the context is open.

        The handler gets 1 to `batch` messages, waiting at most `linger_s` for the batch to fill, in at most
        `concurrency` calls at once, with at most `prefetch` messages unanswered whose bodies have `held_bytes` and
        a little more at most; a batch has a quarter of that, or one message. On leaving, nothing new is
        taken, running handlers are given up to 30 s to finish (none when cancelled a second time), and the
        rest is given back. Raises: ConfigError for an unknown queue or senseless numbers.
        """
        ...

    async def check(self) -> None:
        """Returns when the bus can take and give messages now; raises BusUnavailable otherwise."""
        ...

    async def depth(self) -> Mapping[str, int]:
        """Messages per queue of the topology (ready and in hand)."""
        ...

    async def close(self) -> None:
        """Close connections; consumers must have been left before."""
        ...


@runtime_checkable
class PostingBus(Protocol):
    """A bus that publishes without a task for each message: for those who publish thousands a second."""

    def post(self, message: Message) -> "asyncio.Future[None]":
        """As `Bus.publish`, whose errors are raised at once or by the future. Cancelling it ends the waiting only."""
        ...


def poster(bus: Bus) -> Callable[[Message], "asyncio.Future[None]"]:
    """How to publish on `bus` and be told later: its own way, else a task that publishes."""
    if isinstance(bus, PostingBus):
        return bus.post
    return lambda message: asyncio.ensure_future(bus.publish(message))
