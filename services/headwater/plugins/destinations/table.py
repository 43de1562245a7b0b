"""What a destination is asked and what it answers: plain data, the same for every kind of destination."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from headwater.model.errors import DestinationError, Later
from headwater.model.names import quote_identifier


class Mode(StrEnum):
    """How records become rows."""

    APPEND = "append"  # every record is a new row
    MERGE = "merge"  # one row per key: the newest record


class Contract(StrEnum):
    """What happens when records do not fit the table as it is."""

    EVOLVE = "evolve"  # the table follows: columns are added and widened
    FREEZE = "freeze"  # the load fails
    DISCARD_ROW = "discard_row"  # the record is rejected
    DISCARD_VALUE = "discard_value"  # the record is kept without the value


@dataclass(frozen=True, slots=True)
class Table:
    """One table. `key` and `order_by` are names of fields, not of columns.

    In mode merge an older record never replaces a newer one. Newer is the one with the higher `order_by`
    field (null is lowest; text by code points), and among equals, or without `order_by`, the higher
    (`ordered_at`, page, position).
    Raises: DestinationError when the definition cannot be.
    """

    schema: str
    name: str
    mode: Mode = Mode.APPEND
    key: tuple[str, ...] = ()
    order_by: str | None = None
    contract: Contract = Contract.EVOLVE

    def __post_init__(self) -> None:
        try:
            quote_identifier(self.schema)
            quote_identifier(self.name)
        except ValueError as error:
            raise DestinationError(f"table {self.schema}.{self.name}: {error}") from error
        if self.mode is Mode.MERGE and not self.key:
            raise DestinationError(
                f"table {self.name}: mode merge needs a key; name the field that identifies a record"
            )
        if len(set(self.key)) != len(self.key):
            raise DestinationError(f"table {self.name}: the key names a field twice; name each once")


@dataclass(frozen=True, slots=True)
class Batch:
    """Records on their way to one table: those of one page of a run, or of one delivery.

    `ordered_at` says how new they are (start of the run's attempt, or receipt of the delivery; aware). A
    record's position is its index in `records` plus `first_position`. Records that are no objects are
    rejected.
    """

    records: Sequence[Any]
    ordered_at: datetime
    run_id: UUID | None = None
    delivery_id: UUID | None = None
    page: int | None = None
    first_position: int = 0


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that could not be a row. `batch` is its batch's index in the load, `index` its own in that
    batch.
    """

    batch: int
    index: int
    reason: str
    record: Any


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of records: inserted + updated + unchanged + rejected + deduplicated = all of them.

    `unchanged` are those whose row says the same already or is newer; `deduplicated` those that a newer
    record of the same key in the same load stood for.
    """

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0
    deduplicated: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.inserted + other.inserted,
            self.updated + other.updated,
            self.unchanged + other.unchanged,
            self.rejected + other.rejected,
            self.deduplicated + other.deduplicated,
        )


@dataclass(frozen=True, slots=True)
class Loaded:
    """The outcome of a load: counts for each run (None: records without one), what was rejected, warning
    codes.
    """

    by_run: Mapping[UUID | None, Counts] = field(default_factory=dict)
    rejected: tuple[Rejected, ...] = ()
    warnings: frozenset[str] = frozenset()

    @property
    def counts(self) -> Counts:
        return sum(self.by_run.values(), Counts())


class StalePlan(Later):
    """The table changed since the plan was made in a way that needs a new `prepare`; nothing was loaded."""

    def __init__(self, table: str) -> None:
        super().__init__(0.0, f"table {table} was changed by another loader")
