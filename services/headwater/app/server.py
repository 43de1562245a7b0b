"""The one HTTP port of a process: the services' routes, `/healthz`, `/readyz`, `/metrics`."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from aiohttp import web

from headwater.app.listeners import BACKLOG, every_address
from headwater.app.probes import Probe, cannot_listen
from headwater.http.incoming import HEAD_S, Guard, GuardedRunner
from headwater.http.short import ShortWay
from headwater.telemetry.metrics import Metrics

MAX_BODY_BYTES = 32 * 1024 * 1024  # rooms read within limits of their own


def probe_routes(probes: Mapping[str, Probe]) -> list[web.RouteDef]:
    """The probes as routes beside those of the services."""
    return [web.get(path, _handler(probe)) for path, probe in probes.items()]


def _handler(probe: Probe) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(_: web.Request) -> web.Response:
        told = await probe()
        return web.Response(status=told.status, body=told.body, headers={"Content-Type": told.content_type})

    return handle


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
        try:
            own = every_address(host, port)
            site = (
                web.TCPSite(runner, host, port, backlog=BACKLOG) if own is None else web.SockSite(runner, own)
            )
            await site.start()
        except OSError as error:
            raise cannot_listen(host, port, error) from error
        yield _port_of(runner, port)
    finally:
        watch.cancel()
        await runner.cleanup()


def _port_of(runner: web.AppRunner, port: int) -> int:
    address = runner.addresses[0] if runner.addresses else None
    return int(address[1]) if isinstance(address, tuple) else port
