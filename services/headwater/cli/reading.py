"""Files that commands are given."""

import sys
from pathlib import Path

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
