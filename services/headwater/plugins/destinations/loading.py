"""Planned records into their table, inside the caller's transaction.

Faults of single rows cost only these: when PostgreSQL refuses lines for what they hold, they are halved under
savepoints until the rows at fault stand alone.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import asyncpg

from headwater.model.errors import DestinationError
from headwater.plugins.destinations.errors import ROW_FAULTS
from headwater.plugins.destinations.groups import replace_groups
from headwater.plugins.destinations.history import add_versions
from headwater.plugins.destinations.merging import are_new, upsert
from headwater.plugins.destinations.newest import keys_of, newest_of, versions_of
from headwater.plugins.destinations.packing import Unpackable, pack, packing_of
from headwater.plugins.destinations.planning import COLUMNS_LIMIT, MOST_IN_ROW, Plan, relieved
from headwater.plugins.destinations.removal import erase, is_deleted
from headwater.plugins.destinations.rendering import encoded, render, written_columns
from headwater.plugins.destinations.selection import Selected, Selection
from headwater.plugins.destinations.stage import ByRun, Outcome, Rows, Way, append
from headwater.plugins.destinations.table import Batch, Counts, Mode, Rejected

MAX_REFUSED = 500  # rows that PostgreSQL itself refuses in one load; more of them are a fault of the table
_SEND_ROWS = 1000


@dataclass(slots=True)
class Tally:
    """What became of all records of a load."""

    outcome: Outcome = field(default_factory=Outcome)
    rejected: list[Rejected] = field(default_factory=list)
    erased: ByRun = field(default_factory=Counter)  # records that found a row to delete
    warnings: set[str] = field(default_factory=set)

    def by_run(self, batches: Sequence[Batch]) -> dict[UUID | None, Counts]:
        """The counts of each run; what is not counted otherwise was unchanged."""
        received: ByRun = Counter()
        for batch in batches:
            received[batch.run_id] += len(batch.records)
        refused = Counter(batches[row.batch].run_id for row in self.rejected)
        return {run: self._counts(run, count, refused[run]) for run, count in received.items()}

    def _counts(self, run: UUID | None, received: int, rejected: int) -> Counts:
        became = self.outcome
        settled = became.inserted[run] + became.updated[run] + became.deduplicated[run] + self.erased[run]
        return Counts(
            inserted=became.inserted[run],
            updated=became.updated[run],
            unchanged=received - settled - rejected,
            rejected=rejected,
            deduplicated=became.deduplicated[run],
            deleted=became.deleted[run],
        )


async def load_rows(connection: Any, plan: Plan, selected: Selected) -> Tally:
    """Load the selected records in the way of the table's mode."""
    load = _Load(connection, plan, selected.batches, Tally(rejected=list(selected.rejected)))
    selection = selected.selection
    match plan.table.mode:
        case Mode.MERGE:
            await load.merge(selection)
        case Mode.SCD2:
            await load.add_versions(selection)
        case Mode.DELETE_INSERT:
            await load.by(replace_groups, selection)
        case _:
            await load.by(append, selection)
    return load.tally


async def erase_rows(connection: Any, plan: Plan, selected: Selected) -> Tally:
    """Delete the rows of the selected records' keys."""
    load = _Load(connection, plan, selected.batches, Tally())
    await load.erase(newest_of(plan, selected.batches, selected.selection).selection)
    return load.tally


