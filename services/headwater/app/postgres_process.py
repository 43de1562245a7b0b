"""Looking at, signalling and ending the processes of a PostgreSQL server on a data folder."""

import asyncio
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

POLL_S = 0.01
FAST_STOP_S = 15.0  # SIGINT: sessions are cut, one checkpoint is written
IMMEDIATE_STOP_S = 5.0  # SIGQUIT: no checkpoint, the next start recovers
KILL_S = 5.0
_PS_TIMEOUT_S = 5


@dataclass(frozen=True, slots=True)
class PidFile:
    """What `postmaster.pid` says; `pid` is None where there is no such file or nothing in it yet."""

    pid: int | None
    ready: bool


def read_pid_file(path: Path) -> PidFile:
    """The server's process id and whether it takes connections.

    Source: PostgreSQL, `src/include/utils/pidfile.h`: line 1 the process id, line 8 the state and blanks.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return PidFile(None, ready=False)
    first = lines[0].strip() if lines else ""
    pid = int(first) if first.isascii() and first.isdigit() else 0
    # To the system 0 and below are groups, and 1 is init: a damaged file must not lead to them.
    return PidFile(pid if pid > 1 else None, ready=len(lines) >= 8 and lines[7].strip() == "ready")


def is_postgres_of(pid: int, data: Path) -> bool:
    """Whether process `pid` is alive (a zombie is not) and is the PostgreSQL server of the folder `data`."""
    line = _command_line(pid)
    return "postgres" in line and f" -D {data} " in f"{line} "


def _command_line(pid: int) -> str:
    """The words a process was started with, parted by blanks; empty when it is gone."""
    try:
        return (
            Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "surrogateescape")
        )
    except OSError:
        if Path("/proc/self").exists():
            return ""
    answer = subprocess.run(
        ["ps", "-o", "command=", "-p", str(pid)],
        capture_output=True,
        text=True,
        timeout=_PS_TIMEOUT_S,
        check=False,
    )
    return answer.stdout.strip()


def descendants(pid: int) -> list[int]:
    """The children of `pid` and theirs; empty without /proc, where they notice its death by themselves."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name in brackets may hold blanks and brackets: the parent is the second word after the last.
            parent = int(stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1])
        except (OSError, IndexError, ValueError):
            continue  # it ended while we looked
        parents.setdefault(parent, []).append(int(stat.parent.name))
    found = parents.get(pid, [])
    return [*found, *(deeper for child in found for deeper in descendants(child))]


def send(pid: int, number: int) -> bool:
    """Signals a process; whether it was there."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


async def gone(process: subprocess.Popen[bytes], patience_s: float, *, poll_s: float = POLL_S) -> bool:
    """Whether the process ended within `patience_s`."""
    deadline = time.monotonic() + patience_s
    while process.poll() is None:
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(poll_s)
    return True


async def end(process: subprocess.Popen[bytes]) -> None:
    """Ends a server that is our child: fast, then at once, then by force."""
    for number, patience_s in (
        (signal.SIGINT, FAST_STOP_S),
        (signal.SIGQUIT, IMMEDIATE_STOP_S),
        (signal.SIGKILL, KILL_S),
    ):
        if process.poll() is not None:
            return
        process.send_signal(number)
        if await gone(process, patience_s):
            return


async def end_leftover(pid: int, data: Path) -> bool:
    """Ends a server on `data` that is not our child, never by force; whether it is gone."""
    for number, patience_s in ((signal.SIGINT, FAST_STOP_S), (signal.SIGQUIT, IMMEDIATE_STOP_S)):
        send(pid, number)
        deadline = time.monotonic() + patience_s
        while is_postgres_of(pid, data):
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(POLL_S)
        else:
            return True
    return False
