"""What runs need that load into a table of their own: its exchange for the table's content, and its end.

The content is exchanged (DELETE and INSERT), not the table: grants, views and the users' own columns stay, and
readers see the rows of before until the transaction ends.
"""

# ruff: noqa: S608 - names are quoted by quote_identifier, values never stand in these texts

from dataclasses import replace
from typing import Any

from headwater.model.errors import DestinationError
from headwater.model.infer import Kind
from headwater.model.names import quote_identifier
from headwater.plugins.destinations.catalogue import read_catalogue
from headwater.plugins.destinations.ddl import converted, names, own_columns, relation
from headwater.plugins.destinations.evolve import evolve
from headwater.plugins.destinations.patience import LONG_S, patient
from headwater.plugins.destinations.planning import Catalogue, Column, make_plan
from headwater.plugins.destinations.removal import affected
from headwater.plugins.destinations.table import Closed, Contract, Table


async def exchange(connection: Any, table: Table, staging: Table) -> Closed:
    """The rows of the staging table for all rows of the table. A run that brought none leaves it empty.

    Raises: DestinationError when the table cannot take their types (a view stands in the way of a column's).
    """
    async with patient(connection):
        return await _exchange(connection, table, staging)


async def _exchange(connection: Any, table: Table, staging: Table) -> Closed:
    brought = await read_catalogue(connection, staging.schema, staging.name)
    main = await read_catalogue(connection, table.schema, table.name)
    deleted = 0
    if main.oid:
        deleted = affected(await connection.execute(f"DELETE FROM {relation(table)}", timeout=LONG_S))
    if brought.oid:
        await _move(connection, table, staging, brought)
        await connection.execute(f"DROP TABLE {relation(staging)}")
    return Closed(deleted=deleted)


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
    await connection.execute(
        f"INSERT INTO {relation(table)} ({', '.join(targets)}) SELECT {', '.join(sources)} FROM {relation(staging)}",
        timeout=LONG_S,
    )


def _as(column: Column, target: Column) -> str:
    """The staged column in the type of its target."""
    name = quote_identifier(column.name)
    if column.sql_type == target.sql_type:
        return name
    if column.kind is None or target.kind is None:
        return f"{name}::text::{target.sql_type}"
    return converted(name, column.kind, target.kind)
