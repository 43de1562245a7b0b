"""Records into PostgreSQL tables.

Use: `prepare` brings the table into shape (in a short transaction of its own, before the load), `load` puts
the records in, inside the caller's transaction. Both run under the role that the caller has set, which must
own the table. A plan may be older than the table: `load` locks the table against changes, looks, and goes by
what it finds.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import asyncpg

from headwater.model.infer import Kind
from headwater.plugins.destinations import statements
from headwater.plugins.destinations.catalogue import read_catalogue
from headwater.plugins.destinations.errors import translated
from headwater.plugins.destinations.evolve import Known, evolve
from headwater.plugins.destinations.loading import Tally, load_rows
from headwater.plugins.destinations.planning import Plan, evidence_of, known_kinds, make_plan
from headwater.plugins.destinations.rendering import select
from headwater.plugins.destinations.table import Batch, Loaded, StalePlan, Table


class PostgresDestination:
    """Tables of one database. Remembers the shape of the last `cache_size` tables, nothing else."""

    name = "postgres"

    def __init__(self, *, cache_size: int = 1024) -> None:
        self._known: OrderedDict[tuple[str, str], Known] = OrderedDict()
        self._cache_size = cache_size

    async def prepare(self, connection: Any, table: Table, batches: Sequence[Batch]) -> Plan:
        """A plan for these batches; the table is created, extended and widened first where they need it.

        `connection` must not be in a transaction that has locked the table. When nothing needs to change and
        the table is remembered, nothing is sent.
        Raises: Later when the table is locked for more than a second, Unavailable, DestinationError (the
        contract freeze is broken; rows of one key stand in the way of merging; missing rights).
        """
        with translated(table.name):
            known = self._recall(table) or self._remember(
                table, Known(await read_catalogue(connection, table.schema, table.name))
            )
            evidence = evidence_of(table, batches, known_kinds(known.catalogue))
            if evidence and known.needed(table, evidence):
                known = self._remember(table, await evolve(connection, table, evidence))
        return make_plan(table, known.catalogue, evidence, batches)

    async def load(self, connection: Any, plan: Plan, batches: Sequence[Batch]) -> Loaded:
        """Load the batches, which may be fewer than those that were prepared; the caller's transaction
        commits them.

        Raises: StalePlan (a Later) when the table needs another `prepare`, Later when it is locked or another
        transaction stands in the way, Unavailable, DestinationError. After an error the caller's transaction
        must be rolled back.
        """
        table = plan.table
        selection, refused = select(table, batches)
        with translated(table.name):
            if not selection.records:
                tally = Tally(rejected=refused)
                for batch in batches:
                    tally.received[batch.run_id] += len(batch.records)
            else:
                plan = await self._current(connection, plan, batches)
                tally = await load_rows(connection, plan, batches, selection, refused)
        return Loaded(tally.by_run(batches), tuple(tally.rejected), plan.warnings)

    async def remove_unfinished(self, connection: Any, table: Table, run_ids: Sequence[UUID]) -> int:
        """Delete the rows that these runs left, in the caller's transaction; gives how many there were."""
        return await self._delete(connection, table, statements.delete_run(table), run_ids)

    async def remove_deliveries(self, connection: Any, table: Table, delivery_ids: Sequence[UUID]) -> int:
        """Delete the rows of these deliveries, in the caller's transaction; gives how many there were."""
        return await self._delete(connection, table, statements.delete_delivery(table), delivery_ids)

    async def _delete(self, connection: Any, table: Table, statement: str, ids: Sequence[UUID]) -> int:
        with translated(table.name):
            if not ids or not (await read_catalogue(connection, table.schema, table.name)).oid:
                return 0
            status = await connection.execute(statement, list(ids))
        return int(status.rpartition(" ")[2])

    async def _current(self, connection: Any, plan: Plan, batches: Sequence[Batch]) -> Plan:
        """The plan for the table as it is, which no one can change from here until the transaction ends."""
        table = plan.table
        try:
            await connection.execute(f"LOCK TABLE {statements.relation(table)} IN ROW EXCLUSIVE MODE")
        except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError) as error:
            self._forget(table)
            raise StalePlan(table.name) from error
        catalogue = await read_catalogue(connection, table.schema, table.name)
        prepared = set(map(id, plan.batches))
        is_prepared = all(id(batch) in prepared for batch in batches)
        if is_prepared and catalogue == plan.catalogue:
            return plan
        evidence: Mapping[str, Kind] = plan.evidence
        if not is_prepared:
            evidence = evidence_of(table, batches, known_kinds(catalogue))
        known = self._recall(table)
        if known is None or known.catalogue != catalogue:
            known = self._remember(table, Known(catalogue))
        if known.needed(table, evidence):
            raise StalePlan(table.name)
        return make_plan(table, catalogue, evidence, batches)

    def _recall(self, table: Table) -> Known | None:
        known = self._known.get((table.schema, table.name))
        if known is not None:
            self._known.move_to_end((table.schema, table.name))
        return known

    def _remember(self, table: Table, known: Known) -> Known:
        self._known[(table.schema, table.name)] = known
        self._known.move_to_end((table.schema, table.name))
        while len(self._known) > self._cache_size:
            self._known.popitem(last=False)
        return known

    def _forget(self, table: Table) -> None:
        self._known.pop((table.schema, table.name), None)
