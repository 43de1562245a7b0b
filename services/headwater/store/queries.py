"""The named queries of `store/sql/*.sql`.

A file is a list of queries, each opened by `-- name: <name>`; comment lines after it say what it is for.
"""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from headwater.model.errors import ConfigError

_HEAD = re.compile(r"^-- name: ([a-z_0-9]+)[ \t]*$", re.MULTILINE)
_FOLDER = Path(__file__).parent / "sql"


_SEPARATOR = "\x1f"  # no name has it


def as_text(values: Iterable[str]) -> str:
    """A list as one value, which `string_to_array` makes a list again.

    asyncpg asks of each item of a list whether it is a list, which takes as long as all else that is done with it.
    """
    return _SEPARATOR.join(values)


@cache
def queries(aggregate: str) -> dict[str, str]:
    """Name → text of every query in `store/sql/<aggregate>.sql`."""
    text = (_FOLDER / f"{aggregate}.sql").read_text(encoding="utf-8")
    parts = _HEAD.split(text)
    found: dict[str, str] = {}
    for name, body in zip(parts[1::2], parts[2::2], strict=True):
        if name in found:
            raise ConfigError(f"store/sql/{aggregate}.sql: two queries are named {name}")
        found[name] = body.strip()
    return found


def aggregates() -> list[str]:
    """The names of all query files."""
    return sorted(path.stem for path in _FOLDER.glob("*.sql"))
