"""What a check found: the path in the document, what is wrong, and the mend."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headwater.contracts.calendars import Calendar
from headwater.contracts.destination import Destination
from headwater.contracts.destinations import NamedDestination
from headwater.contracts.problem import Part

Path = tuple[str | int, ...]
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")  # RFC 9110 §5.6.2
_OF_THE_CONNECTION = frozenset(
    {
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "upgrade",
        "expect",
    }
)


@dataclass(frozen=True, slots=True)
class Finding:
    path: Path
    what: str
    mend: str = ""
    part: Part | None = None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a manifest is judged against besides itself. None: not known, so that nothing is said about it.

    `streams` are those of the database as `source.stream`, `secrets` and `notifications` the tenant's names,
    `after` its schedules with those that they follow, `with_cursor` its streams that have a cursor,
    `destinations` and `calendars` those of the database by name, `stored` the
    definitions of schedules as they are now,
    `loading` what loads the manifest's tables besides it, `turned` who uses the destinations that the manifest would
    turn into another kind, or into another database than headwater's own. `has_broker`: whether headwater has a
    RabbitMQ of its own.
    `knows_minimum`: whether `minimum_interval_s` is the tenant's, or that of one that says nothing.
    """

    streams: frozenset[str] | None = None
    secrets: frozenset[str] | None = None
    notifications: frozenset[str] | None = None
    minimum_interval_s: float = field(default=60.0)
    knows_minimum: bool = True
    after: Mapping[str, Sequence[str]] | None = None
    with_cursor: frozenset[str] = frozenset()
    destinations: Mapping[str, NamedDestination] | None = None
    has_broker: bool | None = None
    calendars: Mapping[str, Calendar] | None = None
    stored: Mapping[str, Mapping[str, Any]] | None = None
    loading: Sequence[tuple[str, Destination]] = ()
    turned: Mapping[str, Sequence[str]] = field(default_factory=dict)


def split_sentence(text: str, mend: str = "") -> tuple[str, str]:
    """An error's sentence as what and mend: our messages put the mend behind a semicolon or colon."""
    what, separator, rest = text.rpartition("; ")
    return (what, rest) if separator else (text, mend)


def header_fault(name: str, value: str) -> tuple[str, str] | None:
    """What is wrong with a header that is to be sent, and the mend; None when it can go."""
    if _HEADER.fullmatch(name) is None:
        return f"{name[:60]!r} is no header's name", "use letters, digits and -"
    if name.lower() in _OF_THE_CONNECTION:
        return f"{name} belongs to the connection", "remove it: it is set by itself"
    if any((ord(letter) < 32 and letter != "\t") or ord(letter) == 127 for letter in value):
        return "holds control characters (a line end?)", "keep it to one line"
    if value != value.strip():
        return "begins or ends with a blank", "remove it: it would not arrive"
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        return "holds characters that no header can carry", "keep it to latin-1"
    return None
