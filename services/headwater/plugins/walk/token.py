"""The token of a page: where it is to be had, and how far the walk was before it. Plain JSON on the wire."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from headwater.plugins.paginators import Place, Progress

START = Progress()
_TEXT_OF = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=str).encode


class Token(NamedTuple):
    """What, with the stream's definition, determines a page's request and the judgement of its answer.

    `place` is the paginator's. `progress` covers the pages before. `first_digest` and `last_digest` are those
    of the records of the first page and of the page before ("" where there is none). `began_s` is when the
    walk began (seconds since 1970). `since` is the cursor's value that the request asks to go on from.
    `planned` is the last page of a walk whose pages can be asked for in any order, each of `step` records
    (0: one page follows from the other). `base_number` and `base_received` are the pages and records of earlier
    runs, where a walk goes on that a limit had ended. `parent`: the values of the record that the walk is for, where it
    is one of a parent's records; `level`: how many parents stand above it. `until`: the end of the window that the
    walk is for, which `since` begins. `since_id` is the id of the last record at `since`, `seen` are digests of records
    from there on that were loaded already. `is_slice`: the walk is one of several of its run, each for a slice of time.
    `edge`: digests of records that the page may bring again, and that were loaded: where the walk goes on from a key
    those of the page before that have it, where a limit cut the page its first ones; `has_ties`: on the page before
    records shared a key. `columns` are those of the pages before, where these are CSV. `kept` is the last token for the
    next run that a page before had.
    """

    place: Place
    progress: Progress = START
    first_digest: str = ""
    last_digest: str = ""
    began_s: float = 0.0
    since: Any = None
    planned: int = 0
    step: int = 0
    base_number: int = 0
    base_received: int = 0
    parent: Mapping[str, Any] | None = None
    level: int = 0
    until: Any = None
    since_id: str | None = None
    seen: tuple[str, ...] = ()
    is_slice: bool = False
    edge: tuple[str, ...] = ()
    has_ties: bool = False
    columns: tuple[str, ...] = ()
    kept: Any = None

    @property
    def progress_here(self) -> Progress:
        """How far the walk is; where it goes through slices, that of its slice."""
        so_far = self.place.get("so_far")
        return self.progress if so_far is None else Progress(**so_far)

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> "Token":
        told = dict(wire)
        told["began_s"] = float(told.get("began_s") or 0.0)  # exact reading may have made it a Decimal
        for name in ("seen", "edge", "columns"):
            told[name] = tuple(told.get(name) or ())
        return cls(**(told | {"progress": Progress(**told.get("progress", {}))}))

    def to_wire(self) -> dict[str, Any]:
        wire = {
            "place": self.place,
            "progress": {name: value for name, value in self.progress._asdict().items() if value is not None},
            "first_digest": self.first_digest,
            "last_digest": self.last_digest,
            "began_s": self.began_s,
            "since": self.since,
            "planned": self.planned,
            "step": self.step,
            "base_number": self.base_number,
            "base_received": self.base_received,
        }
        if self.parent is not None:
            wire |= {"parent": self.parent, "level": self.level}
        if self.since_id is not None:
            wire["since_id"] = self.since_id
        if self.seen:
            wire["seen"] = list(self.seen)
        if self.until is not None:
            wire["until"] = self.until
        if self.is_slice:
            wire["is_slice"] = True
        if self.edge:
            wire |= {"edge": list(self.edge), "has_ties": self.has_ties}
        if self.columns:
            wire["columns"] = list(self.columns)
        if self.kept is not None:
            wire["kept"] = self.kept
        return wire


def is_slice(wire: Mapping[str, Any]) -> bool:
    """Whether the token is of a walk that is one of several of its run, each for a slice of time."""
    return bool(wire.get("is_slice"))


def token_digest(wire: Mapping[str, Any]) -> bytes:
    """32 bytes that are equal for two tokens of one walk exactly when they ask for the same page.

    Counters that a token carries along do not count, so this is what a loop guard compares.
    """
    place = {name: value for name, value in wire["place"].items() if name != "so_far"}
    return hashlib.sha256(_TEXT_OF(place).encode("utf-8", "surrogatepass")).digest()
