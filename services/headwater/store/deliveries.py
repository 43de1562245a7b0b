"""Deliveries: one row per accepted webhook, once each; duplicates are marks on the first one (DESIGN.md §4)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg

from headwater.contracts.codec import dumps
from headwater.contracts.webhook import Receipt
from headwater.model.errors import ConfigError, Later
from headwater.model.ids import EPOCH, time_of
from headwater.store.delivery_rows import Outcome, Partitions, write
from headwater.store.queries import queries

_Q = queries("deliveries")


class Chosen(NamedTuple):
    """Which receipts become deliveries, and which are marks on the first one (with its id and time)."""

    new: Sequence[Receipt]
    duplicates: Sequence[Receipt]


class Raced(Later):
    """Another handler stored one of these deliveries at the same time; nothing of this transaction may stay."""

    def __init__(self) -> None:
        super().__init__(0.1, "a delivery was stored by another handler at the same time")


async def choose(connection: Any, receipts: Sequence[Receipt], *, trusting: bool = True) -> Chosen:
    """Claim the receipts' keys; tells what is new in this transaction. `insert` stores it.

    A key that nobody held was never stored under this receipt, unless its claim was swept meanwhile: not `trusting`
    looks for its delivery all the same.
    """
    keyed = [receipt for receipt in receipts if receipt.key is not None]
    fresh = await _claim(connection, keyed) if keyed else set()
    if fresh is None and trusting and len(keyed) == len(receipts):
        return Chosen(receipts, ())
    claimed = {r.receipt_id for r in keyed} if fresh is None else fresh
    old = [r for r in keyed if r.receipt_id not in claimed]
    holders = await _holders(connection, old) if old else {}
    first: dict[UUID, Receipt] = {}
    duplicates: dict[UUID, Receipt] = {}
    for r in receipts:
        is_holder = (
            r.key is None
            or r.receipt_id in claimed
            or holders.get((r.tenant, r.endpoint, r.key)) == r.receipt_id
        )
        (first if is_holder else duplicates)[r.receipt_id] = r
    known = await _known(
        connection, [r for r in first.values() if not (trusting and r.receipt_id in claimed)]
    )
    return Chosen([r for r in first.values() if r.receipt_id not in known], list(duplicates.values()))


async def insert(
    connection: Any,
    outcomes: Sequence[Outcome],
    duplicates: Sequence[Receipt],
    partitions: Partitions | None = None,
) -> None:
    """Store what `choose` gave, in the same transaction. Raises: Raced; then the transaction must be undone.

    With `partitions` they are settled now and written in the quick way.
    """
    if partitions is None:
        await _insert(connection, outcomes)
    else:
        for name, those in await partitions.of(connection, outcomes):
            if name is None:
                await _insert(connection, those)
            else:
                await _write(connection, partitions, name, those)
    await _mark(connection, duplicates)


async def _write(connection: Any, partitions: Partitions, name: str, outcomes: Sequence[Outcome]) -> None:
    try:
        await write(connection, name, outcomes)
    except asyncpg.UniqueViolationError as error:
        raise Raced from error
    except (asyncpg.UndefinedTableError, asyncpg.InsufficientPrivilegeError) as error:
        partitions.forget(name)
        raise Raced from error


async def store(connection: Any, receipts: Sequence[Receipt]) -> list[Receipt]:
    """Insert what is new as accepted, mark what is a duplicate; gives the receipts whose deliveries are new.

    For those who settle them afterwards, one by one.
    """
    chosen = await choose(connection, receipts)
    await insert(connection, [Outcome(receipt, "accepted") for receipt in chosen.new], chosen.duplicates)
    return list(chosen.new)


async def _known(connection: Any, receipts: Sequence[Receipt]) -> set[UUID]:
    """Receipts of those that are stored already: their messages came again."""
    if not receipts:
        return set()
    rows = await connection.fetch(_Q["known"], [r.received_at for r in receipts], [r.id for r in receipts])
    return {row["receipt_id"] for row in rows}


async def _claim(connection: Any, keyed: Sequence[Receipt]) -> set[UUID] | None:
    """Claim the keys; gives the receipts that hold theirs since now, None when all of them do."""
    places: dict[tuple[str, str, int], int] = {}  # what many have in common, from 1
    of = [places.setdefault((r.tenant, r.endpoint, r.dedupe_s), len(places) + 1) for r in keyed]
    claimed = await connection.fetchval(
        _Q["claim"],
        *map(list, zip(*places, strict=True)),
        of,
        [r.key for r in keyed], [r.id for r in keyed], [r.receipt_id for r in keyed],
        [r.received_at for r in keyed],
    )  # fmt: skip
    return None if claimed is None else set(claimed)


async def _holders(connection: Any, keyed: Sequence[Receipt]) -> dict[tuple[str, str, str], UUID]:
    """Who holds keys that were claimed before; a claim whose window is over is taken over."""
    tenants, endpoints = [r.tenant for r in keyed], [r.endpoint for r in keyed]
    keys = [r.key for r in keyed]
    receipts, times = [r.receipt_id for r in keyed], [r.received_at for r in keyed]
    expiries = [r.received_at + timedelta(seconds=r.dedupe_s) for r in keyed]
    rows = await connection.fetch(_Q["claims"], tenants, endpoints, keys)
    if any(row["expires_at"] <= max(times) for row in rows):
        await connection.execute(_Q["renew_claims"], tenants, endpoints, keys, receipts, times, expiries)
        rows = await connection.fetch(_Q["claims"], tenants, endpoints, keys)
    return {(row["tenant"], row["endpoint"], row["key"]): row["receipt_id"] for row in rows}


async def _insert(connection: Any, outcomes: Sequence[Outcome]) -> None:
    if not outcomes:
        return
    new = [outcome.receipt for outcome in outcomes]
    rows = await connection.fetch(
        _Q["insert"],
        [r.id for r in new], [r.received_at for r in new], [r.receipt_id for r in new], [r.tenant for r in new],
        [r.endpoint for r in new], [r.type for r in new], [r.key for r in new], [r.method for r in new],
        [r.url for r in new], [r.remote for r in new], [_json(r.headers) for r in new], [r.body for r in new],
        [_json(r.verification) for r in new], [o.state for o in outcomes], [o.reason for o in outcomes],
        [o.form for o in outcomes],
    )  # fmt: skip
    if len(rows) < len(outcomes):
        raise Raced


def _json(value: object) -> str:
    return dumps(value).decode()


async def _mark(connection: Any, duplicates: Sequence[Receipt]) -> None:
    if duplicates:
        await connection.execute(
            _Q["insert_duplicates"],
            [r.receipt_id for r in duplicates], [r.received_at for r in duplicates], [r.tenant for r in duplicates],
            [r.endpoint for r in duplicates], [r.id for r in duplicates], [r.body for r in duplicates],
            [r.key for r in duplicates],
        )  # fmt: skip


async def settle(connection: Any, outcomes: Sequence[tuple[Receipt, str, str | None]]) -> None:
    """Give deliveries their final state: (receipt, done | filtered | dead, reason)."""
    if outcomes:
        await connection.execute(
            _Q["settle"],
            [r.received_at for r, _, _ in outcomes], [r.id for r, _, _ in outcomes],
            [state for _, state, _ in outcomes], [reason for _, _, reason in outcomes],
        )  # fmt: skip


async def get(connection: Any, delivery_id: UUID) -> Mapping[str, Any] | None:
    """The delivery of this id; the newest where an id came again after its window had ended."""
    return await connection.fetchrow(_Q["get"], delivery_id)  # type: ignore[no-any-return]


async def get_by_receipt(connection: Any, receipt_id: UUID) -> Mapping[str, Any] | None:
    """The delivery whose first receipt this is."""
    try:
        received_at = time_of(receipt_id)
    except OverflowError:  # an id that carries no time
        return None
    return await connection.fetchrow(_Q["get_by_receipt"], receipt_id, received_at)  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Search:
    """What else deliveries are searched by; each looks at every delivery of the time asked for.

    `text` is an id of ours or the provider's, or a text in the body. `header` is (name, value; None: any).
    `payload` is (keys of a place in a JSON body, its value as text; None: it is there).
    """

    text: str | None = None
    header: tuple[str, str | None] | None = None
    payload: tuple[Sequence[str], str | None] | None = None

    def values(self) -> tuple[object, ...]:
        """As the queries take it: text, header's name and value, place and its value."""
        header, value = self.header or (None, None)
        place, found = self.payload or (None, None)
        return self.text, header and header.lower(), value, None if place is None else list(place), found


