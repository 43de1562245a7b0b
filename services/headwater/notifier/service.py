"""The notifier as a service: what happened goes out to those who subscribed."""

import asyncio
from collections.abc import Sequence

from aiohttp import web

from headwater.bus.port import Bus, Message
from headwater.bus.wire import from_message
from headwater.contracts.messages import RunFinished
from headwater.model.errors import Unavailable
from headwater.notifier.events import event_of
from headwater.telemetry.metrics import Metrics

QUEUE = "headwater.run.finished"


class Notifier:
    """Tells of every final run, once or more with one id."""

    name = "notifier"

    def __init__(self, bus: Bus, metrics: Metrics) -> None:
        self._bus = bus
        self._metrics = metrics

    def routes(self) -> Sequence[web.RouteDef]:
        """It has none."""
        return ()

    async def ready(self) -> str | None:
        """None when the bus takes events, else what is missing."""
        try:
            await self._bus.check()
        except Unavailable as error:
            return str(error)
        return None

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set."""
        async with self._bus.consume(QUEUE, self._handle):
            await stop.wait()

    async def _handle(self, messages: Sequence[Message]) -> None:
        for message in messages:
            await self._bus.publish(event_of(from_message(RunFinished, message), message.id))
