"""Replays of deliveries: the original bytes once more, past the dedupe, claimed by (delivery, replay number).

A replay replaces what the delivery's rows were. It is asked for under the tenant's role and done by the persister.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from headwater.contracts.webhook import Receipt, ReplayOf
from headwater.store.deliveries import EVERYTHING, Search
from headwater.store.queries import queries

_Q = queries("replays")
MOST = 100_000  # deliveries of one request
DAYS = 90
SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which deliveries; what is None or empty does not restrict. Deliveries that are not settled are never taken."""

    ids: Sequence[UUID] = ()
    endpoint: str | None = None
    states: Sequence[str] = ()
    type: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    search: Search = EVERYTHING
    search_told: Mapping[str, str | None] = field(
        default_factory=dict
    )  # the same as it was written, for people

    def values(self) -> tuple[object, ...]:
        return (
            list(self.ids) or None,
            self.endpoint,
            list(self.states) or None,
            self.type,
            self.since,
            self.until,
        )

    def searched(self) -> tuple[object, ...]:
        return self.search.values()

    def told(self) -> dict[str, Any]:
        """As JSON, without what does not restrict."""
        told = {
            "ids": [str(each) for each in self.ids],
            "endpoint": self.endpoint,
            "states": list(self.states),
            "type": self.type,
            "since": None if self.since is None else self.since.isoformat(),
            "until": None if self.until is None else self.until.isoformat(),
            **self.search_told,
        }
        return {name: value for name, value in told.items() if value}


async def count(connection: Any, tenant: str, selection: Selection) -> dict[str, int]:
    """The dry run: how many deliveries `request` would take, by state."""
    rows = await connection.fetch(_Q["count"], tenant, *selection.values(), *selection.searched())
    return {row["state"]: row["delivery_count"] for row in rows}


async def request(
    connection: Any,
    tenant: str,
    selection: Selection,
    *,
    requested_by: str | None = None,
    rate_per_s: float | None = None,
    most: int = MOST,
    request_id: UUID | None = None,
) -> int:
    """Ask for replays in the caller's transaction, oldest first; gives how many. Ring the bell after the commit.

    `rate_per_s` (above 0) spreads them over time. Asked twice, a delivery is replayed twice. With `request_id` they
    are one undertaking, which `requests` tells of and `cancel` ends.
    """
    if request_id is not None:
        await connection.execute(
            _Q["begin_request"], request_id, tenant, selection.told(), rate_per_s, requested_by
        )
    taken = int(
        await connection.fetchval(
            _Q["request"],
            tenant,
            *selection.values(),
            most,
            rate_per_s,
            requested_by,
            request_id,
            *selection.searched(),
        )
    )
    if request_id is not None:
        await connection.execute(_Q["count_request"], request_id, taken)
    return taken


async def requests(
    connection: Any,
    tenant: str,
    *,
    limit: int = 50,
    after: tuple[datetime, UUID] | None = None,
    request_id: UUID | None = None,
) -> Sequence[Mapping[str, Any]]:
    """Requests for replays with what became of them (`states`: state → count), newest first."""
    at, identifier = after or (None, None)
    return await connection.fetch(  # type: ignore[no-any-return]
        _Q["requests"], tenant, limit, at, identifier, request_id
    )


async def cancel(connection: Any, tenant: str, request_id: UUID) -> int:
    """End a request: what nobody has in hand is not done any more; gives how many that are."""
    return int(await connection.fetchval(_Q["cancel"], tenant, request_id))


@dataclass(frozen=True, slots=True)
class Original:
    """A delivery as it came, to be done again."""

    receipt: Receipt
    number: int
    requested_at: datetime


async def originals(connection: Any, wanted: Sequence[ReplayOf]) -> list[Original]:
    """Those of `wanted` that still wait, or were given up, with their bytes."""
    rows = await connection.fetch(_Q["originals"], *_columns(wanted))
    return [Original(_receipt(row), row["number"], row["requested_at"]) for row in rows]


async def sizes(connection: Any, wanted: Sequence[ReplayOf]) -> dict[UUID, int]:
    """How many bytes the bodies have that are to be done again, by delivery."""
    moments, identifiers, _ = _columns(wanted)
    rows = await connection.fetch(_Q["sizes"], moments, identifiers)
    return {row["id"]: row["size"] for row in rows}


def _columns(wanted: Sequence[ReplayOf]) -> tuple[list[datetime], list[UUID], list[int]]:
    return [w.received_at for w in wanted], [w.delivery_id for w in wanted], [w.number for w in wanted]


def _receipt(row: Mapping[str, Any]) -> Receipt:
    return Receipt(
        id=row["id"],
        receipt_id=row["receipt_id"],
        received_at=row["received_at"],
        tenant=row["tenant"],
        endpoint=row["endpoint"],
        method=row["method"],
        url=row["url"],
        remote=row["remote"],
        headers=row["headers"],
        body=bytes(row["body"]),
        verification=row["verification"],
        type=row["type"],
        key=row["provider_id"],
    )


async def claim(connection: Any, wanted: Sequence[ReplayOf]) -> dict[ReplayOf, bool]:
    """Lock those that still wait, and their deliveries; gives whether a later replay of it was settled already."""
    rows = await connection.fetch(_Q["claim"], *_columns(wanted))
    return {ReplayOf(row["id"], row["received_at"], row["number"]): row["is_superseded"] for row in rows}


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a replay: `state` is the delivery's, or superseded."""

    replay: ReplayOf
    state: str
    reason: str | None = None
    form: str | None = None


async def settle(connection: Any, done: Sequence[Done]) -> None:
    """Settle replays, and with them what their deliveries are."""
    replays = [each.replay for each in done]
    await connection.execute(
        _Q["settle"], *_columns(replays), [each.state for each in done], [each.reason for each in done]
    )
    told = [each for each in done if each.state != SUPERSEDED]
    if told:
        await connection.execute(
            _Q["resettle"],
            [each.replay.received_at for each in told], [each.replay.delivery_id for each in told],
            [each.state for each in told], [each.reason for each in told], [each.form for each in told],
        )  # fmt: skip


async def give_up(connection: Any, replay: ReplayOf, reason: str) -> None:
    """The message of this replay was given up. The delivery stays as it was; the message may still be sent again."""
    await connection.execute(_Q["give_up"], replay.received_at, replay.delivery_id, replay.number, reason)


async def of_delivery(connection: Any, tenant: str, delivery_id: UUID) -> Sequence[Mapping[str, Any]]:
    """The delivery's replays, newest first."""
    return await connection.fetch(_Q["of_delivery"], tenant, delivery_id)  # type: ignore[no-any-return]


async def sweep(connection: Any) -> None:
    await connection.execute(_Q["sweep"], DAYS)
    await connection.execute(_Q["sweep_requests"], DAYS)
