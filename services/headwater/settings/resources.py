"""Where the files that ship with headwater are: in the wheel, or in the source tree beside `services/`."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def resource(*parts: str) -> Path:
    """The path of a shipped file or folder, for example `resource("schemas", "sql")`."""
    packaged = _PACKAGE / "_data" / Path(*parts)
    return packaged if packaged.exists() else _PACKAGE.parents[1] / Path(*parts)
