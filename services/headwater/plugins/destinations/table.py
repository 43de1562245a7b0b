"""What a destination is asked and what it answers: plain data, the same for every kind of destination."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Self
from uuid import UUID

from headwater.model.errors import DestinationError, Later
from headwater.model.infer import Kind
from headwater.model.names import hashed_name, quote_identifier


class Mode(StrEnum):
    """How records become rows."""

    APPEND = "append"  # every record is a new row
    MERGE = "merge"  # one row per key: the newest record
    REPLACE = "replace"  # the rows of a complete run stand for all rows there were
    DELETE_INSERT = "delete_insert"  # the records of a key stand for all rows of that key that came before
    SCD2 = "scd2"  # every version of a key's record is a row, with the time in which it held


class Contract(StrEnum):
    """What happens when records do not fit the table as it is."""

    EVOLVE = "evolve"  # the table follows: columns are added and widened
    FREEZE = "freeze"  # the load fails
    DISCARD_ROW = "discard_row"  # the record is rejected
    DISCARD_VALUE = "discard_value"  # the record is kept without the value


_KEYED = frozenset({Mode.MERGE, Mode.DELETE_INSERT, Mode.SCD2})
_ONE_ROW_A_KEY = frozenset({Mode.MERGE, Mode.SCD2})


@dataclass(frozen=True, slots=True)
class Table:
    """One table. `key`, `order_by` and `deleted_field` are names of fields, not of columns.

    In the modes merge and scd2 an older record never replaces a newer one. Newer is the one with the higher
    `order_by` field (null is lowest; text by code points), and among equals, or without `order_by`, the higher
    (`ordered_at`, page, position).
    A record whose `deleted_field` is true, or is there and says neither false nor no, deletes the row of its key.
    With `soft_delete` rows are not deleted: `_deleted_at` says since when they are gone (scd2 ends their version).
    With `delete_missing` the rows that a complete run did not bring are deleted, unless they are more than that
    share of all (0 to 1). Such runs, and those of mode replace, load into `for_run(…)`.
    The lists in the fields `children` become rows of tables of their own, named `<table>__<field>`.
    `kinds` are those that the columns of fields have at least, whatever their values are.
    Raises: DestinationError when the definition cannot be.
    """

    schema: str
    name: str
    mode: Mode = Mode.APPEND
    key: tuple[str, ...] = ()
    order_by: str | None = None
    contract: Contract = Contract.EVOLVE
    soft_delete: bool = False
    deleted_field: str | None = None
    delete_missing: float | None = None
    children: tuple[str, ...] = ()
    kinds: tuple[tuple[str, Kind], ...] = ()
    like: str | None = None  # the table whose columns this one starts with
    stages: Mode | None = (
        None  # how the table of a run of mode replace is loaded; None: by its key, if it has one
    )
    seen: str | None = None  # the table that notes the keys which the run brought

    def __post_init__(self) -> None:
        try:
            quote_identifier(self.schema)
            quote_identifier(self.name)
        except ValueError as error:
            raise DestinationError(f"table {self.schema}.{self.name}: {error}") from error
        fault = self._fault()
        if fault is not None:
            raise DestinationError(f"table {self.name}: {fault}")

    def _fault(self) -> str | None:
        if self.mode in _KEYED and not self.key:
            return f"mode {self.mode.value} needs a key; name the field or fields that identify a record"
        if len(set(self.key)) != len(self.key):
            return "the key names a field twice; name each once"
        if self.deletes and not (self.mode in _ONE_ROW_A_KEY or (self.mode is Mode.REPLACE and self.key)):
            return "deletions need a key and mode merge or scd2, so that a record can be found again"
        if self.delete_missing is not None and not 0 <= self.delete_missing <= 1:
            return "delete_missing is a share of the rows, from 0 to 1"
        if self.children and self.mode in {Mode.DELETE_INSERT, Mode.SCD2}:
            return f"mode {self.mode.value} has no child tables; leave the lists as jsonb"
        if set(self.children) & {*self.key, self.order_by, self.deleted_field}:
            return "a field that is the key, the order or the mark of deletion cannot be a child table"
        return None

    @property
    def told(self) -> str:
        """What people call it: the table for which a run has one of its own."""
        return self.like or self.name

    @property
    def deletes(self) -> bool:
        return self.soft_delete or self.deleted_field is not None or self.delete_missing is not None

    @property
    def is_by_run(self) -> bool:
        """Whether runs load into a table of their own, and closing one does the rest."""
        return self.mode is Mode.REPLACE or self.delete_missing is not None

    @property
    def is_of_run(self) -> bool:
        """Whether this is what `for_run` gives: a table of one attempt, or one with notes of it."""
        return self.like is not None or self.seen is not None

    def rebuilt(self) -> "Table":
        """The same table, for a run whose rows stand for all rows there were."""
        if self.mode is Mode.REPLACE:
            return self
        key = () if self.mode is Mode.APPEND else self.key
        return replace(self, mode=Mode.REPLACE, stages=self.mode, key=key, delete_missing=None)

    def for_run(self, run_id: UUID, attempt: int) -> "Table":
        """The table that the pages of this attempt load into: this one, unless the mode needs another."""
        if self.mode is Mode.REPLACE:
            return replace(
                self,
                name=self._helper("staging", run_id, attempt),
                mode=self.stages or (Mode.MERGE if self.key else Mode.APPEND),
                like=self.name,
                soft_delete=False,
                delete_missing=None,
            )
        if self.delete_missing is not None:
            return replace(self, seen=self._helper("seen", run_id, attempt))
        return self

    def of_keys(self) -> "Table":
        """The table that notes which keys a run brought."""
        assert self.seen is not None
        return Table(self.schema, self.seen, Mode.MERGE, self.key, kinds=self.kinds)

    def _helper(self, what: str, run_id: UUID, attempt: int) -> str:
        return hashed_name(f"_{self.name[:30]}_{what}", f"{self.name}\0{run_id}\0{attempt}", 12)


@dataclass(frozen=True, slots=True)
class Batch:
    """Records on their way to one table: those of one page of a run, or of one delivery.

    `ordered_at` says how new they are (start of the run's attempt, or receipt of the delivery; aware UTC). A
    record's position is its index in `records` plus `first_position`. Records that are no objects are rejected.
    """

    records: Sequence[Any]
    ordered_at: datetime
    run_id: UUID | None = None
    delivery_id: UUID | None = None
    page: int | None = None
    first_position: int = 0


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that could not be a row. `batch` is its batch's index in the load, `index` its own in that batch.

    `is_element`: the record is a row, and one of its elements could not be a row of the table of these.
    """

    batch: int
    index: int
    reason: str
    record: Any
    is_element: bool = False


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of records: inserted + updated + unchanged + rejected + deduplicated = all of them, but for those
    that ask for a deletion: where there was a row, it is counted in `deleted`, else they are `unchanged`.

    `unchanged` are those whose row says the same already or is newer; `deduplicated` those that a newer record of
    the same key in the same load stood for. `deleted` counts rows: also those that the mode took away.
    """

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0
    deduplicated: int = 0
    deleted: int = 0

    def __add__(self, other: Self) -> "Counts":
        return Counts(
            self.inserted + other.inserted,
            self.updated + other.updated,
            self.unchanged + other.unchanged,
            self.rejected + other.rejected,
            self.deduplicated + other.deduplicated,
            self.deleted + other.deleted,
        )


@dataclass(frozen=True, slots=True)
class Loaded:
    """The outcome of a load: counts for each run (None: records without one), what was rejected, warning codes."""

    by_run: Mapping[UUID | None, Counts] = field(default_factory=dict)
    rejected: tuple[Rejected, ...] = ()
    warnings: frozenset[str] = frozenset()

    @property
    def counts(self) -> Counts:
        return sum(self.by_run.values(), Counts())


@dataclass(frozen=True, slots=True)
class Closed:
    """What closing a run did to its table."""

    deleted: int = 0
    warnings: frozenset[str] = frozenset()


class StalePlan(Later):
    """The table changed since the plan was made in a way that needs a new `prepare`; nothing was loaded."""

    def __init__(self, table: str) -> None:
        super().__init__(0.0, f"table {table} was changed by another loader")
