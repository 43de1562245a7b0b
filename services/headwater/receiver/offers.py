"""Publishing with a budget of time, and without a task for each message.

Whoever offers is told once: confirmed, or not within the budget. What is confirmed later does no harm: both ways of a
webhook carry one id.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass

from headwater.bus.port import Bus, Message, poster
from headwater.model.clock import Clock
from headwater.model.errors import BusFull, ContractError, HeadwaterError
from headwater.receiver.breaker import Breaker

logger = logging.getLogger("headwater.receiver")
PUBLISH_S = 1.0
MAX_OPEN = 1000
CLOSE_S = 2.0
Told = Callable[[bool], None]


@dataclass(slots=True)
class _Offer:
    """A publish under way. `told` is None once it was called."""

    publish: "asyncio.Future[None]"
    told: Told | None
    due_at: float


class Offers:
    """The publishes under way, at most `MAX_OPEN`."""

    def __init__(self, bus: Bus, clock: Clock) -> None:
        self._post = poster(bus)
        self._clock = clock
        self._breaker = Breaker()
        self._open: dict[int, _Offer] = {}  # in the order of their time
        self._count = 0
        self._watch: asyncio.TimerHandle | None = None

    def offer(self, message: Message, told: Told) -> bool:
        """Publish `message`; `told` is called once, with whether it was confirmed in time. False: not tried."""
        if len(self._open) >= MAX_OPEN or not self._breaker.may_try(self._clock.monotonic()):
            return False
        try:
            publish = self._post(message)
        except HeadwaterError as fault:
            _note(fault)
            return False
        loop = asyncio.get_running_loop()
        self._count = number = self._count + 1
        due_at = loop.time() + PUBLISH_S
        self._open[number] = _Offer(publish, told, due_at)
        publish.add_done_callback(lambda _: self._ended(number))
        if self._watch is None:
            self._watch = loop.call_at(due_at, self._look)
        return True

    def _ended(self, number: int) -> None:
        offer = self._open.pop(number)
        publish, told = offer.publish, offer.told
        fault = None if publish.cancelled() else publish.exception()
        is_confirmed = fault is None and not publish.cancelled()
        if fault is not None:
            _note(fault)
        if told is None:
            return
        if is_confirmed:
            self._breaker.succeeded()
        told(is_confirmed)

    def _look(self) -> None:
        """Tell those whose time is over; look again when the next one's is."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._watch = None
        late: list[Told] = []
        for offer in self._open.values():
            if offer.told is None:
                continue
            if offer.due_at > now:
                self._watch = loop.call_at(offer.due_at, self._look)
                break
            self._breaker.failed(self._clock.monotonic())
            late.append(offer.told)
            offer.told = None
        for told in late:
            told(False)

    async def published(self, message: Message) -> bool:
        """Whether the broker confirmed in time."""
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def tell(is_confirmed: bool) -> None:
            if not answer.done():
                answer.set_result(is_confirmed)

        return self.offer(message, tell) and await answer

    def abandon(self) -> None:
        """Let go of all: their callers were told that nothing is known, or are gone."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        for offer in list(self._open.values()):
            offer.publish.cancel()

    async def close(self) -> None:
        """Give what is under way 2 s, then let it go."""
        publishes = [offer.publish for offer in self._open.values()]
        if publishes:
            await asyncio.wait(publishes, timeout=CLOSE_S)
        self.abandon()
        with contextlib.suppress(HeadwaterError):
            await asyncio.gather(*publishes, return_exceptions=True)


def _note(fault: BaseException) -> None:
    if isinstance(fault, ContractError) or not isinstance(fault, HeadwaterError):
        logger.error("a webhook could not be published: %s: %s", type(fault).__name__, fault)
    elif not isinstance(fault, BusFull):
        logger.debug("a webhook goes to the spool: %s", fault)
