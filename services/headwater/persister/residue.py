"""Rows that unfinished runs and attempts left in tables where loading again adds rows: the first load of an attempt
removes them, before it brings its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from headwater.persister.bodies import Work
from headwater.plugins.destinations import Mode, PostgresDestination, Table
from headwater.plugins.destinations.role import as_loader
from headwater.store import ledger
from headwater.store.ledger import PageKey

FAR = "/"  # in the label of a table of another database, and in no name of a table
Left = Mapping[PageKey, Sequence[tuple[UUID, str]]]  # by the first page of an attempt: run id, table's label


async def left_before(connection: Any, label: str, table: Table, work: Sequence[Work]) -> Left:
    """What goes before these pages are loaded. `label` is the table's name among those of all databases."""
    if table.mode not in {Mode.APPEND, Mode.DELETE_INSERT} or table.is_of_run:
        return {}
    seen: set[tuple[UUID, int]] = set()
    found: dict[PageKey, list[tuple[UUID, str]]] = {}
    for key, batch, definition in work:
        if (key.run_id, key.attempt) in seen:
            continue
        seen.add((key.run_id, key.attempt))
        of = (batch.tenant, definition.source, definition.stream.name)
        left = await ledger.first_load(connection, key, of, label)
        if left is not None:
            found[key] = left
    return found


def runs_in(label: str, left: Sequence[tuple[UUID, str]]) -> list[UUID]:
    """The runs that left something in this table."""
    return [run_id for run_id, of_table in left if of_table == label]


async def remove(connection: Any, destination: PostgresDestination, table: Table, left: Left) -> None:
    """Remove it from the tables of headwater's own database, in the caller's transaction."""
    for of_tables in left.values():
        for name in {label for _, label in of_tables if FAR not in label}:
            async with as_loader(connection):
                await destination.remove_unfinished(
                    connection, replace(table, name=name), runs_in(name, of_tables)
                )
