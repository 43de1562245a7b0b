"""`webhook.received`: deliveries become rows, once each, and do what their endpoint says.

A fault of content fails no message: a delivery that cannot be read, filtered, mapped or typed is committed as `dead`,
with reason and bytes. Everything that follows from a delivery is in its transaction.
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from headwater.bus.envelope import clean_reason
from headwater.bus.port import Message
from headwater.contracts.webhook import Receipt, ReplayOf
from headwater.model.errors import DestinationError, Later, Reject
from headwater.persister.endpoints import EndpointEffects
from headwater.persister.follow_up import start_run, tell
from headwater.persister.items import Hand, Item, parts_of, take
from headwater.persister.loading import load, prepare, table_of
from headwater.persister.outlets import Outlets
from headwater.persister.owed_records import Messages, messages_of, owe
from headwater.plugins.destinations import Batch, Loaded, Plan, PostgresDestination, StalePlan, Table
from headwater.plugins.destinations.role import as_loader
from headwater.plugins.webhooks.effects import DEAD, DONE, FILTERED, Judgement, judge
from headwater.store import deliveries, endpoints, ordering, payloads, replays, tenants
from headwater.store.bell import Bell
from headwater.store.database import Database
from headwater.store.deliveries import Raced
from headwater.store.delivery_rows import Outcome, Partitions
from headwater.store.keyring import Keyring
from headwater.store.replays import SUPERSEDED, Done
from headwater.telemetry.metrics import Metrics

logger = logging.getLogger("headwater.persister")
MAX_ROUNDS = 8
DUPLICATE = "duplicate"  # of which deliveries are counted, though it is no state of one
Rows = Mapping[int, Batch]  # of one table, by the delivery's place in the hand


class Moved(Later):
    """Another handler settled deliveries of these keys meanwhile; nothing of this transaction may stay."""

    def __init__(self) -> None:
        super().__init__(0.1, "deliveries of this key were settled by another handler")


@dataclass(slots=True)
class _Done:
    """What a transaction made of its items."""

    outcomes: list[tuple[Item, Judgement]] = field(default_factory=list)
    duplicates: int = 0
    owes: bool = False
    owes_records: bool = False


@dataclass(slots=True)
class _Work:
    """Deliveries in hand, what each does, and the messages that they send. `trusting` is as `choose` has it."""

    hand: Hand
    judged: list[Judgement]
    owed: Messages
    trusting: bool = True


class DeliveryLoader:
    """The handler of `webhook.received`."""

    def __init__(
        self,
        database: Database,
        destination: PostgresDestination,
        bell: Bell,
        metrics: Metrics,
        outlets: Outlets,
        keyring: Keyring | None = None,
    ) -> None:
        self._database = database
        self._outlets = outlets
        self._destination = destination
        self._bell = bell
        self._metrics = metrics
        self._effects = EndpointEffects(database, keyring)
        self._partitions = Partitions()
        for state in (DONE, FILTERED, DEAD, DUPLICATE):
            metrics.deliveries.labels(state)  # there from the beginning, so that the first one is a change

    async def handle(self, messages: Sequence[Message]) -> None:
        """Do what `messages` tell of: in one transaction, or in several where the bodies are many and large."""
        for part in await parts_of(self._database, messages, ordering.AT_ONCE):
            left = part
            while left:
                left = (await self._handle(left)).left_of(left)

    async def _handle(self, messages: Sequence[Message]) -> Hand:
        limit = ordering.AT_ONCE
        has_raced = False
        for _ in range(MAX_ROUNDS):
            hand = await take(self._database, messages, limit)
            judged = await self._judged(hand.items)
            owed = await messages_of(self._outlets, hand.items, judged)
            work = _Work(hand, judged, owed, trusting=not has_raced)
            try:
                done = await self._load(work)
            except Raced:
                has_raced = True
                continue
            except (StalePlan, Moved):
                continue
            except DestinationError as error:
                if len(messages) > 1:
                    raise  # found out one by one
                if len(hand.items) > 1:
                    limit = 1  # of an ordered key: its head alone
                    continue
                work.judged = [Judgement(DEAD, str(error)[:1000])] * len(hand.items)
                work.owed = {}
                done = await self._store(work, [])
            self._tell(done)
            return hand
        raise Later(1.0, "a table, or another handler, keeps changing what is to be loaded")

    def _tell(self, done: _Done) -> None:
        for state, count in Counter(judgement.state for _, judgement in done.outcomes).items():
            self._metrics.deliveries.labels(state).inc(count)
        if done.duplicates:
            self._metrics.deliveries.labels(DUPLICATE).inc(done.duplicates)
        if done.owes:
            self._bell.ring()
        if done.owes_records:
            self._outlets.ring()

    async def _judged(self, items: Sequence[Item]) -> list[Judgement]:
        """What each delivery does, as its endpoint is defined now."""
        names = {(item.receipt.tenant, item.receipt.endpoint) for item in items}
        effects = await self._effects.of(names)
        if len(effects) < len(names):
            await self._check_tenants(items)
        judged = []
        for receipt, *_ in items:
            found = effects.get((receipt.tenant, receipt.endpoint), "endpoint: it is not there any more")
            judged.append(
                Judgement(DEAD, found)
                if isinstance(found, str)
                else judge(found, receipt, self._effects.keys_of(receipt.tenant))
            )
        if any(judgement.runs for judgement in judged):
            await self._check_streams(items, judged)
        return judged

    async def _check_tenants(self, items: Sequence[Item]) -> None:
        """Raises: Reject for what a removed tenant accepted: nobody can have it any more."""
        async with self._database.connection() as connection:
            gone = await tenants.gone(connection, {item.receipt.tenant for item in items})
        for item in items:
            if item.receipt.tenant in gone:
                raise Reject(f"tenant {item.receipt.tenant} is removed")

    async def _check_streams(self, items: Sequence[Item], judged: list[Judgement]) -> None:
        wanted = {
            (item.receipt.tenant, run.source, run.stream)
            for item, judgement in zip(items, judged, strict=True)
            for run in judgement.runs
        }
        async with self._database.connection() as connection:
            there = await endpoints.streams_there(connection, sorted(wanted))
        for place, item in enumerate(items):
            for run in judged[place].runs:
                if (item.receipt.tenant, run.source, run.stream) not in there:
                    reason = f"starts.{run.number}: there is no stream {run.source}.{run.stream}"
                    judged[place] = Judgement(DEAD, reason, judged[place].form)

    async def _load(self, work: _Work) -> _Done:
        planned = []
        for table, rows in _by_table(work.hand.items, work.judged):
            planned.append(
                (await prepare(self._database, self._destination, table, list(rows.values())), rows)
            )
        return await self._store(work, planned)

    async def _store(self, work: _Work, planned: Sequence[tuple[Plan, Rows]]) -> _Done:
        hand, final = work.hand, list(work.judged)
        lost: Counter[int] = Counter()
        async with self._database.transaction() as connection:
            await _hold_order(connection, hand)
            fresh = [item.receipt for item in hand.items if item.replay is None]
            chosen = await deliveries.choose(connection, fresh, trusting=work.trusting)
            again, passed_over = await self._claim_replays(connection, hand)
            items = _to_do(hand.items, fresh, chosen.new, again)
            await self._remove_rows(connection, items.values())
            for plan, rows in planned:
                here = rows.keys() & items.keys() if len(items) < len(hand.items) else rows.keys()
                if here:
                    places = sorted(here)
                    batches = [rows[place] for place in places]
                    loaded = await load(connection, self._destination, plan, batches)
                    _note_rejected(final, lost, places, batches, loaded, plan.table.name)
            done = _Done([(item, final[place]) for place, item in items.items()], len(chosen.duplicates))
            sent = (
                {place: item for place, item in items.items() if final[place].state == DONE}
                if work.owed
                else {}
            )
            done.owes_records = await owe(connection, sent, work.owed)
            await self._settle(connection, hand, done, chosen.duplicates, passed_over)
        return done

    async def _claim_replays(self, connection: Any, hand: Hand) -> tuple[set[ReplayOf], list[ReplayOf]]:
        """The replays that are to be done now, and those that a later one stands for."""
        wanted = [item.replay for item in hand.items if item.replay is not None]
        if not wanted:
            return set(), list(hand.superseded)
        claimed = await replays.claim(connection, wanted)
        late = [replay for replay, is_superseded in claimed.items() if is_superseded]
        return {replay for replay in claimed if replay not in late}, [*late, *hand.superseded]

    async def _remove_rows(self, connection: Any, items: Iterable[Item]) -> None:
        """What a delivery's rows were before it is done again."""
        ids: dict[Table, list[UUID]] = defaultdict(list)
        for item in items:
            if item.replay is not None:
                for destination in self._effects.destinations_of(
                    (item.receipt.tenant, item.receipt.endpoint)
                ):
                    if destination.table is not None:
                        ids[table_of(item.receipt.tenant, destination)].append(item.receipt.id)
        if ids:
            async with as_loader(connection):
                for table in sorted(ids, key=lambda one: (one.schema, one.name)):
                    await self._destination.remove_deliveries(connection, table, ids[table])

    async def _settle(
        self,
        connection: Any,
        hand: Hand,
        done: _Done,
        duplicates: Sequence[Receipt],
        passed_over: Sequence[ReplayOf],
    ) -> None:
        for item, judgement in done.outcomes:
            if judgement.state == DONE and (judgement.runs or judgement.event is not None):
                await _follow_up(connection, item, judgement)
                done.owes = True
        fresh = [
            Outcome(receipt, judgement.state, _clean(judgement.reason), judgement.form)
            for (receipt, _, replay, *_), judgement in done.outcomes
            if replay is None
        ]
        await deliveries.insert(connection, fresh, duplicates, self._partitions)
        again = [
            Done(item.replay, judgement.state, _clean(judgement.reason), judgement.form)
            for item, judgement in done.outcomes
            if item.replay is not None
        ]
        again += [Done(replay, SUPERSEDED) for replay in passed_over]
        if again:
            await replays.settle(connection, again)
        if hand.positions:
            await ordering.remove(connection, hand.positions)
        bodies = [item.receipt.payload_id for item in hand.items if item.receipt.payload_id is not None]
        if bodies:
            await payloads.remove(connection, bodies)


