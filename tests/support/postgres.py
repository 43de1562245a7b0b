"""Real PostgreSQL for tests: one server for the session, a fresh database for each test, a server to kill on demand.

The helpers run on event loops of their own, so any test, sync or async, may ask for them.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest
from tests.support.places import new_folder
from tests.support.processes import free_port

from headwater.app.embedded import EmbeddedPostgres

TEMPLATE = "migrated"


def _run(work: Coroutine[Any, Any, object]) -> object:
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()


class SessionServer(EmbeddedPostgres):
    """A server that makes and drops databases over one connection: another one for each would cost a process."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, durable=False, tcp_port=free_port())
        self._loop = asyncio.new_event_loop()
        self._hand: asyncpg.Connection | None = None

    def open(self) -> None:
        self._loop.run_until_complete(self.start())
        self._hand = self._loop.run_until_complete(asyncpg.connect(self.url, timeout=5, command_timeout=30))

    def execute(self, statement: str) -> None:
        assert self._hand is not None, "it is not open"
        self._loop.run_until_complete(self._hand.execute(statement))

    def close(self) -> None:
        if self._hand is not None:
            self._hand.terminate()
        self._loop.run_until_complete(self.stop())
        self._loop.close()


@contextmanager
def new_database(server: SessionServer, template: str) -> Iterator[str]:
    """The URL of a database like `template`, which is there as long as the context."""
    name = f"test_{uuid4().hex}"
    server.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    if template != "template1":  # rights on the database itself do not come with a template
        server.execute(f"GRANT CREATE ON DATABASE {name} TO headwater_owner, headwater_loader")
    yield server.url_of(name)
    server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@asynccontextmanager
async def own_server(*, like: Path | None = None, durable: bool = False) -> AsyncIterator[EmbeddedPostgres]:
    """A server for one test alone, which may `kill()` and `start()` it; `like` is a stopped one's folder to copy."""
    folder = new_folder("test")
    try:
        if like is not None:
            shutil.copytree(like, folder, dirs_exist_ok=True)
        async with EmbeddedPostgres(folder, durable=durable) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[SessionServer]:
    """The session's own server. Never kill it: ask for `killable_postgres`."""
    folder = new_folder("tests")
    server = SessionServer(folder)
    try:
        server.open()
        yield server
    finally:
        server.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def migrated_template(postgres_server: SessionServer) -> str:
    """The name of a database with every migration applied, to be copied."""
    from headwater.store.migrate import migrate

    postgres_server.execute(f"CREATE DATABASE {TEMPLATE} STRATEGY file_copy")
    _run(migrate(postgres_server.url_of(TEMPLATE)))
    return TEMPLATE


@pytest.fixture
def database(postgres_server: SessionServer, migrated_template: str) -> Iterator[str]:
    """The URL of a fresh, migrated database for this test alone."""
    with new_database(postgres_server, migrated_template) as url:
        yield url


@pytest.fixture
def bare_database(postgres_server: SessionServer) -> Iterator[str]:
    """The URL of a fresh, empty database for this test alone."""
    with new_database(postgres_server, "template1") as url:
        yield url


@pytest.fixture
def far_database(postgres_server: SessionServer, bare_database: str) -> str:
    """The URL of that database over the network, with its password."""
    tcp_url = postgres_server.tcp_url
    assert tcp_url is not None
    return tcp_url.text().rpartition("/")[0] + urlsplit(bare_database).path


@pytest.fixture
async def lake(far_database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(far_database, timeout=5)
    yield connection
    await connection.close()


@pytest.fixture(scope="session")
def migrated_folder() -> Iterator[Path]:
    """The folder of a stopped server whose own database is migrated: a copy of it starts in a tenth of a second."""
    from headwater.store.migrate import migrate

    async def make(folder: Path) -> None:
        async with EmbeddedPostgres(folder, durable=False) as server:
            await migrate(server.url)

    folder = new_folder("tests")
    try:
        _run(make(folder))
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def killable_postgres(migrated_folder: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A migrated server for this test alone, to `kill()` and `start()` again; `url` leads to its database."""
    async with own_server(like=migrated_folder) as server:
        yield server
