"""A PostgreSQL of our own: initialised, started and stopped by headwater, on a socket in a private folder.

Invariant: at most one server runs on a data folder. A lock on the folder is held from start to stop, so a
server that is found running without it was left behind by a killed headwater; it is ended before a new one
starts.
"""

import asyncio
import math
import os
import secrets
import shutil
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote, urlencode

import asyncpg

from headwater.app.postgres_binaries import Binaries, Runner, find_binaries, find_runner
from headwater.app.postgres_folder import socket_folder, take_folder
from headwater.app.postgres_process import (
    KILL_S,
    POLL_S,
    descendants,
    end,
    end_leftover,
    gone,
    is_postgres_of,
    read_pid_file,
    send,
)
from headwater.model.errors import ConfigError
from headwater.model.secret import Secret

USER = "headwater"
DATABASE = "headwater"
PORT = 5432  # without `tcp_port` only a part of the socket's name
LOG_BYTES = 8 * 2**20  # a larger log is set aside (one generation) at the next start
LOG_LINES_SHOWN = 12

_SETTINGS = {
    "max_connections": "100",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "log",  # a failed statement is told by the service that sent it: the log stays small
    "log_checkpoints": "off",
    "jit": "off",  # short statements only
    "password_encryption": "scram-sha-256",
}
# Written bytes still survive the death of any process; only the machine's own crash loses them.
_NOT_DURABLE = {"fsync": "off", "full_page_writes": "off"}


