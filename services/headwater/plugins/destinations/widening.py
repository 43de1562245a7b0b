"""Values that were put aside find their columns: loads leave it to an operator, since it may rewrite a large table."""

# ruff: noqa: S608 - names are quoted by quote_identifier, values never stand in these texts

from dataclasses import replace
from typing import Any

import asyncpg

from headwater.contracts import codec
from headwater.model.errors import DestinationError
from headwater.model.infer import Kind, holds, kind_of_values, widen
from headwater.model.names import quote_identifier, quote_literal
from headwater.plugins.destinations import ddl
from headwater.plugins.destinations.catalogue import read_catalogue
from headwater.plugins.destinations.evolve import evolve
from headwater.plugins.destinations.patience import LONG_S, patient, utc
from headwater.plugins.destinations.planning import Column, make_plan
from headwater.plugins.destinations.removal import affected
from headwater.plugins.destinations.table import Contract, Table

_PREFETCH = 1000


async def bring_home(connection: Any, table: Table) -> int:
    """Widen and add the columns that the values in `_extra` need, whatever the size of the table, and move the
    values there. The table is locked meanwhile. Gives how many rows had such values.

    Raises: DestinationError when a column cannot be widened, as when a view uses it.
    """
    async with connection.transaction(), patient(connection), utc(connection):
        catalogue = await read_catalogue(connection, table.schema, table.name)
        if catalogue.column("_extra") is None:
            return 0
        evidence = await _aside(connection, table)
        for (
            name,
            kind,
        ) in table.kinds:  # a key that does not fit stands nowhere: its type is asked for by its field
            column = next((each for each in catalogue.columns if each.field == name), None)
            if column is not None and column.kind is not None and not holds(column.kind, kind):
                evidence[name] = widen(evidence.get(name, column.kind), kind)
        if not evidence:
            return 0
        open_table = replace(table, contract=Contract.EVOLVE)
        known = await evolve(connection, open_table, evidence, rewrite_rows=None)
        if known.blocked:
            stuck = ", ".join(sorted(name for name, _ in known.blocked))
            raise DestinationError(
                f"table {table.name}: columns {stuck} cannot be widened; a view that uses them has to go first, "
                "and a key that is no text is made one by a run of mode full with force"
            )
        plan = make_plan(open_table, known.catalogue, evidence)
        try:
            status = await connection.execute(_move(table, dict(plan.columns)), timeout=LONG_S)
        except asyncpg.ProgramLimitExceededError as error:
            raise DestinationError(
                f"table {table.name}: some rows have more values than one row takes ({error}); what is in _extra stays "
                "there; choose fewer by `fields`"
            ) from error
        return affected(status)


async def _aside(connection: Any, table: Table) -> dict[str, Kind]:
    """The kind of each field that has values in `_extra`."""
    names = await connection.fetch(
        f"SELECT DISTINCT jsonb_object_keys(_extra) AS name FROM {ddl.relation(table)} "
        "WHERE _extra IS NOT NULL ORDER BY 1",
        timeout=LONG_S,
    )
    return {row["name"]: await _kind_aside(connection, table, row["name"]) for row in names}


async def _kind_aside(connection: Any, table: Table, name: str) -> Kind:
    query = f"SELECT (_extra -> $1)::text AS value FROM {ddl.relation(table)} WHERE _extra ? $1"
    kind = Kind.NULL
    async for row in connection.cursor(query, name, prefetch=_PREFETCH, timeout=LONG_S):
        kind = kind_of_values((codec.loads(row["value"].encode()),), kind)
    return kind


def _move(table: Table, columns: dict[str, Column]) -> str:
    assignments, rest = [], "_extra"
    for name, column in columns.items():
        key, target = quote_literal(name), quote_identifier(column.name)
        assignments.append(
            f"{target} = CASE WHEN _extra ? {key} THEN {_value(key, column)} ELSE {target} END"
        )
        rest = f"({rest} - {key})"
    return (
        f"UPDATE {ddl.relation(table)} SET {', '.join(assignments)}, _extra = NULLIF({rest}, '{{}}') "
        "WHERE _extra IS NOT NULL"
    )


def _value(key: str, column: Column) -> str:
    if column.kind is Kind.JSONB:
        return f"_extra -> {key}"
    return f"(_extra ->> {key})::{column.sql_type}"
