"""Rows that go: those of a run or delivery, those whose record says that it is deleted, those that a complete run
did not bring.
"""

# ruff: noqa: S608 - names are quoted by quote_identifier, values never stand in these texts

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from headwater.model.infer import Kind, widen
from headwater.model.names import quote_identifier
from headwater.plugins.destinations.catalogue import read_catalogue
from headwater.plugins.destinations.ddl import CURRENT, converted, relation
from headwater.plugins.destinations.history import valid_from
from headwater.plugins.destinations.patience import LONG_S, patient
from headwater.plugins.destinations.planning import Catalogue, Column, Plan
from headwater.plugins.destinations.rendering import written_columns
from headwater.plugins.destinations.stage import (
    STAGE,
    ByRun,
    Outcome,
    Rows,
    counted,
    not_older,
    same_key,
    to_stage,
)
from headwater.plugins.destinations.table import Closed, Mode, Table

HELD_BACK = "deletions_held_back"
_NOT_DELETED = frozenset({"", "0", "f", "false", "n", "no"})


def is_deleted(value: Any) -> bool:
    """Whether the value of a `deleted_field` says so: true, a time, a number other than 0, a text other than "no"."""
    return value.strip().lower() not in _NOT_DELETED if isinstance(value, str) else bool(value)


def _going(table: Table, catalogue: Catalogue, since: str, place: Mapping[str, str]) -> tuple[str, str]:
    """The beginning of the statement that takes rows t away, and the condition that they are still there.

    `place`: what says in the columns of a row that stays how new it is now.
    """
    order = "".join(f", {quote_identifier(name)} = {value}" for name, value in place.items())
    if table.mode is Mode.SCD2:
        return f"UPDATE {relation(table)} AS t SET _valid_to = {since}{order}", f"t.{CURRENT.strip('()')}"
    if table.soft_delete and catalogue.column("_deleted_at") is not None:
        return f"UPDATE {relation(table)} AS t SET _deleted_at = now(){order}", "t._deleted_at IS NULL"
    return f"DELETE FROM {relation(table)} AS t", "true"


async def erase(connection: Any, plan: Plan, rows: Rows, written: ByRun) -> Outcome:  # noqa: ARG001 - every way has these arguments
    """Take away the rows whose keys the lines have, where they are not newer."""
    await to_stage(connection, plan, rows)
    there = frozenset(written_columns(plan))
    place = {} if plan.table.mode is Mode.SCD2 else _place(plan, there)
    action, present = _going(plan.table, plan.catalogue, valid_from(plan, "s."), place)
    source = "USING" if action.startswith("DELETE") else "FROM"
    erased = await connection.fetch(
        f"WITH gone AS ({action} {source} {STAGE} AS s WHERE {same_key(plan, 't.', 's.')} AND {present} "
        f"AND {not_older(plan, 's.', 't.', there)} RETURNING s._run_id) "
        "SELECT _run_id, count(*) AS count FROM gone GROUP BY _run_id"
    )
    return Outcome(deleted=counted(erased))


def _place(plan: Plan, there: frozenset[str]) -> dict[str, str]:
    """How new a row is whose deletion is staged: older records must not bring it back."""
    names = ["_ordered_at", "_page", "_position"]
    if plan.order_column is not None and plan.order_column.name in there:
        names.append(plan.order_column.name)
    return {name: f"s.{quote_identifier(name)}" for name in names}


async def remove_missing(connection: Any, table: Table, ordered_at: datetime) -> Closed:
    """Take away the rows whose keys the run did not bring, unless they are too many. Rows that are newer than the
    run (`ordered_at`), which deliveries may have brought meanwhile, stay.
    """
    assert table.delete_missing is not None
    main = await read_catalogue(connection, table.schema, table.name)
    if not main.oid:
        return Closed()
    seen = await read_catalogue(connection, table.schema, table.of_keys().name)
    action, present = _going(table, main, "$1", {"_ordered_at": "$1"})
    missing = f"{present} AND (t._ordered_at IS NULL OR t._ordered_at <= $1) AND {_unseen(table, main, seen)}"
    async with patient(connection):
        return await _remove_missing(connection, table, ordered_at, action, present, missing)


async def _remove_missing(
    connection: Any, table: Table, ordered_at: datetime, action: str, present: str, missing: str
) -> Closed:
    assert table.delete_missing is not None
    row = await connection.fetchrow(
        f"SELECT (SELECT count(*) FROM {relation(table)} AS t WHERE {present}) AS total, "
        f"(SELECT count(*) FROM {relation(table)} AS t WHERE {missing}) AS missing",
        ordered_at,
        timeout=LONG_S,
    )
    if row["missing"] > table.delete_missing * row["total"]:
        return Closed(warnings=frozenset({HELD_BACK}))
    if not row["missing"]:
        return Closed()
    status = await connection.execute(f"{action} WHERE {missing}", ordered_at, timeout=LONG_S)
    return Closed(deleted=affected(status))


def _unseen(table: Table, main: Catalogue, seen: Catalogue) -> str:
    """Whether the key of row t is not among those seen; where one column was widened, both are compared so."""
    if not seen.oid:
        return "true"
    pairs = []
    for name in table.key:
        here, there = _held_by(main, name), _held_by(seen, name)
        if here is None or there is None:
            return "true"
        pairs.append(_equal(here, there))
    return f"NOT EXISTS (SELECT FROM {relation(table.of_keys())} AS k WHERE {' AND '.join(pairs)})"


def _held_by(catalogue: Catalogue, field: str) -> Column | None:
    held = next((column for column in catalogue.columns if column.field == field), None)
    return held or catalogue.column(field)


def _equal(here: Column, there: Column) -> str:
    one, other = f"t.{quote_identifier(here.name)}", f"k.{quote_identifier(there.name)}"
    if here.kind is there.kind and here.kind is not None:
        return f"{one} = {other}"
    if here.kind is None or there.kind is None:
        return f"{one}::text = {other}::text"
    kind: Kind = widen(here.kind, there.kind)
    return f"{converted(one, here.kind, kind)} = {converted(other, there.kind, kind)}"


async def remove_of(connection: Any, table: Table, column: str, ids: Sequence[UUID]) -> int:
    """Delete the rows of these runs (`_run_id`) or deliveries (`_delivery_id`); gives how many there were."""
    if not ids or not (await read_catalogue(connection, table.schema, table.name)).oid:
        return 0
    async with patient(connection):
        status = await connection.execute(
            f"DELETE FROM {relation(table)} WHERE {quote_identifier(column)} = ANY($1::uuid[])",
            list(ids),
            timeout=LONG_S,
        )
    return affected(status)


def affected(status: str) -> int:
    """The number in a command's status."""
    return int(status.rpartition(" ")[2])
