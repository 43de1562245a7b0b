"""Which of the records in hand may become rows, and their columns. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any, Protocol

from headwater.model.infer import columns_of
from headwater.plugins.destinations.table import Batch, Rejected, Table

PART_ROWS = 1000


@dataclass(frozen=True)
class Selection:
    """Records that may become rows, each with its batch's index and its own index in that batch."""

    records: list[dict[str, Any]]
    origins: list[tuple[int, int]]

    def part(self, start: int, stop: int) -> "Selection":
        return Selection(self.records[start:stop], self.origins[start:stop])

    @cached_property
    def parts(self) -> Sequence["Selection"]:
        """PART_ROWS at a time, in their order."""
        return [self.part(start, start + PART_ROWS) for start in range(0, len(self.records), PART_ROWS)]

    @cached_property
    def columns(self) -> Mapping[str, Sequence[Any]]:
        """Each field's values, None where a record lacks it."""
        return columns_of(self.records)

    def without(self, dropped: frozenset[int] | set[int]) -> "Selection":
        """The rest when the records at these places are left out."""
        if not dropped:
            return self
        kept = [place for place in range(len(self.records)) if place not in dropped]
        return Selection([self.records[place] for place in kept], [self.origins[place] for place in kept])


@dataclass(frozen=True, slots=True)
class Selected:
    """What of `batches` may become rows, and what may not."""

    batches: Sequence[Batch]
    selection: Selection
    rejected: tuple[Rejected, ...] = ()

    def is_of(self, batches: Sequence[Batch]) -> bool:
        """Whether these are the very batches."""
        return len(batches) == len(self.batches) and all(
            one is other for one, other in zip(batches, self.batches, strict=True)
        )


def select(table: Table, batches: Sequence[Batch]) -> Selected:
    """The records of all batches that may become rows of `table`, and the others with the reason."""
    records = list(chain.from_iterable(batch.records for batch in batches))
    origins = [(number, index) for number, batch in enumerate(batches) for index in range(len(batch.records))]
    if _are_acceptable(table, records):
        return Selected(batches, Selection(records, origins))
    reasons = [refusal(table, record) for record in records]
    kept = [place for place, reason in enumerate(reasons) if reason is None]
    rejected = tuple(
        Rejected(*origins[place], reason, records[place])
        for place, reason in enumerate(reasons)
        if reason is not None
    )
    selection = Selection([records[place] for place in kept], [origins[place] for place in kept])
    return Selected(batches, selection, rejected)


def keys_only(table: Table, batches: Sequence[Batch]) -> tuple[Batch, ...]:
    """The records that may become rows, with nothing but their key."""
    return tuple(
        replace(
            batch,
            records=[
                {name: record[name] for name in table.key}
                for record in select(table, [batch]).selection.records
            ],
        )
        for batch in batches
    )


def _are_acceptable(table: Table, records: Sequence[Any]) -> bool:
    """Whether every one of the records may become a row (the common case, found fast)."""
    if set(map(type, records)) != {dict}:
        return False
    return all(None not in [record.get(name) for record in records] for name in table.key)


class Keyed(Protocol):
    """What rows are known by."""

    @property
    def key(self) -> Sequence[str]: ...


def refusal(table: Keyed, record: Any) -> str | None:
    """Why `record` cannot be a row of `table`, whatever its values are; None when it may be one."""
    if type(record) is not dict:
        return f"the record is no object but {_json_name(record)}"
    for name in table.key:
        if record.get(name) is None:
            return f"key field {name!r} is {'null' if name in record else 'missing'}"
    return None


def _json_name(value: Any) -> str:
    names = {type(None): "null", bool: "a boolean", str: "a text", list: "a list"}
    return names.get(type(value), "a number")
