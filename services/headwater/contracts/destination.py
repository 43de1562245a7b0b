"""Where records go, and how they become rows."""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from headwater.contracts.base import Closed
from headwater.contracts.destinations import OWN, DestinationName
from headwater.contracts.naming import SqlName

FieldText = Annotated[str, StringConstraints(min_length=1, max_length=1024)]

_KEYED = frozenset({"merge", "delete_insert", "scd2"})
_ONE_ROW_A_KEY = frozenset({"merge", "scd2"})


class Destination(Closed):
    """Where records go: a table of the tenant's schema in headwater's own database, one of another, or an exchange.

    `to` names an entry of `destinations`; without it a table of headwater's own database is meant. A table needs
    `table`; for an exchange only `key` says something: a message's id is then that of the record and not of its place.
    `mode`: `append` (every record is a new row), `merge` (one row per key: the newest record), `replace` (a complete
    run's rows stand for all rows), `delete_insert` (a key's records stand for all its rows), `scd2` (every version
    of a record is a row). `key`, `order_by` and `deleted_field` are names of fields. `order_by` says which of two
    records is newer (default: the later one). `contract` says what happens to records that do not fit the table:
    the table follows (`evolve`), the run fails (`freeze`), the record (`discard_row`) or the value
    (`discard_value`) is left out. A record whose `deleted_field` is true deletes its row; with `soft_delete` such
    rows stay, and `_deleted_at` says since when they are gone. `delete_missing` (0 to 1): rows that a complete, full
    run did not bring are deleted, unless they are more than this share of all. The lists in the fields `children`
    become rows of the tables `<table>__<field>`.
    """

    to: DestinationName = OWN
    table: SqlName | None = None
    mode: Literal["append", "merge", "replace", "delete_insert", "scd2"] = "append"
    key: tuple[FieldText, ...] = ()
    order_by: FieldText | None = None
    contract: Literal["evolve", "freeze", "discard_row", "discard_value"] = "evolve"
    soft_delete: bool = False
    deleted_field: FieldText | None = None
    delete_missing: Annotated[float, Field(ge=0, le=1)] | None = None
    children: tuple[FieldText, ...] = ()

    @field_validator("key", mode="before", json_schema_input_type=str | tuple[str, ...])
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("children", mode="before", json_schema_input_type=str | tuple[str, ...])
    @classmethod
    def _one_or_many_children(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        fault = self._table_fault() or self._key_fault() or self._deletion_fault() or self._children_fault()
        if fault is not None:
            raise ValueError(fault)
        return self

    @property
    def place(self) -> str:
        """What people call it: the table, or the destination that has none."""
        return self.table or self.to

    def _table_fault(self) -> str | None:
        if self.to == OWN and self.table is None:
            return "needs `table`: the table that the records go to"
        return None

    def _key_fault(self) -> str | None:
        if self.mode in _KEYED and not self.key:
            return f"mode {self.mode} needs `key`: the field or fields that identify a record"
        if len(set(self.key)) != len(self.key):
            return "`key` names a field twice: name each once"
        return None

    def _deletion_fault(self) -> str | None:
        if self.delete_missing is not None and self.mode not in _ONE_ROW_A_KEY:
            return "`delete_missing` needs mode merge or scd2, and a key that finds a record again"
        deletes = self.soft_delete or self.deleted_field is not None
        if deletes and not (self.mode in _ONE_ROW_A_KEY or (self.mode == "replace" and self.key)):
            return "`soft_delete` and `deleted_field` need a `key` and mode merge or scd2"
        return None

    def _children_fault(self) -> str | None:
        if self.children and self.mode in {"delete_insert", "scd2"}:
            return f"mode {self.mode} has no child tables: leave out `children`, and lists become jsonb"
        if len(set(self.children)) != len(self.children):
            return "`children` names a field twice: name each once"
        if set(self.children) & {*self.key, self.order_by, self.deleted_field}:
            return "a field that is the key, the order or the mark of deletion cannot be a child table"
        return None
