"""The pool, and the one place where faults of the database become `Unavailable`.

A service's connections act under its role; the time-outs bound every wait, so that a black hole in the network
costs seconds, not the service.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from headwater.contracts import codec
from headwater.model.errors import ConfigError, Unavailable
from headwater.model.secret import Secret

COMMAND_TIMEOUT_S = 10
CONNECT_TIMEOUT_S = 5
COPY_S = (
    11.0  # > `COMMAND_TIMEOUT_S`, which ends a COPY in order unless it waits for the network to take more
)
ACQUIRE_TIMEOUT_S = 2
API_WAIT_S = (
    6  # > `lock_timeout`: changes of schedules that wait for a herd may have every connection of the API
)
WORKER = "headwater_worker"
_SERVER_SETTINGS = {
    "application_name": "headwater",
    "statement_timeout": "30000",
    "idle_in_transaction_session_timeout": "60000",
    "lock_timeout": "5000",
    "search_path": "headwater, pg_temp",
    "jit": "off",
    "timezone": "UTC",
}
# Services send the same few statements again and again, each by a full key. Planned anew for each use, over a partition
# for each day that is kept, they take longer to plan than to run.
_PLANNED_ONCE = {"plan_cache_mode": "force_generic_plan"}

# What the database's own trouble looks like. The message that met it is innocent: it spends no attempt.
_OURS = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
    asyncpg.LockNotAvailableError,
    asyncpg.CannotConnectNowError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.PostgresIOError,
    asyncpg.InvalidCatalogNameError,
)


@asynccontextmanager
async def faults_are_unavailable() -> AsyncIterator[None]:
    """Raises: Unavailable in place of a fault of the database itself, ConfigError for an address that is none."""
    try:
        yield
    except asyncpg.exceptions.ClientConfigurationError as error:
        raise ConfigError(
            f"HEADWATER_DATABASE_URL: {error}; give postgresql://user:password@host:port/database"
        ) from error
    except (asyncpg.exceptions.InterfaceWarning, asyncpg.exceptions.UnsupportedClientFeatureError):
        raise
    except _OURS as error:
        if _stands_for_cancellation(error):
            raise asyncio.CancelledError from error
        said = " ".join(str(error).split())  # PostgreSQL's details stand on lines of their own
        raise Unavailable(f"the database is not at hand: {type(error).__name__}: {said}") from error


def _stands_for_cancellation(error: BaseException) -> bool:
    """Whether the fault came from giving a broken connection back while the task was being cancelled."""
    task = asyncio.current_task()
    if task is None or not task.cancelling():
        return False
    context = error.__context__
    while context is not None and not isinstance(context, asyncio.CancelledError):
        context = context.__context__
    return context is not None


async def _set_up(connection: asyncpg.Connection) -> None:
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda value: b"\x01" + codec.dumps(value),
        decoder=lambda raw: codec.loads(bytes(raw[1:])),
        format="binary",
    )


class _Connection(asyncpg.Connection):  # type: ignore[misc]  # the library says nothing of its types
    """A connection whose COPY ends when the connection does. The client waits until the network takes more, by no
    clock, and nobody wakes it when that is never.
    """

    copy_s = COPY_S

    async def copy_to_table(self, *args: Any, **options: Any) -> str:
        """As the client's. Raises: TimeoutError also when the connection is lost on the way, which then is closed."""
        loop = asyncio.get_running_loop()
        bound = asyncio.timeout(self.copy_s)

        def end_now(_: object) -> None:
            if not bound.expired():
                bound.reschedule(loop.time())

        try:
            async with bound:
                self.add_termination_listener(end_now)
                try:
                    return str(await super().copy_to_table(*args, **options))
                finally:
                    self.remove_termination_listener(end_now)
        except Exception as error:
            if not bound.expired():
                raise
            self.terminate()
            raise TimeoutError("COPY came to no end") from error