EVERYTHING = Search()


async def list_deliveries(
    connection: Any,
    *,
    endpoint: str | None,
    state: str | None,
    kind: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    after: tuple[datetime, UUID] | None,
    search: Search = EVERYTHING,
) -> Sequence[Mapping[str, Any]]:
    """Deliveries of the transaction's tenant, newest first, after (received_at, id)."""
    at, identifier = after or (None, None)
    return await connection.fetch(  # type: ignore[no-any-return]
        _Q["list"], endpoint, state, kind, since, until, limit, at, identifier,
        *search.values(),
    )  # fmt: skip


FOLLOWED_BYTES = 4 * 1024 * 1024  # of bodies in one answer of `follow`; the first one may be larger


@dataclass(frozen=True, slots=True)
class Position:
    """How far somebody has followed the deliveries of an endpoint; its text is a token for people to keep."""

    entered: int
    received_at: datetime
    id: UUID

    def __str__(self) -> str:
        return f"{self.entered}.{self.received_at.timestamp():.6f}.{self.id}"

    @classmethod
    def of(cls, text: str) -> "Position":
        """The position in `text`. Raises: ConfigError."""
        try:
            entered, seconds, fraction, identifier = text.split(".")
            at = EPOCH + timedelta(seconds=int(seconds), microseconds=int(fraction))
            return cls(int(entered), at, UUID(identifier))
        except (ValueError, OverflowError) as error:
            raise ConfigError(f"{text[:60]!r} is no position; take one that `listen` gave") from error


