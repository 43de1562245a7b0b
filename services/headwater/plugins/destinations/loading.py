"""Planned records into their table, inside the caller's transaction: COPY, and for mode merge one merge
statement.

Row by row faults cost only their row: when PostgreSQL refuses a batch for what it holds, the batch is halved
under savepoints until the rows at fault stand alone.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg

from headwater.model.errors import DestinationError
from headwater.plugins.destinations import statements
from headwater.plugins.destinations.errors import ROW_FAULTS
from headwater.plugins.destinations.newest import older_ones
from headwater.plugins.destinations.planning import Plan
from headwater.plugins.destinations.rendering import Selection, encoded, render, written_columns
from headwater.plugins.destinations.table import Batch, Counts, Mode, Rejected

MAX_REFUSED = 500  # rows that PostgreSQL itself refuses in one load; more of them are a fault of the table
_SEND_ROWS = 1000

_ByRun = Counter[UUID | None]


@dataclass(slots=True)
class Tally:
    """What became of the rows, for each run."""

    received: _ByRun = field(default_factory=Counter)
    inserted: _ByRun = field(default_factory=Counter)
    updated: _ByRun = field(default_factory=Counter)
    deduplicated: _ByRun = field(default_factory=Counter)
    rejected: list[Rejected] = field(default_factory=list)

    def by_run(self, batches: Sequence[Batch]) -> dict[UUID | None, Counts]:
        refused = Counter(batches[row.batch].run_id for row in self.rejected)
        return {run: self._counts(run, refused[run]) for run in {batch.run_id for batch in batches}}

    def _counts(self, run: UUID | None, rejected: int) -> Counts:
        settled = self.inserted[run] + self.updated[run] + self.deduplicated[run] + rejected
        return Counts(
            inserted=self.inserted[run],
            updated=self.updated[run],
            unchanged=self.received[run] - settled,
            rejected=rejected,
            deduplicated=self.deduplicated[run],
        )


async def load_rows(
    connection: Any, plan: Plan, batches: Sequence[Batch], selection: Selection, refused: Sequence[Rejected]
) -> Tally:
    """Load the selected records; `refused` are those that were sorted out before."""
    tally = Tally(rejected=list(refused))
    for batch in batches:
        tally.received[batch.run_id] += len(batch.records)
    if plan.table.mode is Mode.MERGE:
        older = older_ones(plan, batches, selection)
        tally.deduplicated.update(batches[selection.origins[place][0]].run_id for place in older)
        selection = selection.without(older) if older else selection
    try:
        rejected = await _load_at_once(connection, plan, batches, selection, tally)
    except ROW_FAULTS:
        rejected = await _load_surviving(connection, plan, batches, selection, tally)
    tally.rejected += rejected
    return tally


async def _load_at_once(
    connection: Any, plan: Plan, batches: Sequence[Batch], selection: Selection, tally: Tally
) -> list[Rejected]:
    """Render while the database takes what was rendered before. Gives the records that cannot be rendered."""
    rejected: list[Rejected] = []
    written: _ByRun = Counter()

    async def lines() -> AsyncIterator[bytes]:
        for chunk in render(plan, batches, selection):
            rejected.extend(chunk.rejected)
            for number, count in Counter(number for number, _ in chunk.origins).items():
                written[batches[number].run_id] += count
            if chunk.data:
                yield chunk.data
            await asyncio.sleep(0)  # rendering must not keep the loop from everyone else

    await _load(connection, plan, lines(), written, tally)
    return rejected


async def _load_surviving(
    connection: Any, plan: Plan, batches: Sequence[Batch], selection: Selection, tally: Tally
) -> list[Rejected]:
    """Every row that the database takes. Gives the others."""
    lines: list[str] = []
    origins: list[tuple[int, int]] = []
    rejected: list[Rejected] = []
    for chunk in render(plan, batches, selection):
        lines += chunk.lines
        origins += chunk.origins
        rejected += chunk.rejected
    waiting = [(0, len(lines))]
    refused = 0
    while waiting:
        start, stop = waiting.pop()
        written = Counter(batches[number].run_id for number, _ in origins[start:stop])
        try:
            await _load(connection, plan, _pieces(lines[start:stop]), written, tally)
        except ROW_FAULTS as error:
            if stop - start > 1:
                middle = (start + stop) // 2
                waiting += [(middle, stop), (start, middle)]  # the earlier half goes first
                continue
            refused += 1
            if refused > MAX_REFUSED:
                raise DestinationError(
                    f"table {plan.table.name} refuses more than {MAX_REFUSED} records, the last with: {error}"
                ) from error
            number, index = origins[start]
            rejected.append(Rejected(number, index, str(error), batches[number].records[index]))
    return rejected


async def _pieces(lines: Sequence[str]) -> AsyncIterator[bytes]:
    for start in range(0, len(lines), _SEND_ROWS):
        yield encoded(lines[start : start + _SEND_ROWS])


async def _load(
    connection: Any, plan: Plan, lines: AsyncIterator[bytes], written: _ByRun, tally: Tally
) -> None:
    """One COPY, and a merge where the mode is so, all or nothing. `written` counts the lines, once they are
    sent.
    """
    table = plan.table
    async with connection.transaction():
        if table.mode is Mode.APPEND:
            await _copy(connection, table.schema, table.name, plan, lines)
            inserted, updated, older = written, Counter[UUID | None](), Counter[UUID | None]()
        else:
            await connection.execute(statements.create_stage(tuple(plan.columns.values())))
            await _copy(connection, "pg_temp", statements.STAGE_NAME, plan, lines)
            inserted, updated, older = await _merge(connection, plan, written)
    tally.inserted += inserted
    tally.updated += updated
    tally.deduplicated += older


async def _copy(connection: Any, schema: str, name: str, plan: Plan, lines: AsyncIterator[bytes]) -> None:
    await connection.copy_to_table(
        name, schema_name=schema, columns=written_columns(plan), source=lines, format="text", encoding="utf-8"
    )


async def _merge(connection: Any, plan: Plan, written: _ByRun) -> tuple[_ByRun, _ByRun, _ByRun]:
    """The stage into the table: rows inserted, updated, and dropped as older than another of the same key."""
    older: _ByRun = Counter()
    try:
        async with connection.transaction():
            rows = await connection.fetch(statements.merge(plan))
    except (
        asyncpg.CardinalityViolationError
    ):  # keys that look different and are equal, as 1.0 and 1.00 in jsonb
        for row in await connection.fetch(statements.drop_older(plan)):
            older[row["_run_id"]] += row["deduplicated"]
        rows = await connection.fetch(statements.merge(plan))
    inserted = Counter({row["_run_id"]: row["inserted"] for row in rows})
    updated = Counter({row["_run_id"]: row["updated"] for row in rows})
    if inserted.total() + updated.total() + older.total() < written.total():
        await connection.execute(statements.raise_order(plan))
    return inserted, updated, older
