"""Running services: ground, HTTP port, supervision, and an end in order."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Protocol

from headwater.app.first_key import ensure_first_key
from headwater.app.ground import Ground, Means, find_means, open_ground, prepare_broker, prepare_database
from headwater.app.memory import give_back
from headwater.app.patience import unless
from headwater.app.probes import Probes
from headwater.app.service import Prompt, Routed, Service, Waited, supervise
from headwater.app.services import SERVICES
from headwater.model.errors import Unavailable
from headwater.model.names import DEFAULT_TENANT
from headwater.model.secret import Secret
from headwater.settings import Settings, host_and_port, local_address
from headwater.telemetry.metrics import Metrics

logger = logging.getLogger("headwater.app")
QUIET_LOOKS = 3  # so many looks without anything to do, and --once is done
LOOK_S = 0.3
ONCE_LIMIT_S = 3600.0


class Announcer:
    """Tells people what comes up."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say

    def database(self, means: Means, applied: Sequence[str], data_dir: Path) -> None:
        where = (
            "embedded PostgreSQL" if means.data_folder_is_ours else "PostgreSQL from HEADWATER_DATABASE_URL"
        )
        if means.held_by is not None:
            where += f" of the headwater that runs already (process {means.held_by})"
        bus = "embedded bus (in PostgreSQL)" if means.amqp_url is None else "RabbitMQ"
        news = f", {len(applied)} migration{'s' if len(applied) != 1 else ''} applied" if applied else ""
        self.say(f"  database   {where}{news}")
        if means.data_folder_is_ours:
            self.say(f"  data       {data_dir}")
        self.say(f"  bus        {bus}")
        if means.ui_address is not None:
            from headwater.app.private_rabbitmq import USER  # noqa: PLC0415 - only beside a node of ours

            place = f"{means.ui_address}, user {USER}, password in {means.password_file}"
            self.say(f"             management UI {place}")

    def login(self, address: str, user: str, file: Path) -> None:
        self.say(f"             AMQP {address}, user {user}, password in {file}")

    def services(self, services: Sequence[Service], address: str) -> None:
        self.say(f"  services   {', '.join(service.name for service in services)}")
        names = {service.name for service in services}
        self.say(f"  listening  {address}")
        if "receiver" in names:
            self.say(f"             webhooks  {address}/in/<tenant>/<endpoint>")
        if "control" in names:
            self.say(f"             web UI    {address}/ui/")
            self.say(f"             API       {address}/api/v1/   reference {address}/docs")
        self.say(f"             health    {address}/readyz   metrics {address}/metrics")

    def key(self, key: str) -> None:
        self.say("")
        self.say(f"  first API key (for the web UI and the API, shown this once): {key}")
        self.say("")


class Story(Protocol):
    """What runs beside the services, before the reader's eyes."""

    async def tell(self, ground: Ground, address: str, ending: asyncio.Event) -> None: ...


async def run_services(
    settings: Settings,
    names: Sequence[str],
    ending: asyncio.Event,
    announcer: Announcer,
    *,
    rabbitmq: bool = False,
    may_migrate: bool = False,
    story: Story | None = None,
    once: bool = False,
) -> int:
    """Run the named services until `ending`, which also ends waiting for what is late; gives the exit code."""
    metrics = Metrics()
    async with (
        unless(ending) as is_up,
        find_means(settings, rabbitmq=rabbitmq) as means,
        AsyncExitStack() as stack,
    ):
        may = may_migrate or means.data_folder_is_ours
        applied = await prepare_database(settings, means, may_migrate=may)
        if means.data_folder_is_ours:
            from headwater.app.attach import told_of  # noqa: PLC0415 - only with servers of our own

            stack.enter_context(told_of(settings.data_dir))
        if may_migrate and means.amqp_url is not None:
            await prepare_broker(settings, means.amqp_url)
        announcer.database(means, applied, settings.data_dir)
        if (
            means.management_url is not None
            and means.password_file is not None
            and means.amqp_url is not None
        ):
            from headwater.app.broker_login import ensure_login  # noqa: PLC0415 - only beside a node of ours

            folder = means.password_file.parent
            user, file = await ensure_login(means.management_url, DEFAULT_TENANT, folder)
            announcer.login(_place_of(means.amqp_url), user, file)
        async with open_ground(settings, means, metrics) as ground:
            services = [SERVICES[name](ground) for name in names]
            if "control" in names:
                made = await ensure_first_key(ground.api, settings.admin_key)
                if made is not None:
                    announcer.key(made.text())
            is_up()
            return await _until_the_end(ground, services, ending, announcer, story, once=once)
    return 0


