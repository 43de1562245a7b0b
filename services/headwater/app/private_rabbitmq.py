"""A RabbitMQ node of our own from the machine's binaries: own ports, own epmd, own folder, management on.

It touches nothing of a system-wide RabbitMQ. Used by `headwater up --rabbitmq` and by the tests. The topology
is imported at each start from the folder `definitions`, which also holds the generated user (0600).
"""

import asyncio
import base64
import hashlib
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp

from headwater.app.postgres_folder import take_folder
from headwater.app.postgres_process import KILL_S, descendants, gone, send
from headwater.model.errors import ConfigError
from headwater.settings.resources import resource

USER = "headwater"
NODE = "headwater@localhost"
POLL_S = 0.1
STOP_S = 30.0  # a node that closes its quorum queues in order needs 3 to 10 s
LOG_LINES_SHOWN = 12
_WITHOUT_STATISTICS = {"disable_stats": "true", "enable_queue_totals": "true"}  # these lag 5 s behind
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_SERVER_PLACES = (
    "/usr/lib/rabbitmq/bin/rabbitmq-server",
    "/usr/local/sbin/rabbitmq-server",
    "/opt/homebrew/opt/rabbitmq/sbin/rabbitmq-server",
)
_MISSING = (
    "no RabbitMQ is installed on this machine: `apt-get install rabbitmq-server` (Debian, Ubuntu), "
    "or start one with `docker compose up rabbitmq`, or give the address of another by HEADWATER_AMQP_URL"
)


@dataclass(frozen=True, slots=True)
class Ports:
    """The node's TCP ports, all on 127.0.0.1; kept in `ports.json`, so that addresses outlive a restart."""

    amqp: int
    management: int
    distribution: int
    epmd: int
    prometheus: int


@dataclass(frozen=True, slots=True)
class Programs:
    server: Path
    epmd: Path


def find_programs(environment: Mapping[str, str] | None = None) -> Programs:
    """The machine's RabbitMQ server script and epmd. Raises: ConfigError that says how to get them."""
    path = (os.environ if environment is None else environment).get("PATH", os.defpath)
    # Not the wrapper in /usr/sbin: that one changes to the system's user and folders.
    server = next((Path(place) for place in _SERVER_PLACES if os.access(place, os.X_OK)), None)
    epmd = shutil.which("epmd", path=path)
    if server is None or epmd is None or shutil.which("erl", path=path) is None:
        raise ConfigError(_MISSING)
    return Programs(server, Path(epmd))


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for bound in sockets:
            bound.bind(("127.0.0.1", 0))
        return [int(bound.getsockname()[1]) for bound in sockets]
    finally:
        for bound in sockets:
            bound.close()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(opened, "w", encoding="utf-8") as file:
        file.write(text)


def _configuration(ports: Ports, definitions: Path) -> str:
    """`rabbitmq/rabbitmq.conf` with this node's addresses and folders in place of the container's."""
    own = {
        "load_definitions": str(definitions),
        "listeners.tcp.default": f"127.0.0.1:{ports.amqp}",
        "management.tcp.ip": "127.0.0.1",
        "management.tcp.port": str(ports.management),
        "prometheus.tcp.ip": "127.0.0.1",
        "prometheus.tcp.port": str(ports.prometheus),
    }
    shared = resource("rabbitmq", "rabbitmq.conf").read_text(encoding="utf-8").splitlines()
    kept = [line for line in shared if line.partition("=")[0].strip() not in own]
    return "\n".join([*kept, *(f"{key} = {value}" for key, value in own.items()), ""])


