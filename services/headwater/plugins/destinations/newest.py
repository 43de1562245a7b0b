"""Which of several records of one key is the newest. Pure: the same order as the merge statement uses in the
table.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import gt
from typing import Any

from headwater.model.infer import Kind, holds, kind_of
from headwater.plugins.destinations.planning import Column, Plan
from headwater.plugins.destinations.rendering import Unstorable, plain_text
from headwater.plugins.destinations.selection import Selection
from headwater.plugins.destinations.table import Batch


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text if len(text) > 10 else f"{text}T00:00:00+00:00")


def comparable(column: Column, value: Any) -> Any:
    """`value` in a form that is equal and ordered in Python as the column is in PostgreSQL (text: by code
    points).

    None for null and for what the column does not take. For jsonb and for types that headwater does not make,
    equal values may look different here; the database finds them.
    """
    if value is None or (column.kind is not None and not holds(column.kind, kind_of(value))):
        return None
    if column.kind is Kind.TIMESTAMPTZ:
        return _instant(value)
    if column.kind in {Kind.TEXT, Kind.JSONB, None}:
        try:
            return plain_text(value)
        except Unstorable:
            return None  # its record is rejected when it is rendered
    return value


def keys_of(plan: Plan, selection: Selection) -> list[Any]:
    """The key of each record, in a form that is equal and ordered as the database has it."""
    columns = [(name, plan.columns[name]) for name in plan.table.key]
    if len(columns) == 1:
        ((name, column),) = columns
        if column.kind in {Kind.BIGINT, Kind.INTEGER} and name not in plan.narrow:
            return [record[name] for record in selection.records]
        return [comparable(column, record[name]) for record in selection.records]
    return [
        tuple(comparable(column, record[name]) for name, column in columns) for record in selection.records
    ]


def _order(plan: Plan, batches: Sequence[Batch], selection: Selection, place: int) -> tuple[Any, ...]:
    number, index = selection.origins[place]
    batch = batches[number]
    own = (batch.ordered_at, -1 if batch.page is None else batch.page, batch.first_position + index, place)
    name = plan.table.order_by
    if name is None or name not in plan.columns:
        return own
    column = plan.columns[name]
    value = comparable(column, selection.records[place].get(name))
    return (value is not None, 0 if value is None else value, *own)


@dataclass(frozen=True, slots=True)
class Keyed:
    """One record for each key, in the order of the keys, and the others' places in the selection they came
    from.
    """

    selection: Selection
    keys: list[Any]
    older: frozenset[int]


def newest_of(plan: Plan, batches: Sequence[Batch], selection: Selection) -> Keyed:
    """The newest record of each key. All loaders take keys in one order, so that they do not lock each other
    out.
    """
    keys = keys_of(plan, selection)
    older = _older_ones(plan, batches, selection, keys)
    if older:
        selection = selection.without(older)
        keys = [key for place, key in enumerate(keys) if place not in older]
    try:
        places = sorted(range(len(keys)), key=keys.__getitem__)
    except TypeError:  # a key that does not fit its column is None; its record is rejected later
        return Keyed(selection, keys, older)
    if any(map(gt, places, places[1:])):
        picked = Selection([selection.records[i] for i in places], [selection.origins[i] for i in places])
        return Keyed(picked, [keys[i] for i in places], older)
    return Keyed(selection, keys, older)


def versions_of(plan: Plan, batches: Sequence[Batch], selection: Selection) -> list[Selection]:
    """All records, in parts that hold each key once: the oldest record of every key, then the second oldest, ..."""
    keys = keys_of(plan, selection)
    places: Sequence[int] = range(len(keys))
    if len(set(keys)) < len(keys):
        places = sorted(places, key=lambda place: _order(plan, batches, selection, place))
    seen: Counter[Any] = Counter()
    parts: list[Selection] = []
    for place in places:
        number = seen[keys[place]]
        seen[keys[place]] += 1
        if number == len(parts):
            parts.append(Selection([], []))
        parts[number].records.append(selection.records[place])
        parts[number].origins.append(selection.origins[place])
    return parts


def key_texts(plan: Plan, keys: Sequence[Any]) -> list[list[str]] | None:
    """The keys as texts for PostgreSQL, one list for each key column; None when one of them cannot be."""
    columns = [keys] if len(plan.table.key) == 1 else list(zip(*keys, strict=True))
    if any(None in column for column in columns):
        return None
    return [[_text_of(value) for value in column] for column in columns]


def _text_of(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _older_ones(
    plan: Plan, batches: Sequence[Batch], selection: Selection, keys: Sequence[Any]
) -> frozenset[int]:
    """The places of the records that a newer one of the same key stands for."""
    if len(set(keys)) == len(keys):
        return frozenset()
    newest: dict[Any, int] = {}
    dropped: set[int] = set()
    for place, key in enumerate(keys):
        other = newest.setdefault(key, place)
        if other == place or key is None:
            continue
        is_newer = _order(plan, batches, selection, place) >= _order(plan, batches, selection, other)
        newest[key] = place if is_newer else other
        dropped.add(other if is_newer else place)
    return frozenset(dropped)
