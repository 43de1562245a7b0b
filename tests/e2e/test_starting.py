"""How the commands start, wait, refuse and end, as a person at a terminal sees them."""

import asyncio
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest
from tests.support.processes import HEADWATER, Child, Children, free_port

from headwater.app.embedded import EmbeddedPostgres

ROUNDS = 7
KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


@pytest.fixture
def children(tmp_path: Path) -> Iterator[Children]:
    with Children(tmp_path, HEADWATER_SECRET_KEY=KEY) as children:
        yield children


def _shortest_s(*command: str) -> float:
    """What it takes when nothing else is in the way."""

    def once() -> float:
        started = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True, timeout=20)
        return time.perf_counter() - started

    return min(once() for _ in range(ROUNDS))


def test_the_version_is_told_within_a_quarter_of_a_second():
    bare_s = _shortest_s(sys.executable, "-c", "pass")

    version_s = _shortest_s(str(HEADWATER), "--version")

    assert version_s <= max(0.25, 8 * bare_s)  # 8: a machine so busy that a bare Python takes 30 ms and more
    assert version_s - bare_s <= max(0.15, 4 * bare_s)


def test_the_version_needs_none_of_the_heavy_libraries():
    code = "import sys; from headwater.cli import main\ntry: main(['--version'])\nexcept SystemExit: pass\n"
    code += (
        "print(sorted({'asyncio', 'aiohttp', 'asyncpg', 'pydantic', 'aio_pika', 'yaml'} & set(sys.modules)))"
    )

    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=20
    )

    assert told.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("service", ["receiver", "persister"])
def test_a_database_that_is_not_there_ends_a_service_with_5_and_a_clear_line(
    children: Children, service: str
):
    missing = f"postgresql://headwater:hunter2secret@127.0.0.1:{free_port()}/headwater"

    ended = children.run(
        "run", service, HEADWATER_DATABASE_URL=missing, HEADWATER_START_TIMEOUT_S="2", timeout_s=15
    )

    assert ended.code == 5
    assert "the database did not answer within 2 s" in ended.output
    assert "HEADWATER_DATABASE_URL" in ended.lines[-1]
    assert "hunter2secret" not in ended.output
    assert "Traceback" not in ended.output


def test_a_broker_that_is_not_there_ends_a_service_with_5_and_a_clear_line(children: Children, database: str):
    missing = f"amqp://headwater:hunter2secret@127.0.0.1:{free_port()}/"

    ended = children.run(
        "run",
        "timer",
        HEADWATER_DATABASE_URL=database,
        HEADWATER_AMQP_URL=missing,
        HEADWATER_START_TIMEOUT_S="2",
        timeout_s=20,
    )

    assert ended.code == 5
    assert "the broker did not answer within 2 s" in ended.output
    assert "HEADWATER_AMQP_URL" in ended.lines[-1]
    assert "hunter2secret" not in ended.output
    assert "Traceback" not in ended.output


def test_a_database_without_migrations_is_told_of_as_such_and_not_as_away(
    children: Children, bare_database: str
):
    ended = children.run(
        "run", "timer", HEADWATER_DATABASE_URL=bare_database, HEADWATER_START_TIMEOUT_S="1", timeout_s=15
    )

    assert ended.code == 5
    assert "run `headwater db migrate`" in ended.lines[-1]
    assert "did not answer" not in ended.lines[-1]
    assert "HEADWATER_DATABASE_URL" not in ended.lines[-1]


async def test_services_wait_for_a_late_database_and_its_migrations(
    children: Children, killable_postgres: EmbeddedPostgres
):
    url = killable_postgres.url
    await killable_postgres.stop()
    service = children.start("run", "receiver", "timer", "fetcher", "persister", HEADWATER_DATABASE_URL=url)
    waiting = await asyncio.to_thread(service.line, "the database is not there yet")
    assert "trying for another" in waiting

    await killable_postgres.start()

    await asyncio.to_thread(service.ready)
    assert service.end() == 0


def test_services_wait_for_somebody_to_migrate_the_database(children: Children, bare_database: str):
    service = children.start("run", "timer", HEADWATER_DATABASE_URL=bare_database)
    service.line("the database is not there yet")
    assert "db migrate" in service.output

    migrated = children.run("db", "migrate", HEADWATER_DATABASE_URL=bare_database)

    assert migrated.code == 0, migrated.output
    assert service.ready().end() == 0


