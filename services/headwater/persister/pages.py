"""`batch.ready`: the records of pages reach their table, and the pages settle in the same transaction.

Several pages of one table share a transaction. Pages that are settled already are passed over; those of a run
that is final, or in another attempt, are counted as late. The run's row is updated last: when it no longer runs,
the transaction is undone and tried again without it (DESIGN.md §2.4).
"""

import logging
from collections import OrderedDict, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from headwater.bus.port import Message
from headwater.bus.wire import from_message
from headwater.contracts.messages import BatchReady
from headwater.model.errors import DestinationError, Later, Reject
from headwater.persister import far, residue
from headwater.persister.bodies import Work, in_parts, records_of, rounds
from headwater.persister.bounds import BeyondError, end_before, within_limits
from headwater.persister.children import Children, is_of_parent
from headwater.persister.definitions import MAX_KEPT, Definitions
from headwater.persister.far import Far, FarDatabases, FarTable, far_or_own, named_by, table_of_place
from headwater.persister.guard import WARNING_LOOP, Loops, find_loops
from headwater.persister.loading import MAX_PREPARES, load, table_of_run
from headwater.persister.outlets import Outlets
from headwater.persister.reckoning import grouped, run_counts, settled, walk_advance
from headwater.persister.rejections import rejection_warnings, rejections_of
from headwater.persister.sent_pages import Exchange, SentPage, exchange_of, loaded_of, send_pages, wait
from headwater.persister.turns import in_turn
from headwater.plugins.destinations import Batch, Loaded, Plan, PostgresDestination, StalePlan, Table
from headwater.plugins.destinations.role import as_loader
from headwater.plugins.walk.token import token_digest
from headwater.store import completion, ledger, payloads, runs, staging
from headwater.store.bell import Bell
from headwater.store.database import Database
from headwater.store.ledger import Locked, PageKey
from headwater.store.staging import Manner
from headwater.telemetry.metrics import Metrics

logger = logging.getLogger("headwater.persister")


class _RunEndedError(Exception):
    """A run or walk of the load ended while it was loaded: undo, and go on without what is beyond its end."""


Place = Table | FarTable | Exchange


@dataclass(frozen=True, slots=True)
class _Group:
    """Pages on their way to one table or exchange; None: nothing of them is loaded, they only settle.

    `records` stand apart, since large ones came by reference. `table` is the run's own where its mode needs one.
    `sent` are those that the exchange has, `far` is the database of a table that is not in headwater's own.
    """

    place: Place | None
    work: Sequence[Work]
    records: Mapping[PageKey, list[Any]]
    sent: Mapping[PageKey, SentPage] = field(default_factory=dict)
    far: Far | None = None

    @property
    def table(self) -> Table | None:
        return table_of_place(self.place)


