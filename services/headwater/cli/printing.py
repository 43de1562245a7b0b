"""Tables and JSON on standard output."""

import argparse
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import yaml

MAX_CELL = 60
_MOMENT = re.compile(
    r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|\+00:00)"
)  # UTC, as all that tables show


def print_json(value: Any) -> None:
    json.dump(value, sys.stdout, indent=2, default=_plain, ensure_ascii=False)
    sys.stdout.write("\n")


def yaml_text(value: Any) -> str:
    plain = json.loads(json.dumps(value, default=_plain))
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100)


def print_yaml(value: Any) -> None:
    sys.stdout.write(yaml_text(value))


def form_of(chosen: argparse.Namespace) -> str:
    """How the options want it: table, json or yaml."""
    form: str = chosen.output or ("json" if chosen.json else "table")
    return form


def is_printed(chosen: argparse.Namespace, value: Any) -> bool:
    """Print `value` for programs, where the options want that; else it is for the caller to show."""
    form = form_of(chosen)
    if form == "table":
        return False
    (print_json if form == "json" else print_yaml)(value)
    return True


def _plain(value: object) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)


def moment_text(moment: datetime) -> str:
    """A moment as all tables show it."""
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def _cell(value: Any) -> str:
    if value is None or value in ("", [], ()):
        return "-"
    if isinstance(value, datetime):
        return moment_text(value)
    if isinstance(value, str) and (moment := _MOMENT.fullmatch(value)):
        return f"{moment[1]} {moment[2]}"
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    text = "".join(character if character.isprintable() else "?" for character in text)
    return text if len(text) <= MAX_CELL else text[: MAX_CELL - 1] + "…"


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str) -> None:
    """Aligned columns, or the sentence `empty`."""
    cells = [[_cell(value) for value in row] for row in rows]
    if not cells:
        print(empty)
        return
    widths = [max(len(row[index]) for row in [list(columns), *cells]) for index in range(len(columns))]
    for row in [[name.upper() for name in columns], *cells]:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def print_fields(fields: Mapping[str, Any]) -> None:
    """One field a line."""
    width = max(map(len, fields))
    for name, value in fields.items():
        if isinstance(value, dict):
            said = {key: item for key, item in value.items() if item not in (None, "")}
            value = "  ".join(f"{key}={item}" for key, item in said.items())  # noqa: PLW2901 - shown, not kept
        print(f"{name.ljust(width)}  {value if value and isinstance(value, str) else _cell(value)}")
