"""What a process tells of itself: liveness, readiness, metrics."""

import asyncio
import errno
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import orjson

from headwater.app.service import Bridging, Informative, Service
from headwater.bus.port import Bus
from headwater.model.errors import ConfigError, Unavailable
from headwater.settings import host_and_port
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
Check = Callable[[], Awaitable[str | None]]
CHECK_S = 2.0  # who asks gives up not much later


class Probes:
    """The probes of these services and of the means they share."""

    def __init__(self, services: Sequence[Service], database: Database, bus: Bus, metrics: Metrics) -> None:
        self._services = services
        self._database = database
        self._bus = bus
        self._metrics = metrics
        self._asked: dict[str, asyncio.Task[str | None]] = {}

    def by_path(self) -> Mapping[str, Probe]:
        return {"/healthz": self.live, "/readyz": self.ready, "/metrics": self.metrics}

    async def live(self) -> Told:
        return Told(orjson.dumps({"status": "ok"}))

    async def ready(self) -> Told:
        services = {service.name: service.ready for service in self._services}
        means = {"database": self._database.check, "bus": self._bus.check}
        missing = await self._missing({**services, **means})
        checks = {name: fault or "ok" for name, fault in missing.items()}
        is_ready = all(missing[name] is None for name in services) and self._has_means(
            [missing[name] is None for name in means]
        )
        facts = {each.name: each.facts() for each in self._services if isinstance(each, Informative)}
        told = {
            "status": "ok" if is_ready else "not ready",
            "checks": checks,
            **({"facts": facts} if facts else {}),
        }
        return Told(orjson.dumps(told), 200 if is_ready else 503)

    def _has_means(self, at_hand: Sequence[bool]) -> bool:
        """Whether the process can do its work: with one of its means, if all of its services can."""
        bridges = bool(self._services) and all(isinstance(each, Bridging) for each in self._services)
        return any(at_hand) if bridges else all(at_hand)

    async def _missing(self, checks: Mapping[str, Check]) -> dict[str, str | None]:
        """What each check says is missing. All are asked at once; one that does not answer is not asked once more."""
        tasks = {name: self._asked.get(name) or self._ask(name, check) for name, check in checks.items()}
        await asyncio.wait(tasks.values(), timeout=CHECK_S)
        late = f"no answer within {CHECK_S:g} s"
        return {name: task.result() if task.done() else late for name, task in tasks.items()}

    def _ask(self, name: str, check: Check) -> "asyncio.Task[str | None]":
        task = self._asked[name] = asyncio.create_task(_fault(check), name=f"probe.{name}")
        task.add_done_callback(lambda _: self._asked.pop(name, None))
        return task

    async def metrics(self) -> Told:
        try:
            for queue, depth in (await self._bus.depth()).items():
                self._metrics.queue.labels(queue).set(depth)
        except Unavailable:
            logger.debug("queue depths are not at hand")
        return Told(self._metrics.render(), content_type="text/plain; version=0.0.4; charset=utf-8")


async def _fault(check: Check) -> str | None:
    try:
        return await check()
    except Unavailable as error:
        return str(error)


def cannot_listen(host: str, port: int, error: OSError) -> ConfigError:
    """Why the port could not be opened, and the mend."""
    if error.errno == errno.EADDRINUSE:
        return ConfigError(
            f"port {port} of {host} is taken by another program; choose another with "
            f"HEADWATER_BIND={host_and_port(host, port + 1)} (0 picks a free one)"
        )
    return ConfigError(
        f"cannot listen on {host_and_port(host, port)}: {error.strerror}; set HEADWATER_BIND=host:port"
    )
