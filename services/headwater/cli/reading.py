"""Files and parameters that commands are given."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headwater.model.errors import ConfigError


def read_bytes(file: str, what: str = "file") -> bytes:
    """What is in a file, or comes on standard input (`-`). Raises: ConfigError."""
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}; name a readable {what}") from error


def read_text(file: str, what: str = "file") -> str:
    """The same as text. Raises: ConfigError."""
    try:
        return read_bytes(file, what).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: is not UTF-8 (byte {error.start}); save it as UTF-8") from error


def read_parameters(texts: Sequence[str]) -> dict[str, Any]:
    """The parameters of NAME=VALUE, each a JSON value or else a text. Raises: ConfigError."""
    found: dict[str, Any] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise ConfigError(f"--param {text!r}: write NAME=VALUE")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found
