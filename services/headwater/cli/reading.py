"""Files that commands are given."""

import sys
from pathlib import Path

from headwater.model.errors import ConfigError


def read_text(file: str, what: str = "file") -> str:
    """The text of a file, or of standard input (`-`). Raises: ConfigError."""
    try:
        raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return raw.decode("utf-8")
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}; name a readable {what}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: is not UTF-8 (byte {error.start}); save it as UTF-8") from error
