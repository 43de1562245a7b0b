"""What runs need that load into a table of their own: its exchange for the table's content, and its end.

The content is exchanged (DELETE and INSERT), not the table: grants, views and the users' own columns stay, and
readers see the rows of before until the transaction ends. Loads into the table wait meanwhile. Where a run builds
anew what others load too, rows that are newer than the run stay: it knows nothing of them.
"""

# ruff: noqa: S608 - names are quoted by quote_identifier, values never stand in these texts

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from headwater.model.errors import DestinationError
from headwater.model.infer import Kind
from headwater.model.names import quote_identifier
from headwater.plugins.destinations.catalogue import read_catalogue
from headwater.plugins.destinations.ddl import converted, names, own_columns, relation
from headwater.plugins.destinations.evolve import evolve
from headwater.plugins.destinations.patience import LONG_S, patient
from headwater.plugins.destinations.planning import Catalogue, Column, Plan, make_plan
from headwater.plugins.destinations.removal import affected
from headwater.plugins.destinations.stage import not_older
from headwater.plugins.destinations.table import Closed, Contract, Mode, Table


async def exchange(
    connection: Any, table: Table, staging: Table, ordered_at: datetime | None = None
) -> Closed:
    """The rows of the staging table for all rows of the table, but for those that are newer than `ordered_at`, where
    that is given. A run that brought none leaves no other.

    Raises: DestinationError when the table cannot take their types (a view stands in the way of a column's).
    """
    async with patient(connection):
        return await _exchange(connection, table, staging, ordered_at)


async def _exchange(connection: Any, table: Table, staging: Table, ordered_at: datetime | None) -> Closed:
    brought = await read_catalogue(connection, staging.schema, staging.name)
    main = await read_catalogue(connection, table.schema, table.name)
    deleted = 0
    if main.oid:
        await connection.execute(f"LOCK TABLE {relation(table)} IN SHARE ROW EXCLUSIVE MODE")
        newer = "" if ordered_at is None else f" WHERE NOT ({_newer(staging)})"
        moments = () if ordered_at is None else (ordered_at,)
        status = await connection.execute(f"DELETE FROM {relation(table)}{newer}", *moments, timeout=LONG_S)
        deleted = affected(status)
    if brought.oid:
        await _move(connection, table, staging, brought)
        await connection.execute(f"DROP TABLE {relation(staging)}")
    return Closed(deleted=deleted)


def _newer(staging: Table) -> str:
    """Rows that came after $1. Without a key those of another run may be the same records once more."""
    is_keyed = "" if staging.mode is Mode.MERGE else " AND _delivery_id IS NOT NULL"
    return f"coalesce(_ordered_at > $1, false){is_keyed}"


async def _move(connection: Any, table: Table, staging: Table, brought: Catalogue) -> None:
    """All rows of the staging table into the table, which is brought into shape first."""
    evidence = {
        column.field: column.kind or Kind.TEXT for column in brought.columns if column.field is not None
    }
    shape = replace(table, mode=staging.mode, contract=Contract.EVOLVE)
    known = await evolve(connection, shape, evidence)
    plan = make_plan(shape, known.catalogue, evidence)
    if plan.narrow:
        stuck = ", ".join(
            f"{plan.columns[name].name} ({plan.columns[name].sql_type})" for name in sorted(plan.narrow)
        )
        raise DestinationError(
            f"table {table.name}: what the run brought does not fit columns {stuck}, and they cannot be widened; "
            "a view that uses them has to go first"
        )
    pairs = [
        (plan.columns[column.field], column)
        for column in brought.columns
        if column.field is not None and column.field in plan.columns
    ]
    own = [name for name in own_columns(staging) if brought.column(name) is not None]
    targets = [names([target.name]) for target, _ in pairs] + own
    sources = [_as(column, target) for target, column in pairs] + own
    source = f"SELECT {', '.join(sources)} FROM {relation(staging)}"
    await connection.execute(
        f"INSERT INTO {relation(table)} AS t ({', '.join(targets)}) {source}{_unless_newer(plan, targets)}",
        timeout=LONG_S,
    )


def _unless_newer(plan: Plan, targets: Sequence[str]) -> str:
    """What becomes of a row whose key has one that stayed."""
    if plan.table.mode is not Mode.MERGE or not all(name in plan.columns for name in plan.table.key):
        return ""
    assignments = [f"{name} = excluded.{name}" for name in targets]
    if plan.catalogue.column("_deleted_at") is not None and "_deleted_at" not in targets:
        assignments.append("_deleted_at = NULL")
    return (
        f" ON CONFLICT ({names(plan.key_columns)}) DO UPDATE SET {', '.join(assignments)} "
        f"WHERE {not_older(plan, 'excluded.', 't.')}"
    )


def _as(column: Column, target: Column) -> str:
    """The staged column in the type of its target."""
    name = quote_identifier(column.name)
    if column.sql_type == target.sql_type:
        return name
    if column.kind is None or target.kind is None:
        return f"{name}::text::{target.sql_type}"
    return converted(name, column.kind, target.kind)
