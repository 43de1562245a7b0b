"""Fields of a JSON body, for the few schemes that sign fields instead of bytes."""

from typing import Any

import orjson

from headwater.plugins.signatures.reasons import Refused

# Parsed before the signature is known to be right, so bounded: the schemes concerned send far less
# (SNS at most 256 KiB).
PARSED_BYTES = 2 * 1024 * 1024

Path = tuple[str, ...]


def read_path(text: str) -> Path:
    return tuple(text.split("."))


def parse(body: bytes) -> Any:
    """The body as JSON. Raises Refused(`body_unreadable`)."""
    if len(body) > PARSED_BYTES:
        raise Refused("body_unreadable")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refused("body_unreadable") from None


def look_up(document: Any, path: Path) -> Any:
    """The value at a path of object keys, or None."""
    for key in path:
        if not isinstance(document, dict):
            return None
        document = document.get(key)
    return document


def as_bytes(value: Any) -> bytes | None:
    """Text or a whole number as the bytes that are signed; None for anything else."""
    if isinstance(value, str):
        return value.encode("utf-8")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value).encode("ascii")
    return None


def text_at(document: Any, path: Path) -> bytes:
    """The text or number at a path, as bytes. Raises Refused(`body_unreadable`)."""
    found = as_bytes(look_up(document, path))
    if found is None:
        raise Refused("body_unreadable", ".".join(path))
    return found