def _place_of(amqp_url: Secret) -> str:
    """Host and port of the address, without its credentials."""
    return amqp_url.text().rpartition("@")[2].partition("/")[0]


async def _until_the_end(
    ground: Ground,
    services: Sequence[Service],
    ending: asyncio.Event,
    announcer: Announcer,
    story: Story | None,
    *,
    once: bool,
) -> int:
    settings = ground.settings
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        try:
            async with AsyncExitStack() as stack:
                port = await stack.enter_async_context(_listening(ground, services))
                for service in services:
                    group.create_task(supervise(service, stop, ground.metrics), name=service.name)
                group.create_task(give_back(stop), name="memory")
                address = f"http://{host_and_port(settings.bind_host, port)}"
                if ground.means.data_folder_is_ours and any(each.name == "control" for each in services):
                    from headwater.app.attach import answering_at  # noqa: PLC0415 - only with servers of our own

                    note = answering_at(settings.data_dir, local_address(settings.bind_host, port))
                    stack.enter_context(note)
                announcer.services(services, address)
                is_telling = any(service.name == "notifier" for service in services)
                await _work(ground, ending, story, address, once=once, is_telling=is_telling)
                for service in services:
                    if isinstance(service, Waited):
                        service.let_go()
        finally:
            stop.set()  # after the port is closed, so that what was accepted is still made safe
    return 0


def _listening(ground: Ground, services: Sequence[Service]) -> AbstractAsyncContextManager[int]:
    """The HTTP port, open while the context is; gives its number. Raises: ConfigError when it is taken."""
    host, port = ground.settings.bind_host, ground.settings.bind_port
    probes = Probes(services, ground.worker, ground.bus, ground.metrics).by_path()
    routed = [service for service in services if isinstance(service, Routed)]
    if not routed:
        from headwater.app.probe_server import serving_probes  # noqa: PLC0415 - only where there are no routes

        return serving_probes(probes, host, port, ground.metrics)
    from headwater.app.server import probe_routes, serving  # noqa: PLC0415 - heavy: only where there are routes

    routes = [*probe_routes(probes), *(route for service in routed for route in service.routes())]
    short = next((service.short_way() for service in services if isinstance(service, Prompt)), None)
    return serving(routes, host, port, ground.metrics, short=short)


async def _work(
    ground: Ground,
    ending: asyncio.Event,
    story: Story | None,
    address: str,
    *,
    once: bool,
    is_telling: bool,
) -> None:
    if once:
        await _first_of(ending.wait(), _until_quiet(ground, is_telling=is_telling))
    elif story is not None:
        await _first_of(ending.wait(), story.tell(ground, address, ending))
        await ending.wait()
    else:
        await ending.wait()


async def _first_of(*works: Awaitable[object]) -> None:
    """Returns when one of the works is done; the others are ended. A fault of one is raised."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _until_quiet(ground: Ground, *, is_telling: bool) -> None:
    """Returns when nothing is due: no message in a queue, nothing owed, no run under way; where a notifier works,
    nobody to be told.
    """
    quiet = 0
    async with asyncio.timeout(ONCE_LIMIT_S):
        while quiet < QUIET_LOOKS:
            await asyncio.sleep(LOOK_S)
            quiet = quiet + 1 if await _is_quiet(ground, is_telling=is_telling) else 0


async def _is_quiet(ground: Ground, *, is_telling: bool) -> bool:
    try:
        depths = await ground.bus.depth()
        waiting = sum(depth for queue, depth in depths.items() if queue != "headwater.dead")
        owed = await ground.worker.fetchval(
            "SELECT (SELECT count(*) FROM outbox WHERE not_before <= clock_timestamp())"
            " + (SELECT count(*) FROM run WHERE state IN ('queued', 'running')"
            " AND (parked_until IS NULL OR parked_until <= clock_timestamp()))"
            " + (SELECT count(*) FROM schedule WHERE state = 'active' AND next_at <= clock_timestamp())"
        )
        if is_telling:
            owed += await ground.worker.fetchval(
                "SELECT (SELECT count(*) FROM happening WHERE planned_at IS NULL)"
                " + (SELECT count(*) FROM notification WHERE state = 'waiting' AND next_at <= clock_timestamp())"
            )
    except Unavailable:
        return False
    return not waiting and not owed