class PageLoader:
    """The handler of `batch.ready`."""

    def __init__(
        self,
        database: Database,
        destination: PostgresDestination,
        definitions: Definitions,
        bell: Bell,
        metrics: Metrics,
        outlets: Outlets,
        databases: FarDatabases,
    ) -> None:
        self._database = database
        self._destination = destination
        self._databases = databases
        self._definitions = definitions
        self._children = Children(definitions)
        self._bell = bell
        self._metrics = metrics
        self._outlets = outlets
        self._manners: OrderedDict[tuple[UUID, int], Manner] = OrderedDict()

    async def handle(self, messages: Sequence[Message]) -> None:
        """Load what `messages` carry, one transaction for each table and what may be in memory; what goes elsewhere
        comes last, since that may be away.
        """
        work = [await self._understood(message) for message in messages]
        groups = await self._by_place(work)
        waits: Later | None = None
        for place in sorted(groups, key=lambda one: isinstance(one, Exchange | FarTable)):
            for unique in rounds(sorted(groups[place], key=lambda item: item[0])):
                for part in await in_parts(self._database, unique):
                    records = await records_of(self._database, part)
                    try:
                        async for turn in in_turn(self._database, table_of_place(place), part):
                            await self._load_group(_Group(place, turn, records))
                    except Later as error:
                        waits = error  # of this place alone
        if waits is not None:
            raise waits

    async def _by_place(self, work: Sequence[Work]) -> dict[Place | None, list[Work]]:
        """The pages by what they load into. Late pages are looked at again when all is locked."""
        manners = await self._manners_of(work)
        schemas = await self._databases.schemas(named_by(definition for _, _, definition in work))
        groups: dict[Place | None, list[Work]] = defaultdict(list)
        for item in work:
            key, _, definition = item
            manner = manners.get((key.run_id, key.attempt))
            is_wanted = manner is not None and not is_of_parent(item[1], definition)
            table = table_of_run(definition, manner) if manner is not None and is_wanted else None
            if table is not None:
                groups[far_or_own(definition, table.for_run(key.run_id, key.attempt), schemas)].append(item)
            else:
                is_sent = is_wanted and manner is not None and manner.mode != "dry_run"
                groups[exchange_of(definition) if is_sent else None].append(item)
        return groups

    async def _manners_of(self, work: Iterable[Work]) -> Mapping[tuple[UUID, int], Manner]:
        """How the attempts of the pages load. That never changes, so it is asked for once."""
        names = {(key.run_id, key.attempt) for key, _, _ in work}
        unknown = {run_id for run_id, attempt in names if (run_id, attempt) not in self._manners}
        if unknown:
            async with self._database.connection() as connection:
                self._manners |= await staging.manners(connection, unknown)
        found = {name: self._manners[name] for name in names if name in self._manners}
        for _ in range(len(self._manners) - MAX_KEPT):
            self._manners.popitem(last=False)
        return found

    async def _understood(self, message: Message) -> Work:
        batch = from_message(BatchReady, message)
        definition = await self._definitions.get(batch.stream_version)
        return PageKey(batch.run_id, batch.attempt, batch.walk, batch.number), batch, definition

    async def _load_group(self, group: _Group) -> None:
        try:
            if isinstance(group.place, Exchange):
                group = replace(group, sent=await self._sent(group.place, group))
            if isinstance(group.place, FarTable):
                await self._until_there(group, await self._databases.at(group.place))
            else:
                await self._until_loaded(group)
        except DestinationError as error:
            if len(group.work) > 1:
                raise  # found out one by one
            key, batch, _ = group.work[0]
            logger.warning("run %s failed on page %d: %s", key.run_id, key.number, error)
            async with self._database.transaction() as connection:
                await runs.count_requests(connection, batch.run_id, batch.attempt, batch.requests)
                await runs.fail_attempt(
                    connection, batch.run_id, batch.attempt, "destination", str(error), retryable=False
                )
            self._bell.ring()

    async def _sent(self, exchange: Exchange, group: _Group) -> dict[PageKey, SentPage]:
        """Send the pages that are to be loaded and that nothing repeats."""
        async with self._database.transaction() as connection:
            open_work, _, _ = await self._still_open(connection, group.work)
            loops = await find_loops(connection, open_work)
        open_work = [item for item in _up_to_their_ends(open_work, loops) if item[0] in group.records]
        wanted = [item for item in open_work if item[0] not in loops.repeated]
        try:
            sent = await send_pages(self._outlets, exchange, wanted, group.records)
        except Later as error:
            await wait(self._database, wanted, error)
            raise
        return {key: SentPage((), ()) for key, _, _ in open_work} | sent

    async def _until_there(self, group: _Group, other: Far) -> None:
        """Load into another database; people see when runs wait for it."""
        try:
            await self._until_loaded(replace(group, far=other))
        except Later as error:
            await wait(self._database, group.work, error)
            raise

    async def _until_loaded(self, group: _Group) -> None:
        kept: set[PageKey] = set()
        for _ in range(MAX_PREPARES):
            batches = {
                key: Batch(group.records[key], batch.started_at, run_id=key.run_id, page=key.number)
                for key, batch, _ in group.work
                if key in group.records
            }
            plan = None
            if group.table is not None:
                of = sorted({(key.run_id, key.attempt, batch.tenant) for key, batch, _ in group.work})
                plan = await self._plan(group, group.table, of, list(batches.values()))
            try:
                async with self._database.transaction() as connection:
                    is_owing = await self._load(connection, group, plan, batches, kept)
            except BeyondError as beyond:
                kept |= await end_before(self._database, beyond.work)
                self._bell.ring()
                continue
            except (StalePlan, _RunEndedError):
                continue
            if is_owing:
                self._bell.ring()
            return
        raise Later(1.0, "the table of these pages keeps changing")

    async def _plan(
        self, group: _Group, table: Table, of: Iterable[tuple[UUID, int, str]], batches: Sequence[Batch]
    ) -> Plan:
        """The plan of the load. Tables that it makes for one attempt are noted as they are made."""
        if group.far is not None and isinstance(group.place, FarTable):
            attempts = residue.attempts_of(table, group.work)
            if table.is_of_run or attempts:
                async with self._database.transaction() as connection:
                    await _note_tables(connection, table, of)
                    for key, stream in attempts.items():
                        await ledger.note_residue(connection, key, stream, group.place.label)
            return await far.prepare(group.far, table, batches)
        known = self._destination.planned(table, batches)
        if known is not None:
            return known
        async with self._database.transaction() as connection:
            await _note_tables(connection, table, of)
            async with as_loader(connection):
                return await self._destination.prepare(connection, table, batches)

    async def _load(
        self,
        connection: Any,
        group: _Group,
        plan: Plan | None,
        batches: Mapping[PageKey, Batch],
        kept: Collection[PageKey],
    ) -> bool:
        """One transaction: rows, pages, walks, runs. True when something is owed by it."""
        open_work, locked, late = await self._still_open(connection, group.work)
        for key, batch, definition in open_work:
            if key not in batches:
                raise Reject(f"the body of page {key.number} of run {batch.run_id} is gone")
            is_wanted = definition.stream.destination is not None and locked[key].mode != "dry_run"
            is_wanted = is_wanted and not is_of_parent(batch, definition)
            if plan is None and is_wanted and key not in group.sent:
                raise _RunEndedError  # its run began this attempt after the look at it
        loops = await find_loops(connection, open_work)
        open_work = _up_to_their_ends(open_work, loops)
        if plan is not None:
            open_work, batches = await within_limits(connection, open_work, batches, kept)
        async with AsyncExitStack() as stack:
            loaded = loaded_of(open_work, group.sent)
            if plan is not None and open_work:
                chosen = [_unless_repeated(batches[key], key, loops) for key, _, _ in open_work]
                loaded = await self._rows(connection, stack, group, plan, open_work, chosen)
            await self._settle(connection, open_work, loaded)
            is_owing = await self._advance(connection, plan, open_work, group.records, loaded, loops, late)
            bodies = [batch.payload_id for _, batch, _ in group.work if batch.payload_id is not None]
            if bodies:
                await payloads.remove(connection, bodies)
        return is_owing

    async def _rows(
        self,
        connection: Any,
        stack: AsyncExitStack,
        group: _Group,
        plan: Plan,
        work: Sequence[Work],
        batches: Sequence[Batch],
    ) -> Loaded:
        """Put the rows into their table; those of another database are committed when `stack` ends."""
        table, place = plan.table, group.place
        if group.far is None or not isinstance(place, FarTable):
            await residue.remove(connection, self._destination, table, work)
            return await load(connection, self._destination, plan, batches)
        attempts = residue.attempts_of(table, work)

        async def take(key: PageKey) -> Sequence[UUID]:
            return await residue.take(connection, self._destination, table, place.label, key, attempts[key])

        keys = [key for key, _, _ in work]
        return await stack.enter_async_context(far.loading(group.far, plan, keys, batches, attempts, take))

    async def _still_open(
        self, connection: Any, work: Sequence[Work]
    ) -> tuple[list[Work], dict[PageKey, Locked], dict[UUID, dict[PageKey, int]]]:
        """The pages that are to be loaded, locked; the rest is passed over, or late: by run, so many records each."""
        locked = await ledger.lock_pages(
            connection, {key: token_digest(batch.token) for key, batch, _ in work}
        )
        wanted: list[Work] = []
        late: dict[UUID, dict[PageKey, int]] = defaultdict(dict)
        for key, batch, definition in sorted(work, key=lambda item: item[0]):
            if key not in locked:
                raise Reject(f"page {key.number} of run {key.run_id} was never begun")
            if locked[key].is_passed:
                continue
            if locked[key].is_wanted:
                wanted.append((key, batch, definition))
            else:
                late[key.run_id][key] = batch.received
        return wanted, locked, late

    async def _settle(self, connection: Any, work: Sequence[Work], loaded: Loaded) -> None:
        found = rejections_of([(key, batch) for key, batch, _ in work], loaded)
        for key, batch, _ in work:
            if found[key]:
                await ledger.keep_rejected(connection, key, batch.tenant, found[key])
            if batch.sample is not None:
                await staging.keep_sample(connection, key, batch.sample)
        await ledger.settle_pages(
            connection, [settled(key, batch, len(found[key])) for key, batch, _ in work]
        )

    async def _advance(
        self,
        connection: Any,
        plan: Plan | None,
        work: Sequence[Work],
        records: Mapping[PageKey, list[Any]],
        loaded: Loaded,
        loops: Loops,
        late: Mapping[UUID, Mapping[PageKey, int]],
    ) -> bool:
        """Walks first, runs last, in id order: the order in which every loader locks."""
        ending: set[tuple[UUID, int]] = set()
        for (run_id, attempt, walk), items in grouped(work, lambda key: (key.run_id, key.attempt, key.walk)):
            has_marks = any(batch.highest is not None for _, batch, _ in items)
            marks = await completion.walk_marks(connection, run_id, attempt, walk) if has_marks else ()
            advance = walk_advance(items, marks, loops.first.get((run_id, attempt, walk)))
            last = await completion.advance_walk(connection, run_id, attempt, walk, advance)
            if last is not None and last < max(key.number for key, _, _ in items):
                raise _RunEndedError
            if last is not None:
                ending.add((run_id, attempt))
        is_owing = False
        late_ids = sorted(late)
        pages = [(key, batch) for key, batch, _ in work]
        for (run_id, attempt), items in grouped(work, lambda key: (key.run_id, key.attempt)):
            while late_ids and late_ids[0] < run_id:
                await ledger.count_late(connection, late_ids[0], late[late_ids.pop(0)])
            counts = run_counts(items, loaded, run_id)
            warnings = {code for _, batch, _ in items for code in batch.warnings} | loaded.warnings
            warnings |= rejection_warnings(plan, pages, loaded, items[0][0])
            if loops.of_run(run_id, attempt):
                warnings.add(WARNING_LOOP)
            if not await completion.advance_run(connection, run_id, attempt, counts, sorted(warnings)):
                raise _RunEndedError
            if counts["deleted"]:
                await staging.add_deleted(connection, run_id, counts["deleted"])
            for name in ("inserted", "updated", "unchanged", "rejected", "deleted"):
                self._metrics.records.labels(name).inc(counts[name])
            fresh = [item for item in items if item[0] not in loops.repeated]
            has_ended = (run_id, attempt) in ending
            is_owing |= await self._children.follow(connection, fresh or items, records, has_ended=has_ended)
            if has_ended:  # else a walk of it goes on
                tenant = items[0][1].tenant
                is_owing |= await completion.owe_close_if_complete(connection, run_id, attempt, tenant)
        for late_id in late_ids:
            await ledger.count_late(connection, late_id, late[late_id])
        return is_owing


async def _note_tables(connection: Any, table: Table, of: Iterable[tuple[UUID, int, str]]) -> None:
    """Write down which attempts are about to have a table of their own."""
    if table.is_of_run:
        for run_id, attempt, tenant in of:
            await staging.note(connection, run_id, attempt, tenant)


def _up_to_their_ends(work: Sequence[Work], loops: Loops) -> list[Work]:
    """The work without pages that lie beyond a page that is the last of its walk."""
    ends = dict(loops.first)
    for key, batch, _ in work:
        if batch.next_token is None:
            walk = (key.run_id, key.attempt, key.walk)
            ends[walk] = min(key.number, ends.get(walk, key.number))
    return [
        (key, batch, definition)
        for key, batch, definition in work
        if key.number <= ends.get((key.run_id, key.attempt, key.walk), key.number)
    ]


def _unless_repeated(batch: Batch, key: PageKey, loops: Loops) -> Batch:
    return replace(batch, records=[]) if key in loops.repeated else batch
