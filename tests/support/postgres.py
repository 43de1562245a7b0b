"""Real PostgreSQL for tests: one server for the session, a fresh database for each test, a server to kill on demand.

The helpers run on event loops of their own, so any test, sync or async, may ask for them.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from tests.support.places import new_folder

from headwater.app.embedded import EmbeddedPostgres

TEMPLATE = "migrated"


def _run(work: Coroutine[Any, Any, object]) -> object:
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()


async def _execute(server: EmbeddedPostgres, statement: str) -> None:
    connection = await asyncpg.connect(server.url, timeout=5, command_timeout=30)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@contextmanager
def new_database(server: EmbeddedPostgres, template: str) -> Iterator[str]:
    """The URL of a database like `template`, which is there as long as the context."""
    name = f"test_{uuid4().hex}"
    _run(_execute(server, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy"))
    if template != "template1":  # rights on the database itself do not come with a template
        _run(_execute(server, f"GRANT CREATE ON DATABASE {name} TO headwater_owner, headwater_loader"))
    yield server.url_of(name)
    _run(_execute(server, f"DROP DATABASE {name} WITH (FORCE)"))


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
def postgres_server() -> Iterator[EmbeddedPostgres]:
    """The session's own server. Never kill it: ask for `killable_postgres`."""
    folder = new_folder("tests")
    server = EmbeddedPostgres(folder, durable=False)
    try:
        _run(server.start())
        yield server
    finally:
        _run(server.stop())
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def migrated_template(postgres_server: EmbeddedPostgres) -> str:
    """The name of a database with every migration applied, to be copied."""
    from headwater.store.migrate import migrate

    _run(_execute(postgres_server, f"CREATE DATABASE {TEMPLATE} STRATEGY file_copy"))
    _run(migrate(postgres_server.url_of(TEMPLATE)))
    return TEMPLATE


@pytest.fixture
def database(postgres_server: EmbeddedPostgres, migrated_template: str) -> Iterator[str]:
    """The URL of a fresh, migrated database for this test alone."""
    with new_database(postgres_server, migrated_template) as url:
        yield url


@pytest.fixture
def bare_database(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """The URL of a fresh, empty database for this test alone."""
    with new_database(postgres_server, "template1") as url:
        yield url


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
