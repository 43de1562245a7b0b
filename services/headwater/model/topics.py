"""Routing keys of events: what subscribers of `headwater.events` bind to."""

import hashlib
import re

MAX_WORD = 64
_OTHERS = re.compile(r"[^A-Za-z0-9_-]+")


def word(text: str) -> str:
    """`text` as one word of a routing key: 1 to 64 of `[A-Za-z0-9_-]`. A cut word ends in a hash of the whole."""
    reduced = _OTHERS.sub("_", text) or "_"
    if len(reduced) <= MAX_WORD:
        return reduced
    return f"{reduced[: MAX_WORD - 9]}_{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:8]}"


def routing_key(tenant: str, kind: str, name: str, event: str) -> str:
    """The topic `<tenant>.<kind>.<name>.<event>`."""
    return ".".join(word(part) for part in (tenant, kind, name, event))
