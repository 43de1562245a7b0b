"""What a process tells of itself: liveness, readiness, metrics."""

import errno
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import orjson

from headwater.app.service import Informative, Service
from headwater.bus.port import Bus
from headwater.model.errors import ConfigError, Unavailable
from headwater.store.database import Database
from headwater.telemetry.metrics import Metrics

logger = logging.getLogger("headwater.app")


@dataclass(frozen=True, slots=True)
class Told:
    """An answer to a probe."""

    body: bytes
    status: int = 200
    content_type: str = "application/json"


Probe = Callable[[], Awaitable[Told]]


class Probes:
    """The probes of these services and of the means they share."""

    def __init__(self, services: Sequence[Service], database: Database, bus: Bus, metrics: Metrics) -> None:
        self._services = services
        self._database = database
        self._bus = bus
        self._metrics = metrics

    def by_path(self) -> Mapping[str, Probe]:
        return {"/healthz": self.live, "/readyz": self.ready, "/metrics": self.metrics}

    async def live(self) -> Told:
        return Told(orjson.dumps({"status": "ok"}))

    async def ready(self) -> Told:
        missing = {service.name: await service.ready() for service in self._services}
        missing["database"] = await _fault(self._database.check)
        missing["bus"] = await _fault(self._bus.check)
        faults = {name: fault for name, fault in missing.items() if fault is not None}
        checks = {name: fault or "ok" for name, fault in missing.items()}
        status = "ok" if not faults else "not ready"
        facts = {each.name: each.facts() for each in self._services if isinstance(each, Informative)}
        told = {"status": status, "checks": checks, **({"facts": facts} if facts else {})}
        return Told(orjson.dumps(told), 200 if not faults else 503)

    async def metrics(self) -> Told:
        try:
            for queue, depth in (await self._bus.depth()).items():
                self._metrics.queue.labels(queue).set(depth)
        except Unavailable:
            logger.debug("queue depths are not at hand")
        return Told(self._metrics.render(), content_type="text/plain; version=0.0.4; charset=utf-8")


async def _fault(check: Callable[[], Awaitable[None]]) -> str | None:
    try:
        await check()
    except Unavailable as error:
        return str(error)
    return None


def cannot_listen(host: str, port: int, error: OSError) -> ConfigError:
    """Why the port could not be opened, and the mend."""
    if error.errno == errno.EADDRINUSE:
        return ConfigError(
            f"port {port} of {host} is taken by another program; choose another with "
            f"HEADWATER_BIND={host}:{port + 1} (0 picks a free one)"
        )
    return ConfigError(f"cannot listen on {host}:{port}: {error.strerror}; set HEADWATER_BIND=host:port")
