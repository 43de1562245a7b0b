"""Messages that were given up, with their reason; kept until somebody replays or discards them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from headwater.store.queries import queries

_Q = queries("dead_letters")


@dataclass(frozen=True, slots=True)
class DeadLetter:
    id: UUID
    tenant: str | None
    queue: str
    type: str
    message_id: str
    reason: str
    attempt: int
    headers: Mapping[str, str]
    body: bytes


async def insert(connection: Any, letter: DeadLetter) -> bool:
    """Keep it; False when it is kept already."""
    return (
        await connection.fetchval(
            _Q["insert"],
            letter.id,
            letter.tenant,
            letter.queue,
            letter.type,
            letter.message_id,
            letter.reason,
            letter.attempt,
            dict(letter.headers),
            letter.body,
        )  # fmt: skip
        is not None
    )


async def list_letters(
    connection: Any, *, queue: str | None, state: str | None, limit: int, after: tuple[datetime, UUID] | None
) -> Sequence[Mapping[str, Any]]:
    at, identifier = after or (None, None)
    return await connection.fetch(_Q["list"], queue, state, limit, at, identifier)  # type: ignore[no-any-return]


async def get(connection: Any, letter_id: UUID) -> Mapping[str, Any] | None:
    return await connection.fetchrow(_Q["get"], letter_id)  # type: ignore[no-any-return]


async def set_state(connection: Any, letter_id: UUID, state: str) -> Mapping[str, Any] | None:
    """From open to replayed or discarded; None when it is not open."""
    return await connection.fetchrow(_Q["set_state"], letter_id, state)  # type: ignore[no-any-return]


async def count_open(connection: Any) -> int:
    return int(await connection.fetchval(_Q["count_open"]))


async def reopen(connection: Any, letter: DeadLetter) -> None:
    """The same message was given up again after its replay."""
    await connection.execute(_Q["reopen"], letter.id, letter.reason, letter.attempt)
