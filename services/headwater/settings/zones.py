"""Which rules of time zones this machine has."""

import re
import zoneinfo
from importlib import resources
from pathlib import Path

_VERSION = re.compile(r"([0-9]{4}[a-z]+)")


def zone_rules_version() -> str | None:
    """The version of the rules that `zoneinfo` reads, for example `2026a`; None when nothing tells it.

    Zones are looked for in the machine's folders first, then in the package `tzdata`.
    """
    for folder in zoneinfo.TZPATH:
        if not (Path(folder) / "UTC").exists():
            continue
        for name in ("tzdata.zi", "+VERSION", "version"):
            if found := _version_in(Path(folder) / name):
                return found
        return None  # these are the rules in use, and they tell no version
    try:
        text = resources.files("tzdata").joinpath("__init__.py").read_text(encoding="utf-8")
    except (ModuleNotFoundError, OSError):
        return None
    found_version = re.search(r"IANA_VERSION = \"([^\"]+)\"", text)
    return found_version[1] if found_version else None


def _version_in(path: Path) -> str | None:
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            first = lines.readline()
    except OSError:
        return None
    match = _VERSION.search(first)
    return match[1] if match else None
