"""Planned records into their table, inside the caller's transaction: COPY, and for mode merge one merge
statement.

Row by row faults cost only their row: when PostgreSQL refuses a batch for what it holds, the batch is halved
under savepoints until the rows at fault stand alone.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg

from headwater.model.errors import DestinationError
from headwater.plugins.destinations import statements
from headwater.plugins.destinations.errors import ROW_FAULTS
from headwater.plugins.destinations.newest import Keyed, key_texts, newest_of
from headwater.plugins.destinations.planning import Plan
from headwater.plugins.destinations.rendering import Selection, encoded, render, written_columns
from headwater.plugins.destinations.table import Batch, Counts, Mode, Rejected

MAX_REFUSED = 500  # rows that PostgreSQL itself refuses in one load; more of them are a fault of the table
_SEND_ROWS = 1000

_ByRun = Counter[UUID | None]
_Outcome = tuple[_ByRun, _ByRun, _ByRun]  # inserted, updated, deduplicated
_Way = Callable[[Any, Plan, AsyncIterator[bytes], _ByRun], Awaitable[_Outcome]]


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
    way = _append
    if plan.table.mode is Mode.MERGE:
        keyed = newest_of(plan, batches, selection)
        tally.deduplicated.update(batches[selection.origins[place][0]].run_id for place in keyed.older)
        selection = keyed.selection
        way = _append if await _are_new(connection, plan, keyed) else _upsert
    tally.rejected += await _load_somehow(connection, plan, batches, selection, tally, way)
    return tally


async def _load_somehow(
    connection: Any, plan: Plan, batches: Sequence[Batch], selection: Selection, tally: Tally, way: _Way
) -> list[Rejected]:
    try:
        return await _load_at_once(connection, plan, batches, selection, tally, way)
    except ROW_FAULTS as error:
        if plan.table.mode is Mode.APPEND:
            return await _load_surviving(connection, plan, batches, selection, tally, _append)
        if way is _append and isinstance(error, asyncpg.UniqueViolationError):  # another was quicker
            return await _load_somehow(connection, plan, batches, selection, tally, _upsert)
        return await _load_surviving(connection, plan, batches, selection, tally, _upsert)


async def _are_new(connection: Any, plan: Plan, keyed: Keyed) -> bool:
    """Whether no key has a row yet. Then the records may go straight into the table, twice as fast."""
    texts = key_texts(plan, keyed.keys)
    if texts is None:
        return False
    try:
        async with connection.transaction():
            return not await connection.fetchval(statements.any_key_exists(plan), *texts)
    except (*ROW_FAULTS, UnicodeEncodeError):
        return False  # some record is at fault: it is found on the way


async def _load_at_once(
    connection: Any, plan: Plan, batches: Sequence[Batch], selection: Selection, tally: Tally, way: _Way
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

    await _load(connection, plan, lines(), written, tally, way)
    return rejected


async def _load_surviving(
    connection: Any, plan: Plan, batches: Sequence[Batch], selection: Selection, tally: Tally, way: _Way
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
            await _load(connection, plan, _pieces(lines[start:stop]), written, tally, way)
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
    connection: Any, plan: Plan, lines: AsyncIterator[bytes], written: _ByRun, tally: Tally, way: _Way
) -> None:
    """The lines into the table, all or nothing. `written` counts them by run, once they are sent."""
    async with connection.transaction():
        inserted, updated, older = await way(connection, plan, lines, written)
    tally.inserted += inserted
    tally.updated += updated
    tally.deduplicated += older


async def _append(connection: Any, plan: Plan, lines: AsyncIterator[bytes], written: _ByRun) -> _Outcome:
    await _copy(connection, plan.table.schema, plan.table.name, plan, lines)
    return written, Counter(), Counter()


async def _upsert(connection: Any, plan: Plan, lines: AsyncIterator[bytes], written: _ByRun) -> _Outcome:
    await connection.execute(statements.create_stage(tuple(plan.columns.values())))
    await _copy(connection, "pg_temp", statements.STAGE_NAME, plan, lines)
    return await _merge(connection, plan, written)


async def _copy(connection: Any, schema: str, name: str, plan: Plan, lines: AsyncIterator[bytes]) -> None:
    await connection.copy_to_table(
        name, schema_name=schema, columns=written_columns(plan), source=lines, format="text", encoding="utf-8"
    )


async def _merge(connection: Any, plan: Plan, written: _ByRun) -> _Outcome:
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
