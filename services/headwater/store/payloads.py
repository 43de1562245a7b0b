"""Bodies that are too large for a message: kept here, named in the message, removed when it settles."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from headwater.store.queries import queries

_Q = queries("payloads")


async def put(connection: Any, identifier: UUID, tenant: str, body: bytes) -> None:
    await connection.execute(_Q["put"], identifier, tenant, body)


async def get(connection: Any, identifier: UUID) -> bytes | None:
    """The body, None when it was removed (its message has settled)."""
    return await connection.fetchval(_Q["get"], identifier)  # type: ignore[no-any-return]


async def sizes(connection: Any, identifiers: Sequence[UUID]) -> dict[UUID, int]:
    """How many bytes these bodies have, of those that are there."""
    rows = await connection.fetch(_Q["sizes"], list(identifiers))
    return {row["id"]: row["size"] for row in rows}


async def remove(connection: Any, identifiers: Sequence[UUID]) -> None:
    await connection.execute(_Q["remove"], list(identifiers))


async def sweep(connection: Any, days: int) -> None:
    """Remove what no message can name any more."""
    await connection.execute(_Q["sweep"], days)
