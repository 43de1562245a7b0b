"""Child tables: the elements of a record's list as rows of a table of their own, joined by the parent's key.

The parent keeps a digest of its lists (`_children`), so a change in them is news of the parent, and which record
stands is decided in one place: at the parent. Its elements then go where its row went: the row in the table carries
the record's own place (run or delivery, page, position), or the record does not stand and its elements stay out.
Without a key the elements name the parent's place (`_page`, `_parent_position`).
"""

# ruff: noqa: S608 - names are quoted by quote_identifier, values never stand in these texts

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from headwater.model.names import CHILDREN_FIELD, PARENT, hashed_name, quote_identifier
from headwater.plugins.destinations.ddl import relation
from headwater.plugins.destinations.newest import key_texts, keys_of
from headwater.plugins.destinations.planning import Catalogue, Plan
from headwater.plugins.destinations.selection import select
from headwater.plugins.destinations.table import Batch, Mode, Rejected, Table

Place = tuple[int, int]  # a batch's index, and a record's in it
_PARENT_POSITION = f"{PARENT}position"


def child_table(table: Table, field: str) -> Table:
    """The table of the elements of `field`."""
    is_keyed = table.mode is not Mode.APPEND and bool(table.key)
    return Table(
        table.schema,
        child_name(table.name, field),
        Mode.DELETE_INSERT if is_keyed else Mode.APPEND,  # the mode gives it the index it needs
        tuple(PARENT + name for name in table.key) if is_keyed else (),
        contract=table.contract,
        kinds=tuple((PARENT + name, kind) for name, kind in table.kinds if name in table.key),
        like=None if table.like is None else child_name(table.like, field),
    )


def child_name(parent: str, field: str) -> str:
    """The name of the table of the elements of `field`."""
    name = f"{parent}__{field}"
    is_plain = field.isascii() and field.isidentifier() and len(name) <= 63
    return name if is_plain else hashed_name(f"{parent[:30]}__{_letters(field)}", name)


def _letters(field: str) -> str:
    return "".join(c for c in field if c.isascii() and c.isalnum())[:20] or "list"


def _elements(record: Any, field: str) -> list[Any]:
    """The elements of a list; nothing has none, and what is no list is its own only element."""
    value = record.get(field) if type(record) is dict else None
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [value]


def parents_of(table: Table, batches: Sequence[Batch]) -> tuple[Batch, ...]:
    """The records without their lists, at the same places."""
    return tuple(
        replace(batch, records=[_parent(table, record) for record in batch.records]) for batch in batches
    )


def _parent(table: Table, record: Any) -> Any:
    if type(record) is not dict:
        return record
    kept = {name: value for name, value in record.items() if name not in table.children}
    kept[CHILDREN_FIELD] = _digest([_elements(record, field) for field in table.children])
    return kept


def _digest(lists: list[list[Any]]) -> str | None:
    if not any(lists):
        return None
    try:
        text = json.dumps(lists, sort_keys=True, default=str)
    except (RecursionError, TypeError):
        text = repr(lists)[:1_000_000]
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Brood:
    """The elements of one field, and the places of the parents that they came from."""

    batches: tuple[Batch, ...]
    origins: tuple[tuple[Place, ...], ...]  # for each batch, for each element

    def blamed(self, field: str, rejected: Rejected) -> Rejected:
        """An element's rejection as one of its parent's."""
        number, index = self.origins[rejected.batch][rejected.index]
        reason = f"an element of {field!r}: {rejected.reason}"
        return Rejected(number, index, reason, rejected.record, is_element=True)


def brood_of(table: Table, field: str, batches: Sequence[Batch], chosen: Collection[Place] | None) -> Brood:
    """The elements of `field` of all records, or of those at the `chosen` places."""
    made: list[Batch] = []
    origins: list[tuple[Place, ...]] = []
    for number, batch in enumerate(batches):
        elements: list[dict[str, Any]] = []
        places: list[Place] = []
        for index, record in enumerate(batch.records):
            if chosen is not None and (number, index) not in chosen:
                continue
            link = _link(table, record, batch.first_position + index)
            for element in _elements(record, field):
                elements.append({**(element if type(element) is dict else {"value": element}), **link})
                places.append((number, index))
        made.append(replace(batch, records=elements, first_position=0))
        origins.append(tuple(places))
    return Brood(tuple(made), tuple(origins))