class EmbeddedPostgres:
    """One server on `data_dir`; `async with` starts and stops it, `url` leads to it while it runs.

    `tcp_port` opens 127.0.0.1 as well, for psql and the like (password in the file `password`).
    `durable=False` trades safety against a crash of the machine for speed, for tests. After `kill()`,
    `start()` goes on with the same data. Start it in the main thread: where the system can do that, the
    server ends with the thread that started it.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        tcp_port: int | None = None,
        durable: bool = True,
        start_timeout_s: float = 60,
    ) -> None:
        self._dir = data_dir.absolute()
        self._data = self._dir / "data"
        self._log = self._dir / "postgres.log"
        self._password_file = self._dir / "password"
        self._tcp_port = tcp_port
        self._port = PORT if tcp_port is None else tcp_port
        self._durable = durable
        self._start_timeout_s = start_timeout_s
        self._lock: int | None = None
        self._socket_dir: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def url(self) -> str:
        """The address of database `headwater` as its superuser; it holds no password."""
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        """The address of another database of this server."""
        if self._socket_dir is None:
            raise RuntimeError("the embedded database has no address before start()")
        place = urlencode({"host": str(self._socket_dir), "port": self._port})
        return f"postgresql://{USER}@/{quote(database, safe='')}?{place}"

    @property
    def tcp_url(self) -> Secret | None:
        """The address over TCP, password included; None without `tcp_port`."""
        if self._tcp_port is None:
            return None
        password = self._password_file.read_text(encoding="ascii").strip()
        return Secret.of(f"postgresql://{USER}:{password}@127.0.0.1:{self._tcp_port}/{DATABASE}")

    @property
    def pid(self) -> int | None:
        """The process id of the running server; None when it does not run."""
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def log_file(self) -> Path:
        """Where the server writes what happens to it."""
        return self._log

    def describe(self) -> str:
        """Which PostgreSQL would be run, and where its data are. Raises: ConfigError when none is installed."""
        _, binaries = self._means()
        return f"{binaries.folder}, data in {self._dir}"

    async def start(self) -> None:
        """Returns when the server takes connections; at once when it already does.

        Raises: ConfigError when the folder is in use, no PostgreSQL is installed, or the server does not come
        up (with the last lines of its log).
        """
        if self.pid is not None:
            return
        if self._lock is None:
            self._lock = take_folder(self._dir)
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        await self._end_leftover()
        runner, binaries = self._means()
        self._socket_dir = socket_folder(self._dir, self._port, runner.owner)
        self._turn_log()
        if not (self._data / "PG_VERSION").exists():
            await self._initialise(binaries, runner)
        command = runner.command(
            binaries.folder / "postgres", "-D", str(self._data), *self._options(binaries)
        )
        self._process = self._spawn(command)
        await self._until_ready(self._process)
        await self._ensure_database()

    async def stop(self) -> None:
        """Ends the server (open transactions are rolled back) and gives the folder free."""
        if self._process is not None:
            await end(self._process)
            self._process = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def kill(self) -> None:
        """Ends the server as a crash would: SIGKILL to it and to all its children. The folder stays ours."""
        if self._process is None:
            return
        if self.pid is not None:
            self._process.send_signal(signal.SIGSTOP)  # no new children while they are listed
            children = descendants(self._process.pid)
            for pid in (self._process.pid, *children):
                send(pid, signal.SIGKILL)
        await gone(self._process, KILL_S)
        self._process = None

    async def wait(self) -> int:
        """Returns the exit status once the server has ended, for whatever reason."""
        process = self._process
        if process is None:
            return 0
        await gone(process, math.inf, poll_s=0.1)
        return process.returncode

    async def _end_leftover(self) -> None:
        """Ends a server that outlived its headwater; removes a pid file whose number is now another's."""
        pid_file = self._data / "postmaster.pid"
        pid = read_pid_file(pid_file).pid
        if pid is None or not send(pid, 0):
            return  # PostgreSQL itself clears up after a dead server
        if not is_postgres_of(pid, self._data):
            pid_file.unlink(missing_ok=True)
            return
        if await end_leftover(pid, self._data):
            return
        raise ConfigError(
            f"process {pid} is an older embedded database on {self._data} that does not end: end it"
        )

    def _means(self) -> tuple[Runner, Binaries]:
        version = self._data / "PG_VERSION"
        if not version.exists():
            return find_runner(os.geteuid()), find_binaries()
        return find_runner(self._data.stat().st_uid), find_binaries(int(version.read_text(encoding="ascii")))

    def _turn_log(self) -> None:
        if self._log.exists() and self._log.stat().st_size > LOG_BYTES:
            self._log.replace(self._log.with_suffix(".log.1"))

    async def _initialise(self, binaries: Binaries, runner: Runner) -> None:
        """Makes the data folder under another name and renames it when it is whole: half a one is none."""
        unfinished = self._dir / "data.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        password = self._password()
        if runner.owner is not None:
            os.chown(unfinished, runner.owner, runner.owner)
            os.chown(password, runner.owner, runner.owner)
        arguments = ["-D", str(unfinished), "-U", USER, f"--pwfile={password}", "--encoding=UTF8"]
        arguments += [
            "--auth-local=trust",
            "--auth-host=scram-sha-256",
            "--locale=C",
        ]  # the socket's folder is 0700
        if binaries.major >= 17:
            arguments += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        if not self._durable:
            arguments.append("--no-sync")
        process = self._spawn(runner.command(binaries.folder / "initdb", *arguments))
        try:
            await gone(process, self._start_timeout_s)
        finally:
            await end(process)
        if process.returncode != 0:
            raise self._failure("could not be initialised")
        unfinished.rename(self._data)

    def _password(self) -> Path:
        if not self._password_file.exists():
            opened = os.open(self._password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(opened, "w", encoding="ascii") as file:
                file.write(secrets.token_urlsafe(24) + "\n")
        return self._password_file

    def _options(self, binaries: Binaries) -> list[str]:
        settings = dict(_SETTINGS)
        settings["unix_socket_directories"] = f'"{self._socket_dir}"'
        settings["unix_socket_permissions"] = "0700"
        settings["listen_addresses"] = "127.0.0.1" if self._tcp_port is not None else ""
        settings["port"] = str(self._port)
        if not self._durable:
            settings |= _NOT_DURABLE
        if binaries.major >= 18:
            settings["io_method"] = "sync"  # three processes less; the data is small and in memory
        return [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        """Starts a command in a session of its own: Ctrl-C is for headwater, which stops it at its end."""
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))
        }
        log = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._dir,
                env=environment | {"LC_ALL": "C"},
                start_new_session=True,
            )
        except OSError as error:
            raise ConfigError(f"{command[0]} cannot be started: {error.strerror}") from error
        finally:
            os.close(log)

    async def _until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + self._start_timeout_s
        while True:
            state = read_pid_file(self._data / "postmaster.pid")
            if state.pid == process.pid and state.ready:
                return
            if process.poll() is not None:
                raise self._failure(f"ended at start with status {process.returncode}")
            if time.monotonic() > deadline:
                raise self._failure(f"was not ready after {self._start_timeout_s:g} s")
            await asyncio.sleep(POLL_S)

    async def _ensure_database(self) -> None:
        connection = await asyncpg.connect(self.url_of("postgres"), timeout=5, command_timeout=10)
        try:
            if await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE) is None:
                await connection.execute(f"CREATE DATABASE {DATABASE} STRATEGY file_copy")
        finally:
            await connection.close()

    def _failure(self, what: str) -> ConfigError:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES_SHOWN:]
        return ConfigError("\n  ".join([f"the embedded database {what}; the end of {self._log}:", *lines]))
