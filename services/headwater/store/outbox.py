"""The outbox: what follows from a commit is a row of that commit (DESIGN.md §2.1)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from headwater.contracts.codec import dumps
from headwater.store.queries import queries

_Q = queries("outbox")


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One message that is owed. `id` is derived and becomes the message id."""

    id: UUID
    tenant: str
    type: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    exchange: str = "headwater"


async def add(connection: Any, row: OutboxRow, *, delay_s: float = 0.0) -> None:
    """Owe a message from this transaction on; the same id again changes nothing."""
    await connection.execute(
        _Q["add"], row.id, row.tenant, row.exchange, row.type, dict(row.headers), row.body, delay_s
    )


async def add_many(connection: Any, rows: Sequence[OutboxRow]) -> None:
    """As `add`, many at once."""
    await connection.execute(
        _Q["add_many"],
        [row.id for row in rows], [row.tenant for row in rows], [row.exchange for row in rows],
        [row.type for row in rows], [dumps(dict(row.headers)).decode() for row in rows], [row.body for row in rows],
    )  # fmt: skip


async def claim(connection: Any, limit: int, most_bytes: int) -> list[OutboxRow]:
    """Due messages, locked until the transaction ends; their bodies have `most_bytes`, or the last one is beyond it."""
    rows = await connection.fetch(_Q["claim"], limit, most_bytes)
    return [
        OutboxRow(row["id"], row["tenant"], row["type"], row["body"], row["headers"], row["exchange"])
        for row in rows
    ]


async def remove(connection: Any, ids: Sequence[UUID]) -> None:
    await connection.execute(_Q["remove"], list(ids))


async def delay(connection: Any, identifier: UUID, delay_s: float) -> None:
    await connection.execute(_Q["delay"], identifier, delay_s)


async def backlog(connection: Any) -> tuple[int, float]:
    """How many messages are owed, and the age of the oldest in seconds."""
    row = await connection.fetchrow(_Q["backlog"])
    return row["message_count"], row["oldest_s"]
