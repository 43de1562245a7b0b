"""Where servers of tests keep their files: in memory where there is room, since a fresh database for each test is a
thousand small files, and nobody needs them after a crash of the machine.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

MEMORY = Path("/dev/shm")
ROOM_BYTES = 4 * 2**30  # two workers with their servers hold a tenth of it


@cache
def _base() -> Path | None:
    """The file system in memory, None where there is none, little room in it, or another place was chosen."""
    if os.environ.get("TMPDIR") or not os.access(MEMORY, os.W_OK):
        return None
    return MEMORY if min(shutil.disk_usage(MEMORY).free, _free_memory_bytes()) >= ROOM_BYTES else None


def _free_memory_bytes() -> int:
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))


def new_folder(purpose: str) -> Path:
    """A fresh folder, to be removed by who asked for it."""
    return Path(tempfile.mkdtemp(prefix=f"headwater-{purpose}-", dir=_base()))


@contextmanager
def own_folder(purpose: str) -> Iterator[Path]:
    """A fresh folder, there as long as the context."""
    folder = new_folder(purpose)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
