"""Rows that unfinished runs and attempts left in tables where loading again adds rows: the first load of an attempt
removes them, before it brings its own.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from headwater.model.names import schema_for
from headwater.persister.bodies import Work
from headwater.plugins.destinations import Mode, PostgresDestination, Table
from headwater.plugins.destinations.role import as_loader
from headwater.store import ledger
from headwater.store.ledger import PageKey

FAR = "/"  # in the label of a table of another database, and in no name of a table
_Of = tuple[str, str, str]  # tenant, source, stream
_Left = Sequence[tuple[UUID, str]]  # run id, table's label


def attempts_of(table: Table, work: Iterable[Work]) -> dict[PageKey, _Of]:
    """The attempts that leave something in this table when they end badly: a page of each, and its stream."""
    if table.mode not in {Mode.APPEND, Mode.DELETE_INSERT} or table.is_of_run:
        return {}
    seen: set[tuple[UUID, int]] = set()
    found: dict[PageKey, _Of] = {}
    for key, batch, definition in work:
        if (key.run_id, key.attempt) not in seen:
            seen.add((key.run_id, key.attempt))
            found[key] = (batch.tenant, definition.source, definition.stream.name)
    return found


async def remove(
    connection: Any, destination: PostgresDestination, table: Table, work: Iterable[Work]
) -> None:
    """Remove what goes before these pages are loaded into a table of headwater's own database, in the caller's
    transaction.
    """
    for key, of in attempts_of(table, work).items():
        left = await ledger.first_load(connection, key, of, table.name)
        await _remove_here(connection, destination, table, left or ())


async def take(
    connection: Any, destination: PostgresDestination, table: Table, label: str, key: PageKey, of: _Of
) -> list[UUID]:
    """Forget what goes before the attempt of `key` loads into `table` of another database, which is `label` among the
    tables of all; gives the runs that left something there. What they left in headwater's own tables is removed.
    """
    left = await ledger.take_residue(connection, key, of, label)
    await _remove_here(connection, destination, replace(table, schema=schema_for(of[0])), left)
    return [run_id for run_id, of_table in left if of_table == label]


async def _remove_here(connection: Any, destination: PostgresDestination, table: Table, left: _Left) -> None:
    for name in sorted({label for _, label in left if FAR not in label}):
        runs = [run_id for run_id, of_table in left if of_table == name]
        async with as_loader(connection):
            await destination.remove_unfinished(connection, replace(table, name=name), runs)
