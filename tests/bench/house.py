"""The private servers of a bench, and the processes that it measures."""

import asyncio
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import aiohttp
import asyncpg
import pika
import psutil

from headwater.app.embedded import EmbeddedPostgres
from headwater.app.private_rabbitmq import PrivateRabbit
from headwater.bus.rabbitmq import apply_topology
from headwater.bus.topology import load_topology
from headwater.contracts.manifest_text import parse_manifest
from headwater.control.apply import apply_manifest
from headwater.model.secret import Secret
from headwater.store.database import Database
from headwater.store.keyring import Keyring
from headwater.store.migrate import migrate

KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
START_S = 60.0
STOP_S = 40.0
ANSWER_S = 300.0


@dataclass(frozen=True, slots=True)
class Program:
    """A process under measurement. `told` is what it said when it was ready, `port` where it listens."""

    process: asyncio.subprocess.Process
    port: int
    told: dict[str, Any]

    def cpu_s(self) -> float:
        """Seconds of processor time so far, of all its threads."""
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)

    def rss_mib(self) -> float:
        return float(psutil.Process(self.process.pid).memory_info().rss) / 2**20

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    async def ask(self, line: str) -> dict[str, Any]:
        """Send a line to the program and wait for its answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        await self.process.stdin.drain()
        async with asyncio.timeout(ANSWER_S):
            return await _line(self.process)


async def _line(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None
    line = await process.stdout.readline()
    if not line:
        raise RuntimeError(f"process {process.pid} ended early, status {await process.wait()}")
    answer: dict[str, Any] = json.loads(line)
    return answer


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


class House:
    """PostgreSQL (durable) and RabbitMQ for one bench; `HEADWATER_TEST_AMQP_URL` names another broker."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self.folder = Path()
        self.amqp_url = ""
        self._server: EmbeddedPostgres | None = None
        self.rabbit_pid: int | None = None

    async def __aenter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="headwater-bench-"))
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.folder.chmod(0o755)  # the database may run as another user
        self._server = await self._stack.enter_async_context(EmbeddedPostgres(self.folder / "postgres"))
        given = os.environ.get("HEADWATER_TEST_AMQP_URL")
        if given:
            await apply_topology(given)
            self.amqp_url = given
        else:
            node = await self._stack.enter_async_context(PrivateRabbit(self.folder / "rabbitmq"))
            self.amqp_url, self.rabbit_pid = node.amqp_url, node.pid
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def database(self) -> str:
        """The address of a fresh, migrated database."""
        assert self._server is not None
        name = f"bench_{uuid4().hex[:12]}"
        connection = await asyncpg.connect(self._server.url, timeout=5)
        await connection.execute(f"CREATE DATABASE {name}")
        await connection.close()
        url = self._server.url_of(name)
        await migrate(url)
        return url

    def server_cpu_s(self) -> float:
        """Processor time of the database's processes that are there now."""
        assert self._server is not None
        return _tree_cpu_s(self._server.pid)

    def broker_cpu_s(self) -> float:
        return _tree_cpu_s(self.rabbit_pid)

    def purge(self, *more: str) -> None:
        """Empty every queue of ours, and `more`."""
        connection = pika.BlockingConnection(pika.URLParameters(self.amqp_url))
        channel = connection.channel()
        for name in (*load_topology().queues, *more):
            channel.queue_purge(name)
        connection.close()

    @asynccontextmanager
    async def service(self, database: str, *names: str) -> AsyncIterator[Program]:
        """`headwater run <names>` as a process of its own, ready."""
        port = free_port()
        environment = {
            **os.environ,
            "HEADWATER_DATABASE_URL": database,
            "HEADWATER_AMQP_URL": self.amqp_url,
            "HEADWATER_SECRET_KEY": KEY,
            "HEADWATER_BIND": f"127.0.0.1:{port}",
            "HEADWATER_DATA_DIR": str(self.folder / "data"),
            "HEADWATER_LOG_LEVEL": "warning",
        }
        command = [sys.executable, "-m", "headwater", "run", *names]
        if profile := os.environ.get(
            "HEADWATER_BENCH_PROFILE"
        ):  # a folder: profiles of every service go there
            out = Path(profile) / f"{'-'.join(names)}-{port}.prof"
            command[1:2] = ["-m", "tests.bench.profiled", str(out)]
        async with _running(command, environment, quiet=True) as process:
            await _until_ready(process, port)
            yield Program(process, port, {})

    @asynccontextmanager
    async def peer(self, command: Sequence[str]) -> AsyncIterator[Program]:
        """A program of others, after its first line, which is JSON."""
        async with _running(command, dict(os.environ), quiet=False) as process:
            async with asyncio.timeout(START_S):
                told = await _line(process)
            yield Program(process, int(told["port"]), told)

    @asynccontextmanager
    async def program(self, name: str, *arguments: object) -> AsyncIterator[Program]:
        """`python -m tests.bench.<name>` as a process of its own, after its first line, which is JSON."""
        command = [sys.executable, "-m", f"tests.bench.{name}", *map(str, arguments)]
        async with _told(command) as program:
            yield program

    @asynccontextmanager
    async def script(self, python: Path, name: str, *arguments: object) -> AsyncIterator[Program]:
        """As `program`, by another environment's Python, which has no headwater."""
        script = Path(__file__).with_name(f"{name}.py")
        async with _told([str(python), str(script), *map(str, arguments)]) as program:
            yield program


@asynccontextmanager
async def _told(command: Sequence[str]) -> AsyncIterator[Program]:
    async with _running(command, dict(os.environ), quiet=False) as process:
        async with asyncio.timeout(START_S):
            told = await _line(process)
        yield Program(process, int(told.get("port", 0)), told)


@asynccontextmanager
async def _running(
    command: Sequence[str], environment: dict[str, str], *, quiet: bool
) -> AsyncIterator[asyncio.subprocess.Process]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL if quiet else pipe,
        stdout=asyncio.subprocess.DEVNULL if quiet else pipe,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            try:
                async with asyncio.timeout(STOP_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


async def _until_ready(process: asyncio.subprocess.Process, port: int) -> None:
    async with aiohttp.ClientSession() as session, asyncio.timeout(START_S):
        while True:
            if process.returncode is not None:
                raise RuntimeError(f"a service ended at its start, status {process.returncode}")
            try:
                async with session.get(f"http://127.0.0.1:{port}/readyz") as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.05)


def _tree_cpu_s(pid: int | None) -> float:
    if pid is None:
        return 0.0
    root = psutil.Process(pid)
    total = 0.0
    for process in (root, *root.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


@asynccontextmanager
async def worker(url: str) -> AsyncIterator[Database]:
    """A pool of the bench's own under the worker's role."""
    database = Database(Secret.of(url), "headwater_worker", size=4)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


async def apply(url: str, manifest: str) -> None:
    """Apply a manifest."""
    parsed, _ = parse_manifest(manifest, "bench.yml", {})
    database = Database(Secret.of(url), "headwater_api", size=2)
    await database.open()
    try:
        async with database.as_tenant(parsed.tenant, admin=True) as connection:
            await apply_manifest(connection, Keyring.of(Secret.of(KEY)), parsed)
    finally:
        await database.close()


async def psql(url: str, command: str) -> None:
    """Run one command of psql, which must succeed."""
    process = await asyncio.create_subprocess_exec(
        shutil.which("psql") or "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", command, url
    )
    if await process.wait() != 0:
        raise RuntimeError(f"psql failed: {command[:200]}")
