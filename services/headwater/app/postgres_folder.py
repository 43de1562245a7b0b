"""The folder of the embedded database: who holds it, and where its socket lies."""

import errno
import fcntl
import os
import tempfile
from pathlib import Path

from headwater.model.errors import ConfigError

SOCKET_PATH_BYTES = 100  # sockaddr_un holds 104 to 108, depending on the system


class FolderInUseError(ConfigError):
    """Another process has the folder."""


def take_folder(folder: Path) -> int:
    """Makes the folder, 0700, if needed and locks it; the descriptor holds the lock until it is closed.

    Raises: ConfigError naming the process that holds it, or why it cannot be used.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(
            f"{folder}: {error.strerror}; choose a folder you may write to with HEADWATER_DATA_DIR"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.read(lock, 20).decode("ascii", "replace").strip() or "unknown"
        os.close(lock)
        if error.errno not in {errno.EWOULDBLOCK, errno.EACCES}:
            raise ConfigError(f"{folder} cannot be locked: {error.strerror}; choose a local disk") from error
        raise FolderInUseError(
            f"{folder} is in use by process {holder}: stop it, "
            "or choose another folder with HEADWATER_DATA_DIR"
        ) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode("ascii"), 0)
    return lock


def socket_folder(folder: Path, port: int, owner: int | None) -> Path:
    """A 0700 folder for the server's socket, inside `folder` where the path is short enough.

    `owner` is the user that the server runs as, None for ourselves.
    """
    place = folder / "socket"
    if len(os.fsencode(place / f".s.PGSQL.{port}.lock")) > SOCKET_PATH_BYTES:
        place = _short_folder(place, os.geteuid() if owner is None else owner)
    elif place.is_symlink():
        place.unlink()
    place.mkdir(mode=0o700, exist_ok=True)
    if owner is not None:
        folder.chmod(0o711)  # the plain user passes through, and reads nothing
        os.chown(place, owner, owner)
    return place


def _short_folder(link: Path, owner: int) -> Path:
    """Where `link` leads if that folder is still `owner`'s alone, else a new folder that it then leads to."""
    if link.is_symlink():
        target = link.readlink()
        if target.is_dir() and not target.is_symlink():
            kept = target.stat()
            if kept.st_uid == owner and kept.st_mode & 0o077 == 0:
                return target
        link.unlink()
    elif link.exists():
        link.rmdir()
    short = Path(
        tempfile.mkdtemp(prefix="headwater-", dir="/tmp")
    )  # TMPDIR may be as long as the data folder
    link.symlink_to(short)
    return short
