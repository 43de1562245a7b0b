"""The servers of another headwater on the same data folder, and which other folders have one that runs."""

import asyncio
import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode

from headwater.app.embedded import DATABASE, USER
from headwater.app.postgres_process import read_pid_file
from headwater.model.secret import Secret
from headwater.settings import Settings

logger = logging.getLogger("headwater.app")
_PORT_LINE, _SOCKET_LINE = 3, 4  # of postmaster.pid, counted from 0
_LOOK_S = 0.1
_LOOKS_UNTOLD = 20  # most are through by then


@dataclass(frozen=True, slots=True)
class Broker:
    """The addresses of a private RabbitMQ that runs, passwords included."""

    amqp_url: Secret
    management_url: Secret


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A headwater that runs on another data folder of this user."""

    folder: Path
    process: str


def is_set_up(data_dir: Path) -> bool:
    """Whether there is an embedded database in the data folder, running or not."""
    return (data_dir / "postgres/data/PG_VERSION").exists()


def running_database(folder: Path) -> Secret | None:
    """The address of the server that another process runs in `folder`; None when nobody does, or it takes no
    connections yet or any more.
    """
    if not is_held(folder) or not read_pid_file(folder / "data" / "postmaster.pid").ready:
        return None
    try:
        lines = (folder / "data" / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        port, socket = int(lines[_PORT_LINE]), lines[_SOCKET_LINE].strip()
    except (OSError, ValueError, IndexError):
        return None  # it is just starting or stopping: the lock's own message says who holds it
    place = urlencode({"host": socket, "port": port})
    return Secret.of(f"postgresql://{USER}@/{quote(DATABASE, safe='')}?{place}")


async def until_it_runs(folder: Path, timeout_s: float) -> Secret | None:
    """The same, once the process that holds the folder has started its server; None when nobody holds it any more, or
    the server is not there after `timeout_s`.
    """
    looks = 0
    try:
        async with asyncio.timeout(timeout_s):
            while is_held(folder):
                if (url := running_database(folder)) is not None:
                    return url
                looks += 1
                if looks == _LOOKS_UNTOLD:
                    logger.warning("%s: process %s starts or ends; waiting for it", folder, holder_of(folder))
                await asyncio.sleep(_LOOK_S)
    except TimeoutError:
        logger.info("the process that holds %s has no database after %g s", folder, timeout_s)
    return None


def running_broker(data_dir: Path) -> Broker | None:
    """The private RabbitMQ that another process runs in the data folder; None where there is none."""
    folder = data_dir / "rabbitmq"
    if not is_held(folder):
        return None
    from headwater.app.private_rabbitmq import USER as BROKER_USER  # noqa: PLC0415 - heavy: only beside such a node

    try:
        ports = json.loads((folder / "ports.json").read_text(encoding="ascii"))
        login = f"{BROKER_USER}:{(folder / 'password').read_text(encoding='utf-8').strip()}"
        amqp, management = int(ports["amqp"]), int(ports["management"])
    except (OSError, ValueError, KeyError):
        return None  # it is just starting for the first time
    return Broker(
        Secret.of(f"amqp://{login}@127.0.0.1:{amqp}/%2F"),
        Secret.of(f"http://{login}@127.0.0.1:{management}"),
    )


def amqp_of(settings: Settings) -> Secret | None:
    """The broker that the settings name, or that runs on their data folder; None for the embedded bus."""
    if settings.amqp_url is not None:
        return settings.amqp_url
    running = running_broker(settings.data_dir)
    return None if running is None else running.amqp_url


@contextmanager
def answering_at(data_dir: Path, address: str) -> Iterator[None]:
    """While open, commands on this data folder can find the API. It is a help and no more, as `told_of`."""
    note = data_dir / "address"
    try:
        note.write_text(address + "\n", encoding="ascii")
    except OSError as error:
        logger.info("no note of the address is left in %s: %s", data_dir, error)
    try:
        yield
    finally:
        if _text_of(note) == address:  # and not of one that began meanwhile
            _forget(note)


def serving_at(settings: Settings) -> str | None:
    """The URL of the API of a headwater that runs on the data folder; None where none does."""
    if settings.database_url is not None or not is_held(settings.data_dir / "postgres"):
        return None
    return _text_of(settings.data_dir / "address")


def _text_of(note: Path) -> str | None:
    try:
        return note.read_text(encoding="ascii").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def holder_of(folder: Path) -> str:
    """The process id that holds the folder, as its lock tells it."""
    try:
        return (folder / "lock").read_text(encoding="ascii").strip() or "unknown"
    except (OSError, ValueError):
        return "unknown"


def is_held(folder: Path) -> bool:
    """Whether a process runs a server in `folder`."""
    try:
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


@contextmanager
def told_of(data_dir: Path, environment: Mapping[str, str] | None = None) -> Iterator[None]:
    """While open, commands that look at another folder can tell people of this one.

    It is a help and no more: where the note cannot be written, headwater runs all the same, and the log says so.
    """
    name = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    note = (
        _notes(environment) / f"{name}.{os.getpid()}"
    )  # several may run on one folder, and one goes on alone
    try:
        note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        note.write_bytes(os.fsencode(data_dir))
    except OSError as error:
        logger.info("no note of %s is left for commands: %s", data_dir, error)
    try:
        yield
    finally:
        _forget(note)


def running_elsewhere(data_dir: Path, environment: Mapping[str, str] | None = None) -> list[Elsewhere]:
    """What runs on other folders than `data_dir`; notes that killed processes left are removed."""
    found: list[Elsewhere] = []
    place = _notes(environment)
    for note in sorted(place.iterdir()) if place.is_dir() else ():
        try:
            folder = Path(os.fsdecode(note.read_bytes()))
        except OSError:
            continue  # it ended while we looked
        if not is_held(folder / "postgres"):
            _forget(note)
        elif folder not in (data_dir, *(other.folder for other in found)):
            found.append(Elsewhere(folder, holder_of(folder / "postgres")))
    return found


def _notes(environment: Mapping[str, str] | None) -> Path:
    env = os.environ if environment is None else environment
    base = env.get("XDG_STATE_HOME") or str(Path(env.get("HOME") or "~").expanduser() / ".local/state")
    return Path(base) / "headwater" / "running"


def _forget(note: Path) -> None:
    try:
        note.unlink(missing_ok=True)
    except OSError as error:
        logger.info("the note %s cannot be removed: %s", note, error)
