"""Finding the embedded database of another headwater process that runs on the same data folder."""

import fcntl
import os
from pathlib import Path
from urllib.parse import quote, urlencode

from headwater.app.embedded import DATABASE, USER
from headwater.model.secret import Secret

_PORT_LINE, _SOCKET_LINE = 3, 4  # of postmaster.pid, counted from 0


def running_database(folder: Path) -> Secret | None:
    """The address of the server that another process runs in `folder`; None when nobody holds the folder."""
    if not _is_held(folder / "lock"):
        return None
    try:
        lines = (folder / "data" / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        port, socket = int(lines[_PORT_LINE]), lines[_SOCKET_LINE].strip()
    except (OSError, ValueError, IndexError):
        return None  # it is just starting or stopping: the lock's own message says who holds it
    place = urlencode({"host": socket, "port": port})
    return Secret.of(f"postgresql://{USER}@/{quote(DATABASE, safe='')}?{place}")


def holder_of(folder: Path) -> str:
    """The process id that holds the folder, as its lock tells it."""
    try:
        return (folder / "lock").read_text(encoding="ascii").strip() or "unknown"
    except (OSError, ValueError):
        return "unknown"


def _is_held(lock: Path) -> bool:
    try:
        handle = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False
