"""From messages to the deliveries in hand: fresh ones, those whose turn it is in an order, those to be done again."""

from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from headwater.bus.port import Message
from headwater.contracts import webhook
from headwater.contracts.webhook import OrderedKey, Receipt, ReplayOf
from headwater.model.errors import ContractError, Reject
from headwater.store import deliveries, ordering, payloads, replays
from headwater.store.database import Database
from headwater.store.ordering import Waiting

HAND_BYTES = 32 * 1024 * 1024  # of bodies in one transaction; a single larger one goes alone
Name = UUID | OrderedKey | ReplayOf  # of bodies that a message does not carry itself


class Item(NamedTuple):
    """A delivery in hand. `at` says how new its records are; `position` is its place in an order."""

    receipt: Receipt
    at: datetime
    replay: ReplayOf | None = None
    requested_at: datetime | None = None
    position: int | None = None

    @property
    def replay_number(self) -> int:
        """0: it is none."""
        return 0 if self.replay is None else self.replay.number


@dataclass(frozen=True, slots=True)
class Hand:
    """What a batch of messages is about. `positions` are the ordered items', as they were when they were read; `taken`
    is how many of each key that are.
    """

    items: Sequence[Item]
    keys: Sequence[OrderedKey]
    positions: Sequence[int]
    superseded: Sequence[ReplayOf]
    limit: int
    taken: Mapping[OrderedKey, int] = field(default_factory=dict)

    def left_of(self, messages: Sequence[Message]) -> list[Message]:
        """Those of `messages`, which were handled, whose key has another one: each is to settle one of its key."""
        if not self.taken:
            return []
        settled = dict(self.taken)
        left = []
        for message in messages:
            key = webhook.ordered_in(message.headers)
            if key is None or not self.taken.get(key):
                continue  # of another kind, or nothing waits for it any more
            if settled[key]:
                settled[key] -= 1
            else:
                left.append(message)
        return left


async def take(database: Database, messages: Sequence[Message], limit: int) -> Hand:
    """The deliveries of `messages`; at most `limit` of one ordered key. Raises: Reject, Unavailable."""
    by_id: dict[UUID, Receipt] = {}  # a message may be there twice
    keys: dict[OrderedKey, None] = {}
    wanted: dict[ReplayOf, None] = {}
    for message in messages:
        receipt, key, replay = _understood(message)
        if receipt is not None:
            by_id[receipt.receipt_id] = receipt
        elif key is not None:
            keys[key] = None
        elif replay is not None:
            wanted[replay] = None
    receipts = list(by_id.values())
    if not keys and not wanted and all(receipt.payload_id is None for receipt in receipts):
        return Hand([Item(receipt, receipt.received_at) for receipt in receipts], (), (), (), limit)
    async with database.connection() as connection:
        items = [Item(each, each.received_at) for each in await _with_bodies(connection, receipts)]
        waiting = await ordering.heads(connection, list(keys), limit) if keys else []
        items += [_item_of(each) for each in waiting]
        latest, superseded = _latest(wanted)
        items += [
            Item(each.receipt, each.receipt.received_at, replay, each.requested_at)
            for each in (await replays.originals(connection, latest) if latest else ())
            for replay in (ReplayOf(each.receipt.id, each.receipt.received_at, each.number),)
        ]
    taken = Counter(each.key for each in waiting)
    return Hand(items, list(keys), [each.position for each in waiting], superseded, limit, taken)


async def parts_of(database: Database, messages: Sequence[Message], limit: int) -> list[Sequence[Message]]:
    """`messages` in parts that may be in memory at once, with the bodies that they only name.

    Raises: Reject, Unavailable.
    """
    names = [_name(message) for message in messages]
    named = {name for name in names if name is not None}
    if not named:
        return [messages]
    sizes = await _sizes(database, named, limit)
    parts: list[list[Message]] = [[]]
    here: set[Name] = set()
    size = 0
    for message, name in zip(messages, names, strict=True):
        weight = len(message.body) + (sizes.get(name, 0) if name is not None and name not in here else 0)
        if parts[-1] and size + weight > HAND_BYTES:
            parts.append([])
            here, size = set(), 0
        parts[-1].append(message)
        size += weight
        if name is not None:
            here.add(name)
    return list(parts)


def _name(message: Message) -> Name | None:
    if webhook.carries_its_body(message.headers):
        return None
    receipt, key, replay = _understood(message)
    return key or replay or (None if receipt is None else receipt.payload_id)


async def _sizes(database: Database, named: AbstractSet[Name], limit: int) -> dict[Name, int]:
    bodies = [name for name in named if isinstance(name, UUID)]
    keys = [name for name in named if isinstance(name, OrderedKey)]
    again = [name for name in named if isinstance(name, ReplayOf)]
    sizes: dict[Name, int] = {}
    async with database.connection() as connection:
        of_bodies = await payloads.sizes(connection, bodies) if bodies else {}
        of_keys = await ordering.sizes(connection, keys, limit) if keys else {}
        of_again = await replays.sizes(connection, again) if again else {}
    sizes |= {body: of_bodies.get(body, 0) for body in bodies}
    sizes |= {key: of_keys.get(key, 0) for key in keys}
    sizes |= {replay: of_again.get(replay.delivery_id, 0) for replay in again}
    return sizes


def _understood(message: Message) -> tuple[Receipt | None, OrderedKey | None, ReplayOf | None]:
    try:
        if not webhook.carries_its_body(message.headers):
            key, replay = webhook.ordered_in(message.headers), webhook.replay_in(message.headers)
            if key is not None or replay is not None:
                return None, key, replay
        return webhook.from_headers(message.id, message.headers, message.body), None, None
    except ContractError as error:
        raise Reject(str(error)) from error


async def _with_bodies(connection: Any, receipts: Sequence[Receipt]) -> list[Receipt]:
    """The receipts, with the bodies that travelled by reference."""
    whole = []
    for receipt in receipts:
        if receipt.payload_id is None:
            whole.append(receipt)
            continue
        body = await payloads.get(connection, receipt.payload_id)
        if body is None and await deliveries.get(connection, receipt.id) is None:
            raise Reject(f"the body of delivery {receipt.id} is gone")
        whole.append(receipt._replace(body=body or b""))
    return whole


def _item_of(waiting: Waiting) -> Item:
    """What is newer in an order says the database's clock, not those of the receivers."""
    try:
        receipt = webhook.from_headers(str(waiting.receipt_id), waiting.headers, waiting.body)
    except ContractError as error:
        raise Reject(str(error)) from error
    return Item(receipt, waiting.entered_at, position=waiting.position)


def _latest(wanted: Mapping[ReplayOf, None]) -> tuple[list[ReplayOf], list[ReplayOf]]:
    """Of several replays of one delivery the last one counts; the others are passed over."""
    latest: dict[tuple[UUID, datetime], ReplayOf] = {}
    for replay in wanted:
        place = (replay.delivery_id, replay.received_at)
        if place not in latest or latest[place].number < replay.number:
            latest[place] = replay
    chosen = set(latest.values())
    return sorted(chosen, key=lambda each: (each.received_at, each.delivery_id)), [
        replay for replay in wanted if replay not in chosen
    ]
