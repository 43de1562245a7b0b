"""Records into PostgreSQL tables.

Use: `prepare` brings the table into shape (in a short transaction of its own, before the load), `load` puts
the records in, inside the caller's transaction. Both run under the role that the caller has set, which must
own the table. A plan may be older than the table: `load` locks the table against changes, looks, and goes by
what it finds.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from headwater.model.errors import DestinationError
from headwater.model.infer import Kind
from headwater.plugins.destinations.catalogue import read_catalogue
from headwater.plugins.destinations.children import (
    Brood,
    Place,
    brood_of,
    child_table,
    parents_of,
    remove_elements,
    remove_orphans,
    standing,
)
from headwater.plugins.destinations.ddl import relation
from headwater.plugins.destinations.errors import translated
from headwater.plugins.destinations.evolve import Known, evolve
from headwater.plugins.destinations.loading import Tally, erase_rows, load_rows
from headwater.plugins.destinations.planning import EMPTY, Plan, evidence_of, make_plan
from headwater.plugins.destinations.removal import remove_missing, remove_of
from headwater.plugins.destinations.selection import Selected, keys_only, select
from headwater.plugins.destinations.staging import exchange
from headwater.plugins.destinations.table import Batch, Closed, Loaded, Mode, StalePlan, Table
from headwater.plugins.destinations.widening import bring_home


class PostgresDestination:
    """Tables of one database. Remembers the shape of the last `cache_size` tables, nothing else."""

    name = "postgres"

    def __init__(self, *, cache_size: int = 1024) -> None:
        self._known: OrderedDict[tuple[str, str], Known] = OrderedDict()
        self._cache_size = cache_size

    async def prepare(self, connection: Any, table: Table, batches: Sequence[Batch]) -> Plan:
        """A plan for these batches; the table is created, extended and widened first where they need it.

        `connection` must not be in a transaction that has locked the table. When nothing needs to change and the
        table is remembered, nothing is sent.
        Raises: Later when the table is locked for more than a second, Unavailable, DestinationError (the contract
        freeze is broken; rows of one key stand in the way of merging; missing rights).
        """
        if table.mode is Mode.REPLACE:
            raise DestinationError(f"table {table.name}: mode replace loads runs, each into its `for_run`")
        with translated(table.told):
            plan = await self._prepare(
                connection, table, parents_of(table, batches) if table.children else batches
            )
            if table.seen is not None:
                seen = await self._prepare(connection, table.of_keys(), keys_only(table, batches))
                plan = replace(plan, seen=seen)
            broods = [
                (child_table(table, field), brood_of(table, field, batches, None)) for field in table.children
            ]
            children = [await self._prepare(connection, child, brood.batches) for child, brood in broods]
            return replace(plan, children=tuple(children)) if children else plan

    def planned(self, table: Table, batches: Sequence[Batch]) -> Plan | None:
        """What `prepare` would give without sending anything; None when it has to ask, or to change something.

        Raises: DestinationError, as `prepare` does.
        """
        known = self._recall(table)
        if known is None or table.mode is Mode.REPLACE or table.children or table.seen is not None:
            return None
        selected = select(table, batches)
        evidence = evidence_of(table, selected.selection, known.catalogue)
        if selected.selection.records and known.needed(table, evidence):
            return None
        return make_plan(table, known.catalogue, evidence, selected)

    async def _prepare(self, connection: Any, table: Table, batches: Sequence[Batch]) -> Plan:
        known = self._recall(table) or self._remember(
            table, Known(await read_catalogue(connection, table.schema, table.name))
        )
        selected = select(table, batches)
        evidence = evidence_of(table, selected.selection, known.catalogue)
        if selected.selection.records and known.needed(table, evidence):
            known = self._remember(table, await evolve(connection, table, evidence))
        return make_plan(table, known.catalogue, evidence, selected)

    async def load(self, connection: Any, plan: Plan, batches: Sequence[Batch]) -> Loaded:
        """Load the batches, which may be fewer than those that were prepared; the caller's transaction commits them.

        Raises: StalePlan (a Later) when the table needs another `prepare`, Later when it is locked or another
        transaction stands in the way, Unavailable, DestinationError. After an error the caller's transaction must be
        rolled back.
        """
        if plan.table.children:
            return await self._load_family(connection, plan, batches)
        return await self._load(connection, plan, batches)

    async def _load(self, connection: Any, plan: Plan, batches: Sequence[Batch]) -> Loaded:
        table = plan.table
        known = plan.selected
        selected = known if known is not None and known.is_of(batches) else select(table, batches)
        if not selected.selection.records:
            return Loaded(Tally(rejected=list(selected.rejected)).by_run(batches), selected.rejected)
        with translated(table.told):
            plan = await self._current(connection, plan, selected)
            tally = await load_rows(connection, plan, selected)
            if plan.seen is not None:
                await self._note_seen(connection, plan.seen, keys_only(table, batches))
        return Loaded(tally.by_run(batches), tuple(tally.rejected), plan.warnings | tally.warnings)

    async def _load_family(self, connection: Any, plan: Plan, batches: Sequence[Batch]) -> Loaded:
        """The records, and the elements of those that stand in the table now."""
        table, parents = plan.table, parents_of(plan.table, batches)
        loaded = await self._load(connection, plan, parents)
        rejected = [replace(row, record=batches[row.batch].records[row.index]) for row in loaded.rejected]
        out = {(row.batch, row.index) for row in rejected}
        warnings = loaded.warnings
        places: set[Place] = {
            (b, i) for b, batch in enumerate(batches) for i in range(len(batch.records))
        } - out
        texts: list[list[str]] = []
        with translated(table.told):
            if table.mode is not Mode.APPEND and places:
                plan = await self._current(connection, plan, select(table, parents))
                places, texts = await standing(connection, plan, parents, out)
            for field, child in zip(table.children, plan.children, strict=True):
                brood = brood_of(table, field, batches, places)
                became = await self._load_brood(connection, child, brood, texts)
                warnings |= became.warnings
                rejected += [brood.blamed(field, row) for row in became.rejected]
            if loaded.counts.deleted:
                await self._remove_orphans(connection, table)
        return Loaded(loaded.by_run, tuple(rejected), warnings)

    async def _load_brood(self, connection: Any, plan: Plan, brood: Brood, texts: list[list[str]]) -> Loaded:
        if texts and texts[0]:
            catalogue = await read_catalogue(connection, plan.table.schema, plan.table.name)
            if catalogue.oid:
                await remove_elements(connection, plan.table, catalogue, texts)
        as_rows = replace(plan, table=replace(plan.table, mode=Mode.APPEND))
        return await self._load(connection, as_rows, brood.batches)

    async def _remove_orphans(self, connection: Any, table: Table) -> None:
        if table.soft_delete or not table.children:
            return
        main = await read_catalogue(connection, table.schema, table.name)
        for field in table.children:
            child = child_table(table, field)
            brood = await read_catalogue(connection, child.schema, child.name)
            if brood.oid:
                await remove_orphans(connection, table, main, child, brood)

    async def _note_seen(self, connection: Any, plan: Plan, keys: Sequence[Batch]) -> None:
        selected = select(plan.table, keys)
        await load_rows(connection, await self._current(connection, plan, selected), selected)

    async def delete(self, connection: Any, table: Table, batches: Sequence[Batch]) -> Loaded:
        """Delete the rows of the records' keys, where these are not newer, in the caller's transaction. The records
        need no other field. Keys that have no row are `unchanged`.
        """
        if table.mode not in {Mode.MERGE, Mode.SCD2}:
            raise DestinationError(
                f"table {table.name}: rows are deleted by key in modes merge and scd2 only"
            )
        selected = select(table, batches)
        tally = Tally()
        with translated(table.told):
            catalogue = await read_catalogue(connection, table.schema, table.name)
            if catalogue.oid and Known(catalogue).needed(table, {}).own:
                catalogue = (await evolve(connection, table, {})).catalogue  # `_deleted_at`, for one
            plan = make_plan(table, catalogue, evidence_of(table, selected.selection, EMPTY), selected)
            if all(name in plan.columns for name in table.key):
                tally = await erase_rows(connection, plan, selected)
            await self._remove_orphans(connection, table)
        tally.rejected += selected.rejected
        return Loaded(tally.by_run(batches), tuple(tally.rejected))

    async def widen(self, connection: Any, table: Table) -> int:
        """Give the values that loads put aside (warnings `widening_pending`) their columns, however large the table
        is; it is locked meanwhile. Gives how many rows had such values.

        Raises: as `load`; Later when the table is in use, DestinationError when a view stands in the way.
        """
        moved = 0
        for one in _family(table):
            with translated(one.name):
                moved += await bring_home(connection, one)
            self.forget(one)
        return moved

    async def close_run(
        self, connection: Any, table: Table, run_id: UUID, attempt: int, ordered_at: datetime
    ) -> Closed:
        """What a table needs when a complete run ends, in the caller's transaction; nothing for most. Replace: its
        rows for all others. `delete_missing`: what it did not bring goes, unless that is too much (warning
        `deletions_held_back`). For a run that is not complete call `abandon_run`.

        `ordered_at` is that of the run's batches. Raises as `load` does.
        """
        closed = Closed()
        with translated(table.told):
            if table.mode is Mode.REPLACE:
                staging = table.for_run(run_id, attempt)
                closed = await exchange(
                    connection, table, staging, ordered_at if _keeps_newer(table) else None
                )
                for here, there in zip(_family(table)[1:], _family(staging)[1:], strict=True):
                    await exchange(connection, here, there)
                for one in _family(table):
                    self.forget(one)
            elif table.delete_missing is not None:
                target = table.for_run(run_id, attempt)
                closed = await remove_missing(connection, target, ordered_at)
                await self._remove_orphans(connection, table)
        await self.abandon_run(connection, table, run_id, attempt)
        return closed

    async def abandon_run(self, connection: Any, table: Table, run_id: UUID, attempt: int) -> None:
        """Drop what the attempt loaded besides the table itself, in the caller's transaction. Call it for every
        attempt that ends without `close_run`; calling it twice does no harm.
        """
        if not table.is_by_run:
            return
        target = table.for_run(run_id, attempt)
        for helper in [target.of_keys()] if target.seen is not None else _family(target):
            with translated(table.told):
                await connection.execute(f"DROP TABLE IF EXISTS {relation(helper)}")
            self.forget(helper)

    async def remove_unfinished(self, connection: Any, table: Table, run_ids: Sequence[UUID]) -> int:
        """Delete the rows that these runs left, in the caller's transaction; gives how many there were."""
        with translated(table.told):
            counts = [await remove_of(connection, one, "_run_id", run_ids) for one in _family(table)]
        return counts[0]

    async def remove_deliveries(self, connection: Any, table: Table, delivery_ids: Sequence[UUID]) -> int:
        """Delete the rows of these deliveries, in the caller's transaction; gives how many there were."""
        with translated(table.told):
            counts = [
                await remove_of(connection, one, "_delivery_id", delivery_ids) for one in _family(table)
            ]
        return counts[0]

    async def _current(self, connection: Any, plan: Plan, selected: Selected) -> Plan:
        """The plan for the table as it is, which no one can change from here until the transaction ends."""
        table = plan.table
        try:
            await connection.execute(f"LOCK TABLE {relation(table)} IN ROW EXCLUSIVE MODE")
        except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError) as error:
            self.forget(table)
            raise StalePlan(table.told) from error
        catalogue = await read_catalogue(connection, table.schema, table.name)
        prepared = set() if plan.selected is None else set(map(id, plan.selected.batches))
        is_prepared = all(id(batch) in prepared for batch in selected.batches)
        if is_prepared and catalogue == plan.catalogue:
            return plan
        evidence: Mapping[str, Kind] = plan.evidence
        if not is_prepared:
            evidence = evidence_of(table, selected.selection, catalogue)
        known = self._recall(table)
        if known is None or known.catalogue != catalogue:
            known = self._remember(table, Known(catalogue))
        if known.needed(table, evidence):
            raise StalePlan(table.told)
        return replace(
            make_plan(table, catalogue, evidence, selected), seen=plan.seen, children=plan.children
        )

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

    def forget(self, table: Table) -> None:
        """Look at the table anew when it is prepared next."""
        self._known.pop((table.schema, table.name), None)


def _keeps_newer(table: Table) -> bool:
    """Whether rows that others loaded while a run built the table anew stay as they are. Their elements could not be
    told from those of the run.
    """
    return table.stages in {Mode.MERGE, Mode.APPEND} and not table.children


def _family(table: Table) -> list[Table]:
    """The table and its child tables."""
    return [table, *(child_table(table, field) for field in table.children)]