@pytest.mark.parametrize("command", [("run", "timer"), ("runs", "list"), ("doctor",)])
async def test_a_user_without_rights_is_told_which_are_missing(
    children: Children, database: str, command: tuple[str, ...]
):
    connection = await asyncpg.connect(database)
    try:
        await connection.execute("DROP ROLE IF EXISTS without_rights; CREATE ROLE without_rights LOGIN")
    finally:
        await connection.close()
    url = re.sub(r"//[^@/]*@", "//without_rights@", database, count=1)

    ended = await asyncio.to_thread(children.run, *command, HEADWATER_DATABASE_URL=url, timeout_s=20)

    assert ended.code == 1, ended.output
    assert "the database user may not use headwater" in ended.output
    assert "GRANT headwater_owner, headwater_api, headwater_worker, headwater_loader TO" in ended.output
    assert "Traceback" not in ended.output


def test_a_taken_port_is_named_with_the_option_that_changes_it(children: Children, database: str):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        ended = children.run(
            "run",
            "receiver",
            HEADWATER_DATABASE_URL=database,
            HEADWATER_BIND=f"127.0.0.1:{port}",
            timeout_s=20,
        )

    assert ended.code == 2
    assert f"port {port} of 127.0.0.1 is taken" in ended.output
    assert f"HEADWATER_BIND=127.0.0.1:{port + 1}" in ended.output
    assert "Traceback" not in ended.output


MALFORMED = """\
version: 1
sources:
  - name: shop
    base_url: https://shop.example.com
    streams:
      - name: orders
        pagination: {type: ofset, size: 40}
        destination: {table: orders, mode: merge}
"""


@pytest.mark.parametrize("command", ["validate", "apply"])
async def test_a_malformed_manifest_is_refused_with_every_place_and_applies_nothing(
    children: Children, database: str, command: str
):
    path = children.folder / "shop.yml"
    path.write_text(MALFORMED)

    ended = await asyncio.to_thread(children.run, command, "shop.yml", HEADWATER_DATABASE_URL=database)

    assert ended.code == 2, ended.output
    assert "shop.yml:7:" in ended.output
    assert "shop.yml:8:" in ended.output
    assert "Traceback" not in ended.output
    connection = await asyncpg.connect(database)
    try:
        assert await connection.fetchval("SELECT count(*) FROM headwater.source") == 0
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        (("validate", "nowhere.yml"), {}, "nowhere.yml"),
        (("runs", "show", "nonsense"), {}, "'nonsense' is no id"),
        (("run", "receiver"), {"HEADWATER_SECRET_KEY": "short"}, "HEADWATER_SECRET_KEY"),
        (("run", "receiver"), {"HEADWATER_AMQP_URL": "http://u:hunter2@x"}, "HEADWATER_AMQP_URL"),
        (("run", "receiver"), {"HEADWATER_DATABASE_URL": "postgresql:///d?sslmode=maybe"}, "sslmode"),
        (("run", "plumber"), {}, "plumber"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_one_line_that_names_it(
    children: Children, database: str, arguments: tuple[str, ...], environment: dict[str, str], said: str
):
    ended = children.run(*arguments, **{"HEADWATER_DATABASE_URL": database} | environment, timeout_s=20)

    assert ended.code == 2, ended.output
    assert said in ended.output
    assert "Traceback" not in ended.output
    assert "hunter2" not in ended.output


@pytest.mark.parametrize("signal", [Child.press_ctrl_c, Child.end], ids=["SIGINT", "SIGTERM"])
def test_a_signal_ends_a_service_that_still_waits(children: Children, signal: Callable[[Child], object]):
    missing = f"postgresql://headwater@127.0.0.1:{free_port()}/headwater"
    service = children.start("run", "timer", HEADWATER_DATABASE_URL=missing)
    service.line("the database is not there yet")

    signal(service)

    assert service.wait(5) == 0
    assert "Traceback" not in service.output


@pytest.mark.parametrize("signal", [Child.press_ctrl_c, Child.end], ids=["SIGINT", "SIGTERM"])
def test_a_signal_ends_a_service_in_order(
    children: Children, database: str, signal: Callable[[Child], object]
):
    service = children.start("run", "receiver", "persister", HEADWATER_DATABASE_URL=database).ready()

    signal(service)

    assert service.wait() == 0
    assert "Traceback" not in service.output
