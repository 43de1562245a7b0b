"""The providers we know: one row of `presets.json` each."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from headwater.model.errors import ConfigError
from headwater.plugins.signatures.compile import compile_scheme
from headwater.plugins.signatures.scheme import Scheme


@cache  # a file of the package never changes while it runs
def _rows() -> Mapping[str, Mapping[str, Any]]:
    rows = orjson.loads(Path(__file__).with_name("presets.json").read_bytes())
    return {row["id"]: row for row in rows}


def preset_names() -> tuple[str, ...]:
    """The names of all presets, in alphabetical order."""
    return tuple(sorted(_rows()))


def preset_row(name: str) -> Mapping[str, Any]:
    """A preset's definition, as it stands in the package. Raises ConfigError for an unknown name."""
    found = _rows().get(name)
    if found is None:
        raise ConfigError(
            f"scheme: there is no preset {name!r}; see `headwater presets list`, or give a `definition`"
        )
    return found


@cache
def preset(name: str) -> Scheme:
    """The scheme of a preset. Raises ConfigError for an unknown name."""
    return compile_scheme(preset_row(name))
