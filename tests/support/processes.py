"""headwater from outside: `headwater …` as child processes on free ports, killed, ended and started again.

`with Children() as children:` starts them and sees to it that none outlives the context. Their output is read as
it comes, so that a test waits for what a person would see.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

PATIENCE_S = 40.0  # a start on a busy machine
LOOK_S = 0.02
HEADWATER = Path(sys.executable).with_name("headwater")
_LISTENING = re.compile(r"listening\s+(http://\S+)")


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def until(met: Callable[[], bool], what: str, timeout_s: float = PATIENCE_S) -> None:
    """Returns when `met`; asked again every 20 ms, since another process's state sends no signal."""
    deadline = time.monotonic() + timeout_s
    while not met():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s:g} s in vain: {what}")
        time.sleep(LOOK_S)


def status_of(url: str) -> int | None:
    """The status of a GET; None when nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return int(error.code)
    except OSError:
        return None


def alive(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    """Those that still run; a zombie has ended."""
    found = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


class Child:
    """One `headwater` process in a session of its own, as a terminal would have it."""

    def __init__(
        self, arguments: Sequence[str], environment: Mapping[str, str], folder: Path, watch: "Watch"
    ) -> None:
        self._watch = watch
        self.arguments = tuple(arguments)
        self.environment = dict(environment)
        self._folder = folder
        self._start()

    def _start(self) -> None:
        self.lines: list[str] = []
        self.started_at = time.monotonic()
        self.first_line_s: float | None = None
        self._process = subprocess.Popen(
            self.arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self._folder,
            env=self.environment,
            start_new_session=True,
        )
        self._watch.over(self._process.pid)
        self._reader = threading.Thread(target=self._read, args=(self._process, self.lines), daemon=True)
        self._reader.start()

    def _read(self, process: "subprocess.Popen[bytes]", lines: list[str]) -> None:
        assert process.stdout is not None
        with process.stdout as output:
            for line in output:
                if self.first_line_s is None:
                    self.first_line_s = time.monotonic() - self.started_at
                lines.append(line.decode("utf-8", "replace").rstrip("\n"))

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def code(self) -> int | None:
        """The exit code; None while it runs."""
        return self._process.poll()

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    @property
    def rss_bytes(self) -> int:
        return int(psutil.Process(self.pid).memory_info().rss)

    def family(self) -> list[psutil.Process]:
        """The process and everything below it, as of now."""
        try:
            process = psutil.Process(self.pid)
            return [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def line(self, text: str, timeout_s: float = PATIENCE_S) -> str:
        """The first line of the output that holds `text`, as soon as there is one."""

        def found() -> str | None:
            return next((line for line in list(self.lines) if text in line), None)

        def met() -> bool:
            if found() is None and self.code is not None:
                self._reader.join(timeout=5)
                if found() is None:
                    raise AssertionError(f"ended with {self.code} and never said {text!r}:\n{self.output}")
            return found() is not None

        try:
            until(met, f"for {text!r}", timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.output}") from None
        line = found()
        assert line is not None
        return line

    @property
    def address(self) -> str:
        """Where it listens, by its own word."""
        found = _LISTENING.search(self.line("listening"))
        assert found is not None, self.output
        return found[1]

    def ready(self, timeout_s: float = PATIENCE_S) -> Self:
        """Returns when `/readyz` says so."""
        url = f"{self.address}/readyz"

        def met() -> bool:
            assert self.code is None, f"ended with {self.code}:\n{self.output}"
            return status_of(url) == 200

        try:
            until(met, f"{' '.join(self.arguments[1:])} to be ready", timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.output}") from None
        return self

    def wait(self, timeout_s: float = PATIENCE_S) -> int:
        """The exit code, once it has ended; then its output is whole."""
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still runs after {timeout_s:g} s:\n{self.output}") from None
        self._reader.join(timeout=5)
        return code

    def press_ctrl_c(self) -> None:
        """As a terminal does: SIGINT to the whole foreground group."""
        os.killpg(self.pid, signal.SIGINT)

    def end(self, timeout_s: float = PATIENCE_S) -> int:
        """SIGTERM, and the exit code."""
        if self.code is None:
            self._process.terminate()
        return self.wait(timeout_s)

    def kill(self) -> None:
        """SIGKILL to the process alone: what it started is not asked."""
        self._process.kill()
        self.wait()

    def start_again(self) -> Self:
        """The same command on the same port."""
        assert self.code is not None, "it still runs"
        self._start()
        return self


class Watch:
    """Ends process groups when the tests themselves are killed: its own process reads a pipe that closes then."""

    def __init__(self) -> None:
        script = 'all=; while read -r id; do all="$all -$id"; done; [ -z "$all" ] || kill -9 $all'
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", script],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def over(self, group: int) -> None:
        """Watch over this group as well."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{group}\n".encode())
        self._process.stdin.flush()

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


class Children:
    """Starts `headwater` processes with one environment and ends what is left of them."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("HEADWATER_", "PYTEST_"))
        }
        own = {"HEADWATER_DATA_DIR": str(folder / "data"), "XDG_STATE_HOME": str(folder / "state")}
        self.environment = kept | own | environment
        self._all: list[Child] = []
        self._watch = Watch()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        families = [process for child in self._all for process in child.family()]
        for child in self._all:
            if child.code is None:
                child._process.terminate()
        for child in self._all:
            with contextlib.suppress(AssertionError):
                child.wait(10)
        for process in alive(families):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(families, timeout=5)
        for child in self._all:
            child.wait(5)
        self._watch.end()
        if error is not None:
            for child in self._all:
                sys.stderr.write(f"\n--- {' '.join(child.arguments[1:])}\n{child.output[-4000:]}\n")

    def start(self, *arguments: str, **environment: str) -> Child:
        """`headwater ARGUMENTS…` on a port of its own, unless the environment says otherwise."""
        bind = {"HEADWATER_BIND": f"127.0.0.1:{free_port()}"}
        child = Child(
            (str(HEADWATER), *arguments), self.environment | bind | environment, self.folder, self._watch
        )
        self._all.append(child)
        return child

    def run(self, *arguments: str, timeout_s: float = PATIENCE_S, **environment: str) -> Child:
        """`headwater ARGUMENTS…`, ended."""
        child = self.start(*arguments, **environment)
        child.wait(timeout_s)
        return child
