"""The ground that services stand on: database, bus, keys. Chosen here, known nowhere else; what was not chosen is not
imported, so that a process does not hold it.
"""
# ruff: noqa: PLC0415

import logging
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from headwater.app.clock import SystemClock
from headwater.app.keeping import inherited, kept
from headwater.app.patience import Unreachable, until_there
from headwater.bus.port import Bus
from headwater.model.clock import Clock
from headwater.model.secret import Secret
from headwater.settings import Settings
from headwater.store.bell import Bell
from headwater.store.database import ACQUIRE_TIMEOUT_S, API_WAIT_S, Database
from headwater.store.keyring import Keyring, key_from_file
from headwater.store.migrate import NotMigrated, is_current, migrate
from headwater.telemetry.metrics import Metrics

logger = logging.getLogger("headwater.app")
BUS_CONNECTIONS = 20  # four to publish, one for each consumer, and room
_BROKER_ATTEMPT_S = 2.0
_DATABASE = "the embedded database"
_BROKER = "the private RabbitMQ"
_DATABASE_MEND = "check HEADWATER_DATABASE_URL, or unset it for the embedded database"
_BROKER_MEND = "check HEADWATER_AMQP_URL, or unset it for the embedded bus"


@dataclass(frozen=True, slots=True)
class Means:
    """Where database and broker are; `management_url` only where RabbitMQ's management is at hand.

    `held_by` is the process that runs the embedded database, where that is not ours.
    """

    database_url: Secret
    amqp_url: Secret | None
    management_url: Secret | None
    data_folder_is_ours: bool
    ui_address: str | None = None
    password_file: Path | None = None
    held_by: str | None = None


@dataclass(frozen=True, slots=True)
class Ground:
    """What services are made of. `worker`, `api` and `spool` are pools under their roles."""

    settings: Settings
    means: Means
    worker: Database
    api: Database
    spool: Database
    bus: Bus
    bell: Bell
    keyring: Keyring
    clock: Clock
    metrics: Metrics


@asynccontextmanager
async def find_means(
    settings: Settings, *, rabbitmq: bool = False, is_brief: bool = False
) -> AsyncIterator[Means]:
    """The database and broker that the settings name, those of a headwater that runs on the same data folder, or
    private ones that live as long as the context. Raises: ConfigError.

    `is_brief`: a command asks, which takes turns with others that have nothing but the folder.
    """
    async with AsyncExitStack() as stack:
        amqp, management = settings.amqp_url, settings.management_url
        ui: str | None = None
        password: Path | None = None
        if rabbitmq and amqp is None:
            from headwater.app.private_rabbitmq import PrivateRabbit

            node = await stack.enter_async_context(PrivateRabbit(settings.data_dir / "rabbitmq"))
            await stack.enter_async_context(kept(node, _BROKER))
            amqp, management = Secret.of(node.amqp_url), Secret.of(node.management_url)
            ui, password = node.ui_address, node.password_file
        url, held_by = settings.database_url, None
        if url is None:
            from headwater.app.attach import running_broker

            url, held_by = await _own_database(settings, stack, is_brief=is_brief)
            broker = None if held_by is None or amqp is not None else running_broker(settings.data_dir)
            if broker is not None:
                amqp, management = broker.amqp_url, management or broker.management_url
                if not is_brief:
                    await _inherit_broker(settings.data_dir / "rabbitmq", stack)
        yield Means(
            url,
            amqp,
            management,
            data_folder_is_ours=settings.database_url is None,
            ui_address=ui,
            password_file=password,
            held_by=held_by,
        )


async def _own_database(
    settings: Settings, stack: AsyncExitStack, *, is_brief: bool
) -> tuple[Secret, str | None]:
    """The address of the data folder's database, and the process that runs it where that is not ours."""
    from headwater.app.attach import holder_of, is_held, until_it_runs
    from headwater.app.embedded import EmbeddedPostgres
    from headwater.app.postgres_folder import FolderInUseError
    from headwater.app.sharing import Share

    folder = settings.data_dir / "postgres"
    share = Share(folder)
    stack.callback(share.close)
    deadline = time.monotonic() + settings.start_timeout_s
    while True:
        if is_brief:
            await share.begin(settings.start_timeout_s)
        url = await until_it_runs(folder, settings.start_timeout_s)
        embedded = EmbeddedPostgres(folder)
        if url is not None:
            if not is_brief:  # who runs it may end before we do, or be about to
                heir = inherited(embedded, _DATABASE, partial(is_held, folder))
                await stack.enter_async_context(heir)
            return url, holder_of(folder)
        try:
            await stack.enter_async_context(embedded)
        except FolderInUseError:
            if time.monotonic() > deadline:
                raise
            share.pause()  # somebody was quicker: their database is as good
        else:
            if is_brief:
                await share.begin(settings.start_timeout_s)
                stack.push_async_callback(share.alone)
            await stack.enter_async_context(kept(embedded, _DATABASE))
            return Secret.of(embedded.url), None


