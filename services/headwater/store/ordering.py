"""Deliveries in the order of a key: they wait as rows, and the persister settles a key's oldest first.

The message of such a delivery only names its key. Every delivery owes one, and each one handled settles at least the
oldest of its key, so that none is left over.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from headwater.contracts import webhook
from headwater.contracts.webhook import OrderedKey, Receipt
from headwater.model.ids import derive_key_id
from headwater.store import outbox
from headwater.store.outbox import OutboxRow
from headwater.store.queries import queries

_Q = queries("ordering")
AT_ONCE = 100  # deliveries of one key in one transaction
AT_ONCE_BYTES = 8 * 1024 * 1024  # of their bodies; a single larger one goes alone
STUCK_S = 60.0
_STUCK_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Waiting:
    """A delivery that waits its turn. `entered_at` is the database's clock: what orders deliveries of one key."""

    position: int
    key: OrderedKey
    receipt_id: UUID
    entered_at: datetime
    headers: Mapping[str, str]
    body: bytes


async def add(connection: Any, receipt: Receipt, order_key: str) -> None:
    """Let the receipt wait behind its predecessors, and owe the message that fetches it."""
    key = OrderedKey(receipt.tenant, receipt.endpoint, order_key)
    headers = webhook.to_headers(receipt)
    await connection.execute(
        _Q["add"], receipt.tenant, receipt.endpoint, order_key, receipt.receipt_id, headers, receipt.body
    )
    await outbox.add(
        connection, OutboxRow(receipt.receipt_id, receipt.tenant, webhook.TYPE, b"", key.to_headers())
    )


def _columns(keys: Sequence[OrderedKey]) -> tuple[list[str], list[str], list[str]]:
    return [key.tenant for key in keys], [key.endpoint for key in keys], [key.key for key in keys]


async def lock(connection: Any, keys: Sequence[OrderedKey]) -> None:
    """Hold these keys until the transaction ends."""
    await connection.execute(_Q["lock"], *_columns(keys))


async def heads(connection: Any, keys: Sequence[OrderedKey], limit: int = AT_ONCE) -> list[Waiting]:
    """The oldest of each key, oldest first."""
    rows = await connection.fetch(_Q["heads"], *_columns(keys), limit, AT_ONCE_BYTES)
    return [
        Waiting(
            row["position"],
            OrderedKey(row["tenant"], row["endpoint"], row["order_key"]),
            row["receipt_id"],
            row["entered_at"],
            row["headers"],
            bytes(row["body"]),
        )
        for row in rows
    ]


async def positions(connection: Any, keys: Sequence[OrderedKey], limit: int = AT_ONCE) -> list[int]:
    """The positions of what `heads` would give."""
    rows = await connection.fetch(_Q["positions"], *_columns(keys), limit, AT_ONCE_BYTES)
    return [row["position"] for row in rows]


async def sizes(connection: Any, keys: Sequence[OrderedKey], limit: int = AT_ONCE) -> dict[OrderedKey, int]:
    """How many bytes the bodies have that `heads` would give, by key."""
    found: dict[OrderedKey, int] = {}
    for row in await connection.fetch(_Q["positions"], *_columns(keys), limit, AT_ONCE_BYTES):
        key = OrderedKey(row["tenant"], row["endpoint"], row["order_key"])
        found[key] = found.get(key, 0) + row["size"]
    return found


async def remove(connection: Any, settled: Sequence[int]) -> None:
    await connection.execute(_Q["remove"], list(settled))


async def owe_again(connection: Any, stuck_s: float = STUCK_S) -> int:
    """Owe the messages of keys whose oldest delivery waits for too long; gives how many there are."""
    rows = await connection.fetch(_Q["stuck"], stuck_s, _STUCK_AT_ONCE)
    for row in rows:
        key = OrderedKey(row["tenant"], row["endpoint"], row["order_key"])
        identifier = derive_key_id("ordered again", row["receipt_id"])
        await outbox.add(connection, OutboxRow(identifier, key.tenant, webhook.TYPE, b"", key.to_headers()))
    return len(rows)


async def backlog(connection: Any) -> int:
    return int(await connection.fetchval(_Q["backlog"]))
