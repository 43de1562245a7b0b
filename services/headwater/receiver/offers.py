"""Publishing with a budget of time, and without a task for each message.

Whoever offers is told once: confirmed, or not within the budget. What is confirmed later does no harm: both ways of a
webhook carry one id.
"""

import asyncio
import contextlib
import logging

from headwater.bus.port import Bus, Message, poster
from headwater.model.clock import Clock
from headwater.model.errors import BusFull, ContractError, HeadwaterError
from headwater.receiver.breaker import Breaker

logger = logging.getLogger("headwater.receiver")
PUBLISH_S = 1.0
MAX_OPEN = 1000
CLOSE_S = 2.0


class Offer:
    """A publish under way; `told` is called once, with whether it was confirmed in time."""

    __slots__ = ("_offers", "due_at", "is_told", "publish")

    def __init__(self) -> None:
        self.is_told = False

    def told(self, is_confirmed: bool) -> None:
        raise NotImplementedError

    def begin(self, offers: "Offers", publish: "asyncio.Future[None]", due_at: float) -> None:
        self._offers = offers
        self.publish = publish
        self.due_at = due_at
        publish.add_done_callback(self._ended)

    def _ended(self, publish: "asyncio.Future[None]") -> None:
        self._offers.ended(self, publish)


class _Asking(Offer):
    """An offer whose answer somebody waits for."""

    __slots__ = ("answer",)

    def __init__(self, answer: "asyncio.Future[bool]") -> None:
        super().__init__()
        self.answer = answer

    def told(self, is_confirmed: bool) -> None:
        if not self.answer.done():
            self.answer.set_result(is_confirmed)


class Offers:
    """The publishes under way, at most `MAX_OPEN`."""

    def __init__(self, bus: Bus, clock: Clock) -> None:
        self._post = poster(bus)
        self._clock = clock
        self._breaker = Breaker()
        self._open: dict[Offer, None] = {}  # in the order of their time
        self._watch: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def offer(self, message: Message, offer: Offer) -> bool:
        """Publish `message`; `offer` is told how that ended. False: it was not tried."""
        breaker = self._breaker
        if len(self._open) >= MAX_OPEN or (breaker.is_open and not breaker.may_try(self._clock.monotonic())):
            return False
        try:
            publish = self._post(message)
        except HeadwaterError as fault:
            _note(fault)
            return False
        loop = self._loop = self._loop or asyncio.get_running_loop()
        due_at = loop.time() + PUBLISH_S
        self._open[offer] = None
        offer.begin(self, publish, due_at)
        if self._watch is None:
            self._watch = loop.call_at(due_at, self._look)
        return True

    def ended(self, offer: Offer, publish: "asyncio.Future[None]") -> None:
        """The bus has answered."""
        del self._open[offer]
        is_confirmed = False
        if not publish.cancelled():
            fault = publish.exception()
            is_confirmed = fault is None
            if fault is not None:
                _note(fault)
        if offer.is_told:
            return
        offer.is_told = True
        if is_confirmed:
            self._breaker.succeeded()
        offer.told(is_confirmed)

    def _look(self) -> None:
        """Tell those whose time is over; look again when the next one's is."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._watch = None
        late: list[Offer] = []
        for offer in self._open:
            if offer.is_told:
                continue
            if offer.due_at > now:
                self._watch = loop.call_at(offer.due_at, self._look)
                break
            self._breaker.failed(self._clock.monotonic())
            offer.is_told = True
            late.append(offer)
        for offer in late:
            offer.told(False)

    async def published(self, message: Message) -> bool:
        """Whether the broker confirmed in time."""
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        return self.offer(message, _Asking(answer)) and await answer

    def abandon(self) -> None:
        """Let go of all: their callers were told that nothing is known, or are gone."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        for offer in list(self._open):
            offer.publish.cancel()

    async def close(self) -> None:
        """Give what is under way 2 s, then let it go."""
        publishes = [offer.publish for offer in self._open]
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
