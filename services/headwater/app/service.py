"""What every service is to the one who runs it."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from headwater.telemetry.metrics import Metrics

if TYPE_CHECKING:  # a process whose services have no routes does without the framework
    from aiohttp import web

    from headwater.http.short import ShortWay

logger = logging.getLogger("headwater.app")
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_CALM_S = 60.0  # a service that ran this long before it fell starts with the first pause again


class Service(Protocol):
    """One room at work."""

    name: str

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; then finish what is in hand within 30 s."""
        ...

    async def ready(self) -> str | None:
        """None when it can do its work now, else what is missing."""
        ...


@runtime_checkable
class Routed(Protocol):
    """A service with routes on the process's HTTP port."""

    def routes(self) -> "Sequence[web.RouteDef]": ...


@runtime_checkable
class Informative(Protocol):
    """A service that has numbers to tell in `/readyz`, ready or not."""

    name: str

    def facts(self) -> Mapping[str, float | int | None]: ...


@runtime_checkable
class Bridging(Protocol):
    """A service that does its work with the database alone, or with the broker alone, while the other one is away."""

    bridges: bool


@runtime_checkable
class Waited(Protocol):
    """A service whose callers may wait for something: they are let go before the port is closed."""

    def let_go(self) -> None: ...


@runtime_checkable
class Prompt(Protocol):
    """A service that takes plain requests on a short way, besides its routes."""

    def short_way(self) -> "ShortWay": ...


async def supervise(service: Service, stop: asyncio.Event, metrics: Metrics) -> None:
    """Run the service until `stop`; one that falls is started again with back-off."""
    loop = asyncio.get_running_loop()
    pause_s = _FIRST_PAUSE_S
    while not stop.is_set():
        started = loop.time()
        try:
            await service.run(stop)
        except Exception:
            if stop.is_set():
                logger.exception("%s fell while it was stopping", service.name)
                return
            if loop.time() - started > _CALM_S:
                pause_s = _FIRST_PAUSE_S
            logger.exception("%s fell; starting it again in %.1f s", service.name, pause_s)
            metrics.restarts.labels(service.name).inc()
            try:
                async with asyncio.timeout(pause_s):
                    await stop.wait()
            except TimeoutError:
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
