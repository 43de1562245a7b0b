"""Which column takes which field, and what has to change in the table first. Pure: compares what is with what
is seen.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from headwater.model.errors import DestinationError
from headwater.model.infer import Kind, holds, kinds_in, widen
from headwater.model.names import OWN_COLUMNS, assign_columns
from headwater.plugins.destinations.ddl import CURRENT, OWN_TYPES, is_key_index, own_columns
from headwater.plugins.destinations.selection import Selected, Selection
from headwater.plugins.destinations.table import Contract, Mode, Table

MAX_COLUMNS = 1000  # PostgreSQL ends at 1600, dropped ones included
# Values that fit a row of 8,160 bytes whatever they are: what is longer than 24 bytes can stand elsewhere.
MOST_IN_ROW = 300
WIDENING_PENDING = "widening_pending"
COLUMNS_LIMIT = "columns_limit"
VALUES_DISCARDED = "values_discarded"

WRITTEN_OWN = tuple(name for name in OWN_TYPES if name != "_loaded_at")


@dataclass(frozen=True, slots=True)
class Column:
    """A column as the database has it.

    `kind` is None for types that headwater does not make itself: they take the text of a value, and
    PostgreSQL judges. `field` is the field that holds the column; None for one that no field has claimed.
    """

    name: str
    kind: Kind | None
    sql_type: str
    field: str | None = None


@dataclass(frozen=True, slots=True)
class Index:
    """A valid index on plain columns; `predicate` is empty where it covers all rows."""

    columns: frozenset[str]
    is_unique: bool
    predicate: str = ""
    name: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """A table as the database has it."""

    oid: int
    columns: tuple[Column, ...]
    indexes: frozenset[Index] = frozenset()

    def column(self, name: str) -> Column | None:
        return next((column for column in self.columns if column.name == name), None)

    @property
    def holders(self) -> dict[str, str | None]:
        """Columns that fields may have, with the field that has them."""
        return {column.name: column.field for column in self.columns if column.name not in OWN_COLUMNS}


EMPTY = Catalogue(oid=0, columns=())


@dataclass(frozen=True, slots=True)
class Changes:
    """What has to be done to a table: everything empty means nothing."""

    add: tuple[tuple[str, Kind, str], ...] = ()  # column, kind, field
    widen: tuple[tuple[str, Kind, Kind], ...] = ()  # column, from, to
    claim: tuple[tuple[str, str], ...] = ()  # column, field
    own: tuple[str, ...] = ()
    index: tuple[str, ...] = ()  # the columns of the key, where their index is missing
    drop: tuple[str, ...] = ()  # indexes of another key or mode, which would keep rows out
    keys: frozenset[str] = frozenset()  # the columns of the key, which changes nothing

    def __bool__(self) -> bool:
        return bool(self.add or self.widen or self.claim or self.own or self.index or self.drop)


@dataclass(frozen=True, slots=True)
class Plan:
    """How the records of some batches go into the table as `catalogue` has it.

    `columns` gives each field its column. Fields in `narrow` hold values that their column does not take,
    fields in `homeless` have none: what happens to such values is `misfit`. `selected` are those that were
    looked at.
    """

    table: Table
    catalogue: Catalogue
    columns: Mapping[str, Column]
    evidence: Mapping[str, Kind]
    narrow: frozenset[str] = frozenset()
    homeless: frozenset[str] = frozenset()
    warnings: frozenset[str] = frozenset()
    selected: Selected | None = field(default=None, repr=False)
    seen: "Plan | None" = None  # how the keys that the run brought are noted
    children: "tuple[Plan, ...]" = ()  # how elements are loaded, for each of the table's children

    @property
    def key_columns(self) -> tuple[str, ...]:
        return tuple(self.columns[name].name for name in self.table.key)

    @property
    def order_column(self) -> Column | None:
        """The column of `order_by`, whether these records fill it or not; None when there is none (yet)."""
        name = self.table.order_by
        if name is None or name in self.columns:
            return None if name is None else self.columns[name]
        return next((column for column in self.catalogue.columns if column.field == name), None)

    @property
    def field_columns(self) -> tuple[Column, ...]:
        """The columns that records fill, whether these records do or not."""
        held = {column.name for column in self.columns.values()}
        return tuple(
            column
            for column in self.catalogue.columns
            if column.name not in OWN_COLUMNS and (column.field is not None or column.name in held)
        )


def evidence_of(table: Table, selection: Selection, catalogue: Catalogue) -> dict[str, Kind]:
    """The kind of each field of the records, which is at least what the table asks for; only where its contract leaves
    columns as they are these are not asked for more.
    """
    evidence = kinds_in((part.columns for part in selection.parts), known_kinds(catalogue))
    fixed = frozenset() if table.contract is Contract.EVOLVE else frozenset(catalogue.holders.values())
    for name, kind in table.kinds:
        if name not in fixed and evidence.get(name, Kind.NULL) is not Kind.NULL:
            evidence[name] = widen(evidence[name], kind)
    return evidence


def known_kinds(catalogue: Catalogue) -> dict[str, Kind]:
    """The fields whose column takes any text, or anything: their values need no closer look."""
    return {
        column.field: column.kind
        for column in catalogue.columns
        if column.field is not None and column.kind in {Kind.TEXT, Kind.JSONB}
    }


def _assigned(catalogue: Catalogue, evidence: Mapping[str, Kind]) -> dict[str, str]:
    seen = [name for name, kind in evidence.items() if kind is not Kind.NULL]
    return assign_columns(seen, catalogue.holders)


def changes_for(table: Table, catalogue: Catalogue, evidence: Mapping[str, Kind]) -> Changes:
    """What would make the table fit all that is seen (up to MAX_COLUMNS), contract and costs left aside."""
    assigned = _assigned(catalogue, evidence)
    add: list[tuple[str, Kind, str]] = []
    wider: list[tuple[str, Kind, Kind]] = []
    claim: list[tuple[str, str]] = []
    for name in evidence:  # the order in which fields were first seen is the order of their columns
        if name not in assigned:
            continue
        column = catalogue.column(assigned[name])
        if column is None:
            add.append((assigned[name], evidence[name], name))
            continue
        if column.field is None:
            claim.append((column.name, name))
        if column.kind is not None and not holds(column.kind, evidence[name]):
            wider.append((column.name, column.kind, _target(column.kind, evidence[name])))
    existing = {column.name for column in catalogue.columns}
    room = max(0, MAX_COLUMNS - len(existing - OWN_COLUMNS))
    return Changes(
        add=_key_first(table, add)[:room],
        widen=tuple(wider),
        claim=tuple(claim),
        own=tuple(name for name in own_columns(table) if name not in existing),
        index=_missing_index(table, catalogue, assigned),
        drop=_stale_indexes(table, catalogue, assigned),
        keys=frozenset(assigned[name] for name in table.key if name in assigned),
    )


def _target(old: Kind, seen: Kind) -> Kind:
    """What a column becomes. Integers that meet fractions may be doubles if all of them are exact: whoever
    changes the table looks, and makes it numeric otherwise.
    """
    return Kind.DOUBLE if old is Kind.BIGINT and seen is Kind.DOUBLE else widen(old, seen)


def _key_first(table: Table, add: list[tuple[str, Kind, str]]) -> tuple[tuple[str, Kind, str], ...]:
    """The key must not be what falls over the edge of MAX_COLUMNS; short of the edge the order is as seen."""
    if len(add) < MAX_COLUMNS // 2:
        return tuple(add)
    return tuple(sorted(add, key=lambda entry: entry[2] not in table.key))


def _missing_index(table: Table, catalogue: Catalogue, assigned: Mapping[str, str]) -> tuple[str, ...]:
    if table.mode is Mode.APPEND or not table.key or not all(name in assigned for name in table.key):
        return ()
    columns = tuple(assigned[name] for name in table.key)
    predicate = CURRENT if table.mode is Mode.SCD2 else ""
    serves = {Index(frozenset(columns), True, predicate)}
    if table.mode is Mode.DELETE_INSERT:
        serves.add(Index(frozenset(columns), False))
    return () if serves & catalogue.indexes else columns


def _stale_indexes(table: Table, catalogue: Catalogue, assigned: Mapping[str, str]) -> tuple[str, ...]:
    """The unique indexes that headwater made for what the table was loaded by before."""
    key = frozenset(assigned.get(name, "") for name in table.key)
    if table.mode is not Mode.APPEND and "" in key:
        return ()  # none of these records has it
    serves = {Mode.MERGE: Index(key, True), Mode.SCD2: Index(key, True, CURRENT)}.get(table.mode)
    own = (index for index in catalogue.indexes if index.is_unique and index != serves)
    return tuple(sorted(index.name for index in own if is_key_index(table, index.name)))


def allowed(table: Table, catalogue: Catalogue, changes: Changes) -> Changes:
    """The part of `changes` that the table's contract allows. A new table takes its first shape from its
    first load.

    Raises: DestinationError under contract freeze when columns would be added or widened.
    """
    if table.contract is Contract.EVOLVE or not catalogue.oid:
        return changes
    if table.contract is Contract.FREEZE and (changes.add or changes.widen):
        names = [repr(name) for _, _, name in changes.add] + [repr(name) for name, _, _ in changes.widen]
        raise DestinationError(
            f"table {table.told} is frozen, but records bring new fields or types: {_first(names)}; "
            "set the contract to evolve, or choose what to discard"
        )
    return replace(changes, add=(), widen=())


def _first(names: list[str], most: int = 10) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def make_plan(
    table: Table, catalogue: Catalogue, evidence: Mapping[str, Kind], selected: Selected | None = None
) -> Plan:
    """The plan for the table as it is now."""
    assigned = _assigned(catalogue, evidence)
    columns = {name: column for name in assigned if (column := catalogue.column(assigned[name])) is not None}
    narrow = frozenset(
        name
        for name, column in columns.items()
        if column.kind is not None and not holds(column.kind, evidence[name])
    )
    homeless = frozenset(name for name in assigned if name not in columns)
    return Plan(
        table,
        catalogue,
        columns,
        dict(evidence),
        narrow,
        homeless,
        _warnings(table, narrow, homeless),
        selected,
    )


def relieved(plan: Plan, record: Mapping[str, Any]) -> Plan | None:
    """The plan by which a record with too many values for one row has the rest of them, those of the table's last
    columns, in `_extra`; None: it has not, or the table's contract leaves nothing there.
    """
    table = plan.table
    fixed = {*table.key, table.order_by, table.deleted_field}
    fields = {column.name: name for name, column in plan.columns.items()}
    named = [fields[column.name] for column in plan.catalogue.columns if column.name in fields]
    free = [name for name in named if name not in fixed and name[:1] != "\0" and record.get(name) is not None]
    if len(free) <= MOST_IN_ROW or table.contract is not Contract.EVOLVE:
        return None
    aside = frozenset(free[MOST_IN_ROW:])
    columns = {name: column for name, column in plan.columns.items() if name not in aside}
    return replace(plan, columns=columns, narrow=plan.narrow - aside, homeless=plan.homeless | aside)


def _warnings(table: Table, narrow: frozenset[str], homeless: frozenset[str]) -> frozenset[str]:
    if table.contract is Contract.DISCARD_ROW:
        return frozenset()  # rejected rows speak for themselves
    if table.contract is Contract.DISCARD_VALUE:
        return frozenset({VALUES_DISCARDED}) if narrow or homeless else frozenset()
    aside = narrow.difference(table.key)  # records whose key does not fit are rejected
    return frozenset(({WIDENING_PENDING} if aside else set()) | ({COLUMNS_LIMIT} if homeless else set()))
