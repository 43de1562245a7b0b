"""The one HTTP port of a process: the services' routes, `/healthz`, `/readyz`, `/metrics`."""

import asyncio
import errno
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import orjson
from aiohttp import web

from headwater.app.service import Informative, Service
from headwater.bus.port import Bus
from headwater.http.incoming import HEAD_S, Guard, GuardedRunner
from headwater.http.short import ShortWay
from headwater.model.errors import ConfigError, Unavailable
from headwater.store.database import Database
from headwater.telemetry.metrics import Metrics

logger = logging.getLogger("headwater.app")
MAX_BODY_BYTES = 32 * 1024 * 1024  # rooms read within limits of their own


class Probes:
    """Liveness, readiness, metrics."""

    def __init__(self, services: Sequence[Service], database: Database, bus: Bus, metrics: Metrics) -> None:
        self._services = services
        self._database = database
        self._bus = bus
        self._metrics = metrics

    async def live(self, _: web.Request) -> web.Response:
        return _json({"status": "ok"})

    async def ready(self, _: web.Request) -> web.Response:
        missing = {service.name: await service.ready() for service in self._services}
        missing["database"] = await _fault(self._database.check)
        missing["bus"] = await _fault(self._bus.check)
        faults = {name: fault for name, fault in missing.items() if fault is not None}
        checks = {name: fault or "ok" for name, fault in missing.items()}
        status = "ok" if not faults else "not ready"
        facts = {each.name: each.facts() for each in self._services if isinstance(each, Informative)}
        told = {"status": status, "checks": checks, **({"facts": facts} if facts else {})}
        return _json(told, 200 if not faults else 503)

    async def metrics(self, _: web.Request) -> web.Response:
        try:
            for queue, depth in (await self._bus.depth()).items():
                self._metrics.queue.labels(queue).set(depth)
        except Unavailable:
            logger.debug("queue depths are not at hand")
        return web.Response(
            body=self._metrics.render(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/healthz", self.live),
            web.get("/readyz", self.ready),
            web.get("/metrics", self.metrics),
        ]


async def _fault(check: object) -> str | None:
    try:
        await check()  # type: ignore[operator]  # a bound coroutine function
    except Unavailable as error:
        return str(error)
    return None


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(value), content_type="application/json")


@asynccontextmanager
async def serving(
    routes: Sequence[web.RouteDef],
    host: str,
    port: int,
    metrics: Metrics | None = None,
    *,
    head_s: float = HEAD_S,
    short: ShortWay | None = None,
) -> AsyncIterator[int]:
    """Serve while the context is open; gives the port. A request's head must be there within `head_s` seconds.

    Plain requests may take the `short` way.

    Raises: ConfigError when the port is taken.
    """
    application = web.Application(client_max_size=MAX_BODY_BYTES)
    application.add_routes(routes)
    guard = Guard(
        lambda fault: metrics.malformed.labels(fault).inc() if metrics is not None else None, head_s=head_s
    )
    runner = GuardedRunner(application, guard, shutdown_timeout=10.0, short=short)
    await runner.setup()
    watch = asyncio.create_task(guard.watch(), name="http.guard")
    try:
        site = web.TCPSite(runner, host, port, backlog=1024)
        try:
            await site.start()
        except OSError as error:
            raise ConfigError(_why_not(host, port, error)) from error
        yield _port_of(runner, port)
    finally:
        watch.cancel()
        await runner.cleanup()


def _port_of(runner: web.AppRunner, port: int) -> int:
    address = runner.addresses[0] if runner.addresses else None
    return int(address[1]) if isinstance(address, tuple) else port


def _why_not(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} of {host} is taken by another program; choose another with "
            f"HEADWATER_BIND={host}:{port + 1} (0 picks a free one)"
        )
    return f"cannot listen on {host}:{port}: {error.strerror}; set HEADWATER_BIND=host:port"
