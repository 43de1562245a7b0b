"""What is kept of the records at a cursor's value, so that those that are asked for again are known.

APIs mostly give the records at the bound itself again. A boundary is `{"value", "id", "seen"}`: the cursor's value, the
id of the last record that has it, and digests of the records that have it, or null when there are too many to keep.
A plain mark is a boundary of which nothing else is known.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from headwater.contracts.codec import dumps
from headwater.model.storable import storable
from headwater.plugins.expressions import Getter
from headwater.plugins.walk.cursor import Mark, order_of

MOST_SEEN = 200  # digests of 8 bytes: they travel with each page of the next walk
_DIGEST_BYTES = 8
_LONGEST_ID = 256


def value_of(mark: Any) -> Any:
    """The cursor's value of a mark or boundary."""
    return mark["value"] if isinstance(mark, Mapping) else mark


def digest_of(record: Any) -> str:
    """16 characters that are equal for equal records."""
    return hashlib.blake2b(dumps(record), digest_size=_DIGEST_BYTES).hexdigest()


def boundary_at(
    value: Mark, records: Sequence[Any], marks: Sequence[Any], identity: Getter | None, *, keeps_seen: bool
) -> dict[str, Any]:
    """The boundary at `value`, which some of `marks`, those of `records`, are."""
    there = [record for record, mark in zip(records, marks, strict=True) if mark == value]
    found = [] if identity is None else [identity(record) for record in there]
    ids = [storable(str(one))[:_LONGEST_ID] for one in found if isinstance(one, str | int)]
    seen = sorted({digest_of(record) for record in there}) if keeps_seen and len(there) <= MOST_SEEN else None
    return {"value": value, "id": max(ids, key=order_of, default=None), "seen": seen}


def joined(marks: Iterable[Any]) -> Any:
    """The highest of marks and boundaries; those that are equal become one. None when there is none."""
    there = [mark for mark in marks if mark is not None]
    if not there:
        return None
    top = max(order_of(value_of(mark)) for mark in there)
    alike = [mark for mark in there if order_of(value_of(mark)) == top]
    known = [mark for mark in alike if isinstance(mark, Mapping)]
    if not known:
        return alike[0]
    ids = [one["id"] for one in known if one["id"] is not None]
    return {
        "value": known[0]["value"],
        "id": max(ids, key=order_of, default=None),
        "seen": together(one["seen"] for one in known),
    }


def together(seen: Iterable[Sequence[str] | None]) -> list[str] | None:
    """The digests of several boundaries; None when those of one are not known, or there are too many."""
    parts = list(seen)
    if any(part is None for part in parts):
        return None
    every = sorted({digest for part in parts for digest in part or ()})
    return every if len(every) <= MOST_SEEN else None
