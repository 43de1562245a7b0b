"""`batch.ready`: the records of pages reach their table, and the pages settle in the same transaction.

Several pages of one table share a transaction. Pages that are settled already are passed over; those of a run
that is final, or in another attempt, are counted as late. The run's row is updated last: when it no longer runs,
the transaction is undone and tried again without it (DESIGN.md §2.4).
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from headwater.bus.port import Message
from headwater.bus.wire import from_message
from headwater.contracts.codec import dumps, loads
from headwater.contracts.manifest import StreamDefinition
from headwater.contracts.messages import BatchReady
from headwater.model.errors import ContractError, DestinationError, Later, Reject
from headwater.persister.definitions import Definitions
from headwater.persister.loading import MAX_PREPARES, as_loader, load, prepare, table_of
from headwater.plugins.destinations import Batch, Loaded, Mode, Plan, PostgresDestination, StalePlan, Table
from headwater.plugins.walk import order_of, token_digest
from headwater.store import ledger, payloads, runs
from headwater.store.bell import Bell
from headwater.store.database import Database
from headwater.store.ledger import PageKey, Settled, WalkAdvance
from headwater.telemetry.metrics import Metrics

logger = logging.getLogger("headwater.persister")
Work = tuple[PageKey, BatchReady, StreamDefinition]


class _RunEndedError(Exception):
    """A run of the load ended while it was loaded: undo, and go on without it."""


@dataclass(frozen=True, slots=True)
class _Group:
    """Pages on their way to one table. `records` stand apart, since large ones came by reference."""

    table: Table
    work: Sequence[Work]
    records: Mapping[PageKey, list[Any]]


class PageLoader:
    """The handler of `batch.ready`."""

    def __init__(
        self,
        database: Database,
        destination: PostgresDestination,
        definitions: Definitions,
        bell: Bell,
        metrics: Metrics,
    ) -> None:
        self._database = database
        self._destination = destination
        self._definitions = definitions
        self._bell = bell
        self._metrics = metrics

    async def handle(self, messages: Sequence[Message]) -> None:
        """Load what `messages` carry, one transaction for each table."""
        work = [await self._understood(message) for message in messages]
        groups: dict[Table, list[Work]] = defaultdict(list)
        for item in work:
            groups[table_of(item[1].tenant, item[2].stream.destination)].append(item)
        for table, items in groups.items():
            unique = list({item[0]: item for item in items}.values())
            await self._load_group(_Group(table, unique, await self._records(unique)))

    async def _understood(self, message: Message) -> Work:
        batch = from_message(BatchReady, message)
        definition = await self._definitions.get(batch.stream_version)
        return PageKey(batch.run_id, batch.attempt, batch.walk, batch.number), batch, definition

    async def _records(self, work: Iterable[Work]) -> dict[PageKey, list[Any]]:
        """The records of each page. A reference that leads nowhere is a page that settled, or a lost body."""
        found: dict[PageKey, list[Any]] = {}
        for key, batch, _ in work:
            if batch.payload_id is None:
                found[key] = batch.records or []
                continue
            async with self._database.connection() as connection:
                body = await payloads.get(connection, batch.payload_id)
            if body is not None:
                found[key] = _list_in(body)
        return found

    async def _load_group(self, group: _Group) -> None:
        try:
            await self._until_loaded(group)
        except DestinationError as error:
            if len(group.work) > 1:
                raise  # found out one by one
            key, batch, _ = group.work[0]
            logger.warning("run %s failed on page %d: %s", key.run_id, key.number, error)
            async with self._database.transaction() as connection:
                await runs.fail_attempt(
                    connection, batch.run_id, batch.attempt, "destination", str(error), retryable=False
                )
            self._bell.ring()

    async def _until_loaded(self, group: _Group) -> None:
        for _ in range(MAX_PREPARES):
            batches = {
                key: Batch(group.records[key], batch.started_at, run_id=key.run_id, page=key.number)
                for key, batch, _ in group.work
                if key in group.records
            }
            plan = await self._plan(group, list(batches.values()))
            try:
                async with self._database.transaction() as connection:
                    is_closing = await self._load(connection, group, plan, batches)
            except (StalePlan, _RunEndedError):
                continue
            if is_closing:
                self._bell.ring()
            return
        raise Later(1.0, f"table {group.table.name} keeps changing")

    async def _plan(self, group: _Group, batches: Sequence[Batch]) -> Plan:
        return await prepare(self._database, self._destination, group.table, batches)

    async def _load(
        self, connection: Any, group: _Group, plan: Plan, batches: Mapping[PageKey, Batch]
    ) -> bool:
        """One transaction: rows, pages, walks, runs. True when a run may be closed now."""
        open_work, states = await self._still_open(connection, group.work)
        if not open_work:
            return False
        for key, batch, _ in open_work:
            if key not in batches:
                raise Reject(f"the body of page {key.number} of run {batch.run_id} is gone")
        wet = [key for key, _, _ in open_work if states[key.run_id]["mode"] != "dry_run"]
        await self._remove_residue(connection, group.table, [item for item in open_work if item[0] in wet])
        chosen = [batches[key] for key in wet]
        loaded = await load(connection, self._destination, plan, chosen) if wet else Loaded()
        await self._settle(connection, open_work, wet, loaded)
        closing = await self._advance(connection, open_work, loaded)
        bodies = [batch.payload_id for _, batch, _ in open_work if batch.payload_id is not None]
        if bodies:
            await payloads.remove(connection, bodies)
        return closing

    async def _still_open(
        self, connection: Any, work: Sequence[Work]
    ) -> tuple[list[Work], dict[UUID, Mapping[str, Any]]]:
        """The pages that are to be loaded, locked; the rest is passed over or counted as late."""
        settled = await ledger.lock_pages(connection, [key for key, _, _ in work])
        states = await ledger.run_states(connection, [key.run_id for key, _, _ in work])
        wanted: list[Work] = []
        for key, batch, definition in sorted(work, key=lambda item: item[0]):
            if key not in settled:
                raise Reject(f"page {key.number} of run {key.run_id} was never begun")
            if settled[key]:
                continue
            state = states[key.run_id]
            if state["state"] == "running" and state["attempt"] == key.attempt:
                wanted.append((key, batch, definition))
            else:
                await ledger.count_late(connection, key.run_id, batch.received)
        return wanted, states

    async def _remove_residue(self, connection: Any, table: Table, work: Sequence[Work]) -> None:
        """The first append of an attempt removes what unfinished runs and attempts of the stream left."""
        if table.mode is not Mode.APPEND:
            return
        seen: set[tuple[UUID, int]] = set()
        for key, batch, definition in work:
            if (key.run_id, key.attempt) in seen:
                continue
            seen.add((key.run_id, key.attempt))
            of = (batch.tenant, definition.source, definition.stream.name)
            left = await ledger.first_load(connection, key, of, table.name)
            for name in {name for _, name in left or ()}:
                gone = [run_id for run_id, of_table in left or () if of_table == name]
                async with as_loader(connection):
                    await self._destination.remove_unfinished(connection, Table(table.schema, name), gone)

    async def _settle(
        self, connection: Any, work: Sequence[Work], wet: Sequence[PageKey], loaded: Loaded
    ) -> None:
        rejected: Counter[PageKey] = Counter()
        for item in loaded.rejected:
            key = wet[item.batch]
            rejected[key] += 1
            text = _shown(item.record)
            tenant = next(batch.tenant for other, batch, _ in work if other == key)
            await ledger.keep_rejected(connection, key, tenant, [(item.index, item.reason, text)])
        for key, batch, _ in work:
            rows = [(1_000_000 + item.position, item.reason, "") for item in batch.rejected]
            if rows:
                await ledger.keep_rejected(connection, key, batch.tenant, rows)
        await ledger.settle_pages(connection, [_settled(key, batch, rejected[key]) for key, batch, _ in work])

    async def _advance(self, connection: Any, work: Sequence[Work], loaded: Loaded) -> bool:
        """Walks first, runs last, in id order."""
        for (run_id, attempt, walk), items in _grouped(work, lambda key: (key.run_id, key.attempt, key.walk)):
            highest = await ledger.walk_highest(connection, run_id, attempt, walk)
            await ledger.advance_walk(connection, run_id, attempt, walk, _walk_advance(items, highest))
        closing = False
        for (run_id, attempt), items in _grouped(work, lambda key: (key.run_id, key.attempt)):
            counts = _run_counts(items, loaded, run_id)
            warnings = sorted({code for _, batch, _ in items for code in batch.warnings} | loaded.warnings)
            if counts["rejected"]:
                warnings.append("rows_rejected")
            if not await ledger.advance_run(connection, run_id, attempt, counts, warnings):
                raise _RunEndedError
            for name in ("inserted", "updated", "unchanged", "rejected"):
                self._metrics.records.labels(name).inc(counts[name])
            tenant = items[0][1].tenant
            closing |= await ledger.owe_close_if_complete(connection, run_id, attempt, tenant)
        return closing


def _list_in(body: bytes) -> list[Any]:
    try:
        found = loads(body)
    except ContractError as error:
        raise Reject(f"the body of a page is no JSON: {error}") from error
    if not isinstance(found, list):
        raise Reject("the body of a page is no list")
    return found


def _settled(key: PageKey, batch: BatchReady, rejected: int) -> Settled:
    following = batch.next_token
    return Settled(
        key,
        following,
        None if following is None else token_digest(following),
        batch.stop_reason,
        batch.status,
        batch.body_bytes,
        batch.received,
        rejected + len(batch.rejected),
    )


def _grouped(work: Sequence[Work], by: Any) -> list[tuple[Any, list[Work]]]:
    """The work by key, in key order: the order in which every loader locks."""
    groups: dict[Any, list[Work]] = defaultdict(list)
    for item in work:
        groups[by(item[0])].append(item)
    return sorted(groups.items(), key=lambda pair: pair[0])


def _walk_advance(items: Sequence[Work], highest: Any) -> WalkAdvance:
    marks = [mark for mark in (highest, *(batch.highest for _, batch, _ in items)) if mark is not None]
    ends = [(key.number, batch.stop_reason) for key, batch, _ in items if batch.next_token is None]
    last_number, stop_reason = min(ends, default=(None, None))
    return WalkAdvance(
        settled=len(items),
        records=sum(batch.received for _, batch, _ in items),
        last_number=last_number,
        stop_reason=stop_reason,
        highest=max(marks, key=order_of, default=None),
    )


def _run_counts(items: Sequence[Work], loaded: Loaded, run_id: UUID) -> dict[str, int]:
    became = loaded.by_run.get(run_id)
    selected_out = sum(len(batch.rejected) for _, batch, _ in items)
    counts = {
        "pages": len(items),
        "requests": sum(batch.requests for _, batch, _ in items),
        "received": sum(batch.received for _, batch, _ in items),
        "rejected": selected_out,
    }
    if became is not None:
        counts["inserted"] = became.inserted
        counts["updated"] = became.updated
        counts["unchanged"] = became.unchanged + became.deduplicated
        counts["rejected"] += became.rejected
    return {"inserted": 0, "updated": 0, "unchanged": 0, **counts}


def _shown(record: Any) -> str:
    """The record as JSON text that a row can hold."""
    try:
        text = dumps(record).decode()
    except ContractError:
        text = ascii(record)
    return text.replace("\0", "\\u0000")[:65_536]