async def _follow_up(connection: Any, item: Item, judgement: Judgement) -> None:
    for run in judgement.runs:
        await start_run(connection, item, run)
    if judgement.event is not None:
        await tell(connection, item, judgement.event)


def _clean(reason: str | None) -> str | None:
    """A reason as a row can hold it: it may quote what a sender wrote."""
    return None if reason is None else clean_reason(reason)


async def _hold_order(connection: Any, hand: Hand) -> None:
    """Hold the ordered keys, and see that what was read is still what is next. Raises: Moved."""
    if not hand.keys:
        return
    await ordering.lock(connection, hand.keys)
    now = await ordering.positions(connection, hand.keys, hand.limit)
    if now[: len(hand.positions)] != list(hand.positions):
        raise Moved


def _to_do(
    items: Sequence[Item], fresh: Sequence[Receipt], new: Sequence[Receipt], again: set[ReplayOf]
) -> dict[int, Item]:
    """The items that are to be done now, by their places: new deliveries, once each, and claimed replays."""
    if new is fresh and len(fresh) == len(items):
        return dict(enumerate(items))
    wanted = {receipt.receipt_id for receipt in new}
    chosen: dict[int, Item] = {}
    for place, item in enumerate(items):
        if item.replay is not None:
            if item.replay in again:
                chosen[place] = item
        elif item.receipt.receipt_id in wanted:
            wanted.remove(item.receipt.receipt_id)
            chosen[place] = item
    return chosen