async def _as_it_was(_: asyncpg.Connection) -> None:
    """Nothing to reset: settings, roles, locks and temporary tables are made to end with their transaction (SET LOCAL,
    `pg_advisory_xact_lock`, ON COMMIT DROP), and one left open is rolled back before this. A reset query would be one
    more round trip for each use of a connection.
    """


class Database:
    """A pool of connections under one role. `wait_s`: how long at most for one of them while all are in use; `copy_s`:
    how long a COPY may take at most.
    """

    def __init__(
        self,
        url: Secret,
        role: str | None,
        *,
        size: int = 8,
        wait_s: float = ACQUIRE_TIMEOUT_S,
        copy_s: float = COPY_S,
    ) -> None:
        """Without a `role` it is somebody else's database: used as the user of `url`, and left while it is idle."""
        self._wait_s = wait_s
        self._copy_s = copy_s
        self._url = url
        self._least = 0 if role is None else 1
        self._settings = _SERVER_SETTINGS | ({"search_path": "pg_temp"} if role is None else {"role": role})
        self._settings |= _PLANNED_ONCE if role == WORKER else {}
        self._size = size
        self._pool: asyncpg.Pool | None = None

    async def open(self) -> None:
        """Connect. Raises: Unavailable when the database cannot be reached."""
        if self._pool is not None:
            return
        async with faults_are_unavailable():
            self._pool = await asyncpg.create_pool(
                self._url.text(),
                min_size=self._least,
                max_size=self._size,
                timeout=CONNECT_TIMEOUT_S,
                command_timeout=COMMAND_TIMEOUT_S,
                max_inactive_connection_lifetime=300,
                init=_set_up,
                connection_class=type("Connection", (_Connection,), {"copy_s": self._copy_s}),
                reset=_as_it_was,
                server_settings=self._settings,
            )

    async def close(self) -> None:
        """Close every connection, cutting those that do not end within 5 s."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            async with asyncio.timeout(5):
                await pool.close()
        except TimeoutError:
            pool.terminate()

    @property
    def pool(self) -> asyncpg.Pool:
        if self._pool is None:
            raise Unavailable("the database is not open")
        return self._pool

    @property
    def is_all_in_use(self) -> bool:
        """Whether one who asks for a connection waits for others to give one back."""
        return bool(self.pool.get_idle_size() == 0 and self.pool.get_size() == self.pool.get_max_size())

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection of the pool. Raises: Unavailable for faults of the database, here and in the body."""
        async with faults_are_unavailable(), self.pool.acquire(timeout=self._wait_s) as connection:
            yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[asyncpg.Connection]:
        """One transaction: committed at the end of the body, undone when it raises."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def as_tenant(
        self, tenant: str | None, *, admin: bool = False, actor: str = ""
    ) -> AsyncIterator[asyncpg.Connection]:
        """A transaction of the `api` role that sees `tenant` only; `admin` also sees what belongs to nobody.

        `actor`: who makes what is made in it.
        """
        async with self.transaction() as connection:
            await connection.execute(
                "SELECT set_config('headwater.tenant', $1, true), set_config('headwater.admin', $2, true),"
                " set_config('headwater.actor', $3, true)",
                tenant or "",
                "on" if admin else "off",
                actor,
            )
            yield connection

    async def fetch(self, query: str, *values: object) -> list[asyncpg.Record]:
        async with self.connection() as connection:
            return list(await connection.fetch(query, *values))

    async def fetchrow(self, query: str, *values: object) -> asyncpg.Record | None:
        async with self.connection() as connection:
            return await connection.fetchrow(query, *values)

    async def fetchval(self, query: str, *values: object) -> Any:
        async with self.connection() as connection:
            return await connection.fetchval(query, *values)

    async def execute(self, query: str, *values: object) -> str:
        async with self.connection() as connection:
            return str(await connection.execute(query, *values))

    async def executemany(self, query: str, rows: Iterable[Sequence[object]]) -> None:
        async with self.connection() as connection:
            await connection.executemany(query, rows)

    async def check(self) -> None:
        """Returns when the database answers. Raises: Unavailable."""
        await self.fetchval("SELECT 1")