BEGINNING = Position(0, EPOCH, UUID(int=0))


async def newest_position(connection: Any) -> Position:
    """Where somebody begins who follows an endpoint from now on (what was stored this moment may be among it)."""
    entered = await connection.fetchval(_Q["next_position"])
    return Position(entered, EPOCH, UUID(int=0))


async def follow(
    connection: Any, tenant: str, endpoint: str, after: Position, limit: int
) -> list[tuple[Position, Mapping[str, Any]]]:
    """Deliveries that came after `after`, each once, in the order in which they were stored.

    What a transaction that is still open stores is not given yet, so that nothing is ever passed over.
    """
    rows = await connection.fetch(
        _Q["follow"], tenant, endpoint, after.entered, after.received_at, after.id, limit, FOLLOWED_BYTES
    )
    return [(Position(row["entered"], row["received_at"], row["id"]), row) for row in rows]


async def holder_of(connection: Any, tenant: str, endpoint: str, key: str) -> UUID | None:
    """The delivery that holds the claim on `key` now."""
    return await connection.fetchval(_Q["holder_of"], tenant, endpoint, key)  # type: ignore[no-any-return]


async def duplicates_of(
    connection: Any, delivery_id: UUID, *, limit: int, after: tuple[datetime, UUID] | None = None
) -> Sequence[Mapping[str, Any]]:
    """Receipts that were merged into the delivery, newest first, after (received_at, receipt_id)."""
    at, identifier = after or (None, None)
    return await connection.fetch(  # type: ignore[no-any-return]
        _Q["duplicates_of"], delivery_id, limit, at, identifier
    )


async def count_by_state(connection: Any) -> dict[str, int]:
    return {row["state"]: row["delivery_count"] for row in await connection.fetch(_Q["count_by_state"])}


async def sweep_claims(connection: Any) -> None:
    await connection.execute(_Q["sweep_claims"])


async def take_back(connection: Any, receipt: Receipt) -> bytes | None:
    """Remove the receipt's delivery if it is dead, to hand it in anew; gives its body, None when there is none."""
    return await connection.fetchval(  # type: ignore[no-any-return]
        _Q["take_back"], receipt.received_at, receipt.id, receipt.receipt_id
    )