def _link(table: Table, record: Any, position: int) -> dict[str, Any]:
    if type(record) is not dict:
        return {}
    if table.mode is Mode.APPEND or not table.key:
        return {_PARENT_POSITION: position}
    return {PARENT + name: record.get(name) for name in table.key}


async def standing(
    connection: Any, plan: Plan, parents: Sequence[Batch], rejected: Collection[Place]
) -> tuple[set[Place], list[list[str]]]:
    """The places of the records that are the rows of their keys now, and their keys as texts, by key column."""
    selection = select(plan.table, parents).selection
    selection = selection.without({p for p, origin in enumerate(selection.origins) if origin in rejected})
    texts = key_texts(plan, keys_of(plan, selection))
    if not selection.records or texts is None:
        return set(), [[] for _ in plan.table.key]
    batches = [parents[number] for number, _ in selection.origins]
    positions = [b.first_position + index for b, (_, index) in zip(batches, selection.origins, strict=True)]
    rows = await connection.fetch(
        _standing(plan),
        *texts,
        [b.run_id for b in batches],
        [b.delivery_id for b in batches],
        [b.page for b in batches],
        positions,
        [b.ordered_at for b in batches],
    )
    found = [row["place"] - 1 for row in rows]
    return {selection.origins[p] for p in found}, [[column[p] for p in found] for column in texts]


def _standing(plan: Plan) -> str:
    columns = [plan.columns[name] for name in plan.table.key]
    size = len(columns)
    keys = ", ".join(f"${n + 1}::text[]" for n in range(size))
    same = " AND ".join(f"m.{quote_identifier(c.name)} = u.k{n}::{c.sql_type}" for n, c in enumerate(columns))
    types = ("uuid", "uuid", "integer", "integer", "timestamptz")
    rest = ", ".join(f"${size + n + 1}::{name}[]" for n, name in enumerate(types))
    aliases = ", ".join([*(f"k{n}" for n in range(size)), "run, delivery, page, position, ordered, place"])
    return (
        f"SELECT u.place FROM unnest({keys}, {rest}) WITH ORDINALITY AS u({aliases}) "
        f"JOIN {relation(plan.table)} AS m ON {same} AND m._run_id IS NOT DISTINCT FROM u.run "
        "AND m._delivery_id IS NOT DISTINCT FROM u.delivery AND m._page IS NOT DISTINCT FROM u.page "
        "AND m._position = u.position AND m._ordered_at = u.ordered"
    )


async def remove_elements(
    connection: Any, child: Table, catalogue: Catalogue, texts: list[list[str]]
) -> None:
    """Delete the elements of the parents with these keys."""
    pairs = []
    for number, name in enumerate(child.key):
        column = next((column for column in catalogue.columns if column.field == name), None)
        if column is None:
            return  # no element was ever loaded
        pairs.append(f"c.{quote_identifier(column.name)} = u.k{number}::{column.sql_type}")
    arrays = ", ".join(f"${n + 1}::text[]" for n in range(len(child.key)))
    aliases = ", ".join(f"k{n}" for n in range(len(child.key)))
    await connection.execute(
        f"DELETE FROM {relation(child)} AS c USING unnest({arrays}) AS u({aliases}) WHERE {' AND '.join(pairs)}",
        *texts,
    )


async def remove_orphans(
    connection: Any, table: Table, main: Catalogue, child: Table, brood: Catalogue
) -> None:
    """Delete the elements whose parent is gone."""
    pairs = []
    for name in table.key:
        here = next((column for column in main.columns if column.field == name), None)
        there = next((column for column in brood.columns if column.field == PARENT + name), None)
        if here is None or there is None:
            return
        pairs.append(
            f"m.{quote_identifier(here.name)}::text = c.{quote_identifier(there.name)}::text"
            if here.sql_type != there.sql_type
            else f"m.{quote_identifier(here.name)} = c.{quote_identifier(there.name)}"
        )
    await connection.execute(
        f"DELETE FROM {relation(child)} AS c WHERE NOT EXISTS "
        f"(SELECT FROM {relation(table)} AS m WHERE {' AND '.join(pairs)})"
    )
