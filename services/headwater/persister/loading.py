"""A load into one destination table, in one transaction with what follows from it.

The table is brought into shape first, in a transaction of its own; then the load runs under the loader's role
inside the caller's transaction.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from headwater.contracts.manifest import Destination
from headwater.model.names import schema_for
from headwater.plugins.destinations import Batch, Loaded, Mode, Plan, PostgresDestination, Table
from headwater.store.database import Database

MAX_PREPARES = 5  # how often a table may change under one load before it is tried again later


def table_of(tenant: str, destination: Destination) -> Table:
    """The destination's table; it lives in a schema derived from the tenant."""
    return Table(schema_for(tenant), destination.table, Mode(destination.mode), tuple(destination.key))


@asynccontextmanager
async def as_loader(connection: Any) -> AsyncIterator[None]:
    """The body acts as the owner of the destination tables, then as the worker again."""
    await connection.execute("SET LOCAL ROLE headwater_loader")
    yield
    await connection.execute("SET LOCAL ROLE headwater_worker")  # after an error the transaction ends anyway


async def prepare(
    database: Database, destination: PostgresDestination, table: Table, batches: Sequence[Batch]
) -> Plan:
    """The plan of the load; the table is created and evolved where the records need it."""
    async with database.transaction() as connection, as_loader(connection):
        return await destination.prepare(connection, table, batches)


async def load(
    connection: Any, destination: PostgresDestination, plan: Plan, batches: Sequence[Batch]
) -> Loaded:
    """Put the batches into their table, in the caller's transaction."""
    async with as_loader(connection):
        return await destination.load(connection, plan, batches)