def _users(password: str) -> str:
    return json.dumps(
        {
            "users": [{"name": USER, "password": password, "tags": ["administrator"]}],
            "permissions": [{"user": USER, "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}],
        }
    )


class PrivateRabbit:
    """One node on `data_dir`; `async with` starts and stops it. After `kill()`, `start()` goes on with its
    data. `has_clients`: some know its ports already, so that no others are taken, busy or not.
    """

    def __init__(self, data_dir: Path, *, start_timeout_s: float = 60, has_clients: bool = False) -> None:
        self._dir = data_dir.absolute()
        self._definitions = self._dir / "definitions"
        self._log = self._dir / "rabbitmq.log"
        self._start_timeout_s = start_timeout_s
        self._has_clients = has_clients
        self._mark = "headwater_" + hashlib.sha256(os.fsencode(self._dir)).hexdigest()[:32]
        self._lock: int | None = None
        self._ports: Ports | None = None
        self._epmd: subprocess.Popen[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def amqp_url(self) -> str:
        """The node's address, password included: never to be logged."""
        return f"amqp://{USER}:{self._password()}@127.0.0.1:{self._started().amqp}/%2F"

    @property
    def management_url(self) -> str:
        """The address of the management API and UI, password included: never to be logged."""
        return f"http://{USER}:{self._password()}@127.0.0.1:{self._started().management}"

    @property
    def ui_address(self) -> str:
        """The management UI without credentials, for people."""
        return f"http://127.0.0.1:{self._started().management}"

    @property
    def password_file(self) -> Path:
        """Where the generated password of user `headwater` stands."""
        return self._dir / "password"

    @property
    def log_file(self) -> Path:
        """Where the node writes what happens to it."""
        return self._log

    @property
    def pid(self) -> int | None:
        """The process id of the running node; None when it does not run."""
        return self._server.pid if self._server and self._server.poll() is None else None

    async def start(self) -> None:
        """Returns when the node takes connections and every queue has a leader.

        Raises: ConfigError when RabbitMQ is not installed, the folder is in use, or the node does not come up
        (with what its log says of it).
        """
        if self.pid is not None:
            return
        programs = find_programs()
        if self._lock is None:
            self._lock = take_folder(self._dir)
        try:
            await self._end_leftover()
            self._ports = self._keep_ports()
            self._prepare(self._ports)
            self._log.unlink(missing_ok=True)
            environment = self._environment(self._ports)
            if self._epmd is None or self._epmd.poll() is not None:
                epmd = [str(programs.epmd), "-address", "127.0.0.1", "-port", str(self._ports.epmd)]
                self._epmd = self._spawn(epmd, environment)
            self._server = self._spawn([str(programs.server)], environment)
            await self._until_ready(self._server)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Ends the node in order, by force after 30 s, and gives the folder free."""
        if self._server is not None and self._server.poll() is None:
            self._server.send_signal(signal.SIGTERM)
            if not await gone(self._server, STOP_S):
                await self.kill()
        self._server = None
        await self._end_epmd()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def kill(self) -> None:
        """Ends the node as a crash would: SIGKILL to the Erlang machine and all its children."""
        if self._server is None:
            return
        if self._server.poll() is None:
            self._server.send_signal(signal.SIGSTOP)  # no new children while they are listed
            children = descendants(self._server.pid)
            for pid in (self._server.pid, *children):
                send(pid, signal.SIGKILL)
        await gone(self._server, KILL_S)
        self._server = None
        await self._end_epmd()  # it would take the old node for alive for a while

    async def _end_leftover(self) -> None:
        """Ends a node that outlived its headwater: two on one folder would spoil the data."""
        pid_file = self._dir / "rabbitmq.pid"
        text = pid_file.read_text(encoding="ascii").strip() if pid_file.exists() else ""
        if not text.isdigit() or self._mark not in _command_line(int(text)):
            return
        for number, patience_s in ((signal.SIGTERM, STOP_S), (signal.SIGKILL, KILL_S)):
            send(int(text), number)
            deadline = time.monotonic() + patience_s
            while self._mark in _command_line(int(text)):
                if time.monotonic() > deadline:
                    break
                await asyncio.sleep(POLL_S)
            else:
                return
        raise ConfigError(f"process {text} is an older node on {self._dir} that does not end: end it")

    async def _end_epmd(self) -> None:
        if self._epmd is not None and self._epmd.poll() is None:
            self._epmd.kill()
            await gone(self._epmd, KILL_S)
        self._epmd = None

    def _started(self) -> Ports:
        if self._ports is None:
            raise RuntimeError("the private RabbitMQ has no address before start()")
        return self._ports

    def _keep_ports(self) -> Ports:
        """The ports of the last start as long as they are free, else new ones."""
        kept = self._dir / "ports.json"
        if self._ports is not None:
            return self._ports
        if kept.exists():
            told = json.loads(kept.read_text(encoding="ascii"))
            is_whole = set(told) == {field.name for field in fields(Ports)}
            if is_whole and (self._has_clients or all(map(_is_free, told.values()))):
                return Ports(**told)
        ports = Ports(*_free_ports(5))
        kept.write_text(json.dumps(asdict(ports)), encoding="ascii")
        return ports

    def _password(self) -> str:
        if not self.password_file.exists():
            _write_private(self.password_file, secrets.token_urlsafe(24))
        return self.password_file.read_text(encoding="utf-8").strip()

    def _prepare(self, ports: Ports) -> None:
        for folder in (self._definitions, self._dir / "mnesia", self._dir / "generated"):
            folder.mkdir(mode=0o700, exist_ok=True)
        shutil.copyfile(resource("rabbitmq", "definitions.json"), self._definitions / "topology.json")
        _write_private(self._definitions / "users.json", _users(self._password()))
        shutil.copyfile(resource("rabbitmq", "enabled_plugins"), self._dir / "enabled_plugins")
        (self._dir / "rabbitmq.conf").write_text(_configuration(ports, self._definitions), encoding="utf-8")
        (self._dir / "env.conf").touch()

    def _environment(self, ports: Ports) -> dict[str, str]:
        """The node's whole environment: nothing of RabbitMQ or Erlang is taken over from ours."""
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        own = self._dir
        return kept | {
            "HOME": str(own),  # the Erlang cookie lies here
            "LC_ALL": "C.UTF-8",
            "RABBITMQ_NODENAME": NODE,
            "RABBITMQ_CONFIG_FILE": str(own / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(own / "env.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(own / "enabled_plugins"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(own / "generated"),
            "RABBITMQ_MNESIA_BASE": str(own / "mnesia"),
            "RABBITMQ_LOG_BASE": str(own),
            "RABBITMQ_PID_FILE": str(own / "rabbitmq.pid"),
            "RABBITMQ_DIST_PORT": str(ports.distribution),
            # epmd is our child; the mark tells a node of this folder from any other.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                f"-start_epmd false -kernel inet_dist_use_interface {{127,0,0,1}} -{self._mark}"
            ),
            # the machine is shared: a scheduler that is bound to a core waits there for whoever has it
            "RABBITMQ_SCHEDULER_BIND_TYPE": "u",
            "ERL_EPMD_PORT": str(ports.epmd),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "detached": "true",  # the start script becomes the Erlang machine instead of watching over it
        }

    def _spawn(self, command: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
        """Starts a command in a session of its own: Ctrl-C is for headwater, which stops it at its end."""
        log = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            return subprocess.Popen(
                [*_end_with_parent(), *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._dir,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise ConfigError(f"{command[0]} cannot be started: {error.strerror}") from error
        finally:
            os.close(log)

    async def _until_ready(self, server: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + self._start_timeout_s
        credentials = base64.b64encode(f"{USER}:{self._password()}".encode()).decode()
        async with aiohttp.ClientSession(
            self.ui_address,
            headers={"Authorization": f"Basic {credentials}"},
            timeout=aiohttp.ClientTimeout(total=5),
        ) as session:
            while not await self._is_ready(session):
                if server.poll() is not None:
                    raise self._failure(f"ended at start with status {server.returncode}")
                if time.monotonic() > deadline:
                    raise self._failure(f"was not ready after {self._start_timeout_s:g} s")
                await asyncio.sleep(POLL_S)

    async def _is_ready(self, session: aiohttp.ClientSession) -> bool:
        """Whether AMQP is open (the definitions are imported before that) and every queue has a leader."""
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self._started().amqp)
            writer.close()
            await writer.wait_closed()
            async with session.get("/api/queues", params=_WITHOUT_STATISTICS) as response:
                queues = await response.json() if response.status == 200 else []
        except (OSError, aiohttp.ClientError, TimeoutError):
            return False
        return bool(queues) and all(queue.get("state") == "running" for queue in queues)

    def _failure(self, what: str) -> ConfigError:
        text = self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""
        text = _COLOURS.sub("", text)
        lines = [line for line in text.splitlines() if line.strip()]
        faults = [line for line in lines if "[error]" in line]  # the cause; what follows is Erlang's farewell
        lines = faults[:LOG_LINES_SHOWN] or lines[-LOG_LINES_SHOWN:]
        return ConfigError("\n  ".join([f"the private RabbitMQ {what}; from {self._log}:", *lines]))


def _command_line(pid: int) -> str:
    """The words a process was started with; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        if Path("/proc/self").exists():
            return ""
    command = ["ps", "-o", "command=", "-p", str(pid)]
    return subprocess.run(command, capture_output=True, text=True, timeout=5, check=False).stdout


def _end_with_parent() -> tuple[str, ...]:
    """Words before a command that let it end, in order, with the thread that starts it, where that can be
    had.
    """
    if sys.platform != "linux":
        return ()
    request = ("setpriv", "--pdeathsig", "TERM", "--")
    try:
        done = subprocess.run([*request, "true"], capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return request if done.returncode == 0 else ()