async def _inherit_broker(folder: Path, stack: AsyncExitStack) -> None:
    from headwater.app.attach import is_held
    from headwater.app.private_rabbitmq import PrivateRabbit

    heir = inherited(PrivateRabbit(folder, has_clients=True), _BROKER, partial(is_held, folder))
    await stack.enter_async_context(heir)


def has_broker(settings: Settings) -> bool | None:
    """Whether headwater runs on a RabbitMQ, as far as the settings tell; None: it may be elsewhere."""
    if settings.amqp_url is not None or (settings.data_dir / "rabbitmq").exists():
        return True
    return None if settings.database_url is not None else False


def keyring_for(settings: Settings, means: Means) -> Keyring:
    """The key ring of the settings, or the one kept in the data folder. Raises: ConfigError.

    With a database of its own, a key that only this machine has is told of: another machine cannot open what
    it seals.
    """
    if settings.secret_key is not None:
        return Keyring.of(settings.secret_key)
    file = settings.data_dir / "secret.key"
    if not means.data_folder_is_ours:
        logger.warning(
            "HEADWATER_SECRET_KEY is not set: secrets are sealed with the key in %s; give every service the same "
            "key, and keep a copy of it",
            file,
        )
    return Keyring.of(key_from_file(file))


async def prepare_database(
    settings: Settings, means: Means, *, may_migrate: bool, wait_s: float | None = None
) -> list[str]:
    """Wait for the database; bring it to this version, or wait until somebody has. Gives what was applied.

    `wait_s`: for how long, where it is not the settings' `start_timeout_s`; 0 asks once.
    Raises: Unreachable, MigrationError, ConfigError.
    """

    async def attempt() -> list[str]:
        if may_migrate:
            return await migrate(means.database_url.text())
        await is_current(means.database_url.text())
        return []

    if wait_s is None:
        wait_s = settings.start_timeout_s
    try:
        return await until_there(
            "the database", attempt, timeout_s=wait_s, clock=SystemClock(), mend=_DATABASE_MEND
        )
    except Unreachable as error:
        if isinstance(error.__cause__, NotMigrated):
            still = f"after {wait_s:g} s " if wait_s else ""
            raise Unreachable(f"the database is there, but {still}{error.__cause__}") from error.__cause__
        raise


async def prepare_broker(settings: Settings, amqp_url: Secret) -> None:
    """Wait for the broker and declare what it lacks of the topology. Raises: Unreachable, ConfigError."""
    from headwater.bus.rabbitmq import apply_topology

    async def attempt() -> None:
        await apply_topology(amqp_url)

    await until_there(
        "the broker", attempt, timeout_s=settings.start_timeout_s, clock=SystemClock(), mend=_BROKER_MEND
    )


@asynccontextmanager
async def open_ground(settings: Settings, means: Means, metrics: Metrics) -> AsyncIterator[Ground]:
    """Pools and bus, connected. The database is migrated already. Raises: Unreachable, ConfigError."""
    clock = SystemClock()
    keyring = keyring_for(settings, means)
    url = means.database_url
    async with AsyncExitStack() as stack:
        pools = []
        for role, size, wait_s in (
            ("headwater_worker", 10, ACQUIRE_TIMEOUT_S),
            ("headwater_api", 4, API_WAIT_S),
            ("headwater_worker", 4, ACQUIRE_TIMEOUT_S),
        ):
            pool = Database(url, role, size=size, wait_s=wait_s)
            await until_there(
                "the database",
                pool.open,
                timeout_s=settings.start_timeout_s,
                clock=clock,
                mend=_DATABASE_MEND,
            )
            stack.push_async_callback(pool.close)
            pools.append(pool)
        worker, api, spool = pools
        bus = await open_bus(settings, means, stack)
        bell = await stack.enter_async_context(Bell(worker).running())
        yield Ground(settings, means, worker, api, spool, bus, bell, keyring, clock, metrics)


async def open_bus(settings: Settings, means: Means, stack: AsyncExitStack) -> Bus:
    """The bus of the settings, closed with `stack`. Raises: Unreachable, ConfigError."""
    if means.amqp_url is None:
        from headwater.bus.postgres import PostgresBus

        own = Database(means.database_url, "headwater_worker", size=BUS_CONNECTIONS)
        await own.open()
        stack.push_async_callback(own.close)
        embedded = PostgresBus(own.pool)
        await embedded.open()
        stack.push_async_callback(embedded.close)
        return embedded
    from headwater.bus.rabbitmq import RabbitBus

    rabbit = RabbitBus(means.amqp_url)

    async def attempt() -> None:
        await rabbit.open(_BROKER_ATTEMPT_S)

    await until_there(
        "the broker", attempt, timeout_s=settings.start_timeout_s, clock=SystemClock(), mend=_BROKER_MEND
    )
    stack.push_async_callback(rabbit.close)
    return rabbit
