"""A load into one destination table, in one transaction with what follows from it.

The table is brought into shape first, in a transaction of its own; then the load runs under the loader's role
inside the caller's transaction.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from headwater.contracts.destination import Destination
from headwater.contracts.source import StreamDefinition
from headwater.model.names import schema_for
from headwater.plugins.destinations import Batch, Contract, Loaded, Mode, Plan, PostgresDestination, Table
from headwater.plugins.destinations.role import as_loader
from headwater.plugins.mapping import Kinds, kinds_of
from headwater.store.database import Database
from headwater.store.staging import Manner

MAX_PREPARES = 5  # how often a table may change under one load before it is tried again later


def table_of(tenant: str, destination: Destination, kinds: Kinds = ()) -> Table:
    """The destination's table; it lives in a schema derived from the tenant. The destination has one. `kinds` are those
    that columns have at least.
    """
    assert destination.table is not None
    return Table(
        schema_for(tenant),
        destination.table,
        Mode(destination.mode),
        destination.key,
        order_by=destination.order_by,
        contract=Contract(destination.contract),
        soft_delete=destination.soft_delete,
        deleted_field=destination.deleted_field,
        delete_missing=destination.delete_missing,
        children=destination.children,
        kinds=kinds,
    )


def table_of_run(definition: StreamDefinition, manner: Manner) -> Table | None:
    """The table of a run as this run treats it; None where nothing is to be loaded.

    A full run that is forced stands for all rows, whatever the mode. A run that reads only what is new says nothing
    of what it did not bring.
    """
    destination = definition.stream.destination
    if destination is None or destination.table is None or manner.mode == "dry_run":
        return None
    table = table_of(definition.tenant, destination, kinds_of(definition.stream.fields))
    if manner.force and manner.mode == "full":
        return table.rebuilt()
    has_cursor = manner.has_cursor or bool(definition.lineage)  # each parent has one of its own
    reads_new = definition.stream.cursor_rule is not None and has_cursor and manner.mode != "full"
    return replace(table, delete_missing=None) if reads_new else table


async def prepare(
    database: Database, destination: PostgresDestination, table: Table, batches: Sequence[Batch]
) -> Plan:
    """The plan of the load; the table is created and evolved where the records need it."""
    known = destination.planned(table, batches)
    if known is not None:
        return known
    async with database.transaction() as connection, as_loader(connection):
        return await destination.prepare(connection, table, batches)


async def load(
    connection: Any, destination: PostgresDestination, plan: Plan, batches: Sequence[Batch]
) -> Loaded:
    """Put the batches into their table, in the caller's transaction."""
    async with as_loader(connection):
        return await destination.load(connection, plan, batches)