@dataclass(frozen=True, slots=True)
class _Load:
    """One load into one table: what its steps share."""

    connection: Any
    plan: Plan
    batches: Sequence[Batch]
    tally: Tally

    async def merge(self, selection: Selection) -> None:
        keyed = newest_of(self.plan, self.batches, selection)
        before = len(self.tally.rejected)
        kept, gone = self._sorted_out(keyed.selection)
        if len(kept.records) == len(keyed.keys):
            all_new = await are_new(self.connection, self.plan, keyed)
            await self.by(append if all_new else upsert, kept)
        else:
            await self.by(upsert, kept)
        await self.erase(gone)
        again = self._behind(selection, keyed.older, self.tally.rejected[before:])
        self._note_older(selection, keyed.older - again)
        if again:
            await self.merge(selection.without(set(range(len(selection.records))) - again))

    def _behind(
        self, selection: Selection, older: frozenset[int], rejected: Sequence[Rejected]
    ) -> frozenset[int]:
        """The places of older records that newer ones of their keys, which are `rejected`, stood for."""
        if not older or not rejected:
            return frozenset()
        fallen = {(row.batch, row.index) for row in rejected}
        keys = keys_of(self.plan, selection)
        left = {keys[place] for place, origin in enumerate(selection.origins) if origin in fallen}
        return frozenset(place for place in older if keys[place] in left)

    async def add_versions(self, selection: Selection) -> None:
        """The versions of a key one after the other, the oldest first."""
        for part in versions_of(self.plan, self.batches, selection):
            kept, gone = self._sorted_out(part)
            await self.by(add_versions, kept)
            await self.erase(gone)

    async def erase(self, selection: Selection) -> None:
        """Delete the rows of these keys. Their other fields do not matter, so they are not looked at."""
        names = {*self.plan.table.key, self.plan.table.order_by}
        columns = {name: column for name, column in self.plan.columns.items() if name in names}
        before = Counter(self.tally.outcome.deleted)
        narrow = self.plan.narrow & columns.keys()
        await self.by(
            erase, selection, replace(self.plan, columns=columns, narrow=narrow, homeless=frozenset())
        )
        self.tally.erased.update(self.tally.outcome.deleted - before)

    def _note_older(self, selection: Selection, places: frozenset[int]) -> None:
        self.tally.outcome.deduplicated.update(self.batches[selection.origins[p][0]].run_id for p in places)

    def _sorted_out(self, selection: Selection) -> tuple[Selection, Selection]:
        """The records that stay, and those that say that they are deleted."""
        name = self.plan.table.deleted_field
        if name is None:
            return selection, Selection([], [])
        gone = {place for place, record in enumerate(selection.records) if is_deleted(record.get(name))}
        return selection.without(gone), selection.without(set(range(len(selection.records))) - gone)

    async def by(self, way: Way, selection: Selection, plan: Plan | None = None) -> None:
        """Load the selection in this way; rows at fault are rejected alone."""
        if not selection.records:
            return
        plan = plan or self.plan
        try:
            if not await self._is_packed(way, selection, plan):
                self.tally.rejected += await self._at_once(way, selection, plan)
        except asyncpg.UniqueViolationError:
            if way is append and plan.table.mode is Mode.MERGE:  # another loader was quicker with a key
                await self.by(upsert, selection, plan)
            else:
                self.tally.rejected += await self._surviving(way, selection, plan)
        except ROW_FAULTS:
            if way is append and plan.table.mode is Mode.MERGE:
                way = upsert  # halves may meet
            self.tally.rejected += await self._surviving(way, selection, plan)

    async def _is_packed(self, way: Way, selection: Selection, plan: Plan) -> bool:
        """Load in the binary form, where the rows have one; False: nothing is done. Packs while the database takes
        what was packed before.
        """
        packing = packing_of(plan)
        if packing is None:
            return False

        is_whole = False

        async def pieces() -> AsyncIterator[bytes]:
            nonlocal is_whole
            with contextlib.suppress(Unpackable):
                for piece in pack(packing, self.batches, selection):
                    yield piece
                    await asyncio.sleep(0)  # packing must not keep the loop from everyone else
                is_whole = True

        try:
            async with self.connection.transaction():
                rows = Rows(packing.columns, "binary", pieces())
                outcome = await way(self.connection, plan, rows, self._by_run(selection.origins))
                if not is_whole:
                    raise Unpackable
        except Unpackable:
            return False
        self.tally.outcome.add(outcome)
        return True

    async def _at_once(self, way: Way, selection: Selection, plan: Plan) -> list[Rejected]:
        """Render while the database takes what was rendered before. Gives the records that cannot be rendered."""
        rejected: list[Rejected] = []
        written: ByRun = Counter()

        async def lines() -> AsyncIterator[bytes]:
            for chunk in render(plan, self.batches, selection):
                rejected.extend(chunk.rejected)
                written.update(self._by_run(chunk.origins))
                if chunk.data:
                    yield chunk.data
                await asyncio.sleep(0)  # rendering must not keep the loop from everyone else

        await self._all_or_nothing(way, _lines(plan, lines()), written, plan)
        return rejected

    def _by_run(self, origins: Sequence[tuple[int, int]]) -> ByRun:
        """How many of the rows each run has."""
        of_runs: ByRun = Counter()
        for number, count in Counter([number for number, _ in origins]).items():
            of_runs[self.batches[number].run_id] += count
        return of_runs

    async def _surviving(self, way: Way, selection: Selection, plan: Plan) -> list[Rejected]:
        """Every row that the database takes. Gives the others."""
        lines: list[str] = []
        origins: list[tuple[int, int]] = []
        rejected: list[Rejected] = []
        for chunk in render(plan, self.batches, selection):
            lines += chunk.lines
            origins += chunk.origins
            rejected += chunk.rejected
        waiting = [(0, len(lines))]
        refused = 0
        while waiting:
            start, stop = waiting.pop()
            written = self._by_run(origins[start:stop])
            try:
                await self._all_or_nothing(way, _lines(plan, _pieces(lines[start:stop])), written, plan)
            except ROW_FAULTS as error:
                if stop - start > 1:
                    middle = (start + stop) // 2
                    waiting += [(middle, stop), (start, middle)]  # the earlier half goes first
                    continue
                number, index = origins[start]
                record = self.batches[number].records[index]
                if await self._is_relieved(way, Selection([record], [origins[start]]), plan, error):
                    continue
                refused += 1
                _check_refused(plan, refused, error)
                rejected.append(Rejected(number, index, _told(plan, error), record))
        return rejected

    async def _is_relieved(self, way: Way, one: Selection, plan: Plan, error: Exception) -> bool:
        """Load a record without the values that its row has no room for, where that is what is wrong."""
        if not isinstance(error, asyncpg.ProgramLimitExceededError):
            return False
        narrower = relieved(plan, one.records[0])
        if narrower is None:
            return False
        self.tally.warnings.add(COLUMNS_LIMIT)
        await self.by(way, one, narrower)
        return True

    async def _all_or_nothing(self, way: Way, rows: Rows, written: ByRun, plan: Plan) -> None:
        async with self.connection.transaction():
            outcome = await way(self.connection, plan, rows, written)
        self.tally.outcome.add(outcome)


def _told(plan: Plan, error: Exception) -> str:
    """What a row is refused for, and the mend where it is not plain."""
    text = str(error)
    if not isinstance(error, asyncpg.ProgramLimitExceededError):
        return text
    if "index" in text and plan.table.key:
        return f"its key is too long ({text}): name a shorter one, or give the field `hash`"
    if len(plan.columns) > MOST_IN_ROW:
        return f"it has more values than a row takes ({text}): choose some by `fields`"
    return text


def _check_refused(plan: Plan, refused: int, error: Exception) -> None:
    if refused > MAX_REFUSED:
        raise DestinationError(
            f"table {plan.table.told} refuses more than {MAX_REFUSED} records, the last one with: {error}"
        ) from error


def _lines(plan: Plan, source: AsyncIterator[bytes]) -> Rows:
    return Rows(written_columns(plan), "text", source)


async def _pieces(lines: Sequence[str]) -> AsyncIterator[bytes]:
    for start in range(0, len(lines), _SEND_ROWS):
        yield encoded(lines[start : start + _SEND_ROWS])