def _by_table(items: Sequence[Item], judged: Sequence[Judgement]) -> list[tuple[Table, dict[int, Batch]]]:
    """The records by table, tables in one order, deliveries in theirs."""
    by_table: dict[Table, dict[int, Batch]] = {}
    by_destination: dict[int, dict[int, Batch]] = {}  # the same, by what is quicker to compare
    for place, (item, judgement) in enumerate(zip(items, judged, strict=True)):
        for each in judgement.loads:
            if each.destination.table is None:
                continue  # sent, not loaded
            rows = by_destination.get(id(each.destination))
            if rows is None:
                table = table_of(item.receipt.tenant, each.destination, each.kinds)
                rows = by_destination[id(each.destination)] = by_table.setdefault(table, {})
            known = rows.get(place)
            records = [*known.records, *each.records] if known else each.records
            rows[place] = Batch(records, item.at, delivery_id=item.receipt.id)
    return sorted(by_table.items(), key=lambda pair: (pair[0].schema, pair[0].name))


def _note_rejected(
    judged: list[Judgement],
    lost: Counter[int],
    places: Sequence[int],
    batches: Sequence[Batch],
    loaded: Loaded,
    table: str,
) -> None:
    """A delivery none of whose records could be a row is dead; one that lost some says so.

    `lost` counts the records that could not, by delivery, over all tables.
    """
    rows: dict[int, dict[int, bool]] = defaultdict(dict)  # by record, whether all of it is lost
    reasons: dict[int, str] = {}
    for row in loaded.rejected:
        rows[row.batch][row.index] = rows[row.batch].get(row.index, False) or not row.is_element
        reasons.setdefault(row.batch, row.reason)
    for index, told in rows.items():
        place = places[index]
        judgement = judged[place]
        lost[place] += sum(told.values())
        is_dead = lost[place] == sum(len(load.records) for load in judgement.loads)
        note = reasons[index]
        if not (is_dead and len(judgement.loads) == 1):
            how = "rejected" if any(told.values()) else "without some elements"
            note = f"{len(told)} of {len(batches[index].records)} records for {table} {how}: {note}"
        both = note if judgement.reason is None else f"{judgement.reason}; {note}"
        state = DEAD if is_dead else judgement.state
        judged[place] = Judgement(
            state, both[:1000], judgement.form, judgement.loads, judgement.runs, judgement.event
        )
