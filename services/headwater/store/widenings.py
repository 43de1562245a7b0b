"""Tables of streams that are to be widened: asked for by people, done by a persister."""

from collections.abc import Mapping
from typing import Any

from headwater.store.queries import queries

_Q = queries("widenings")
_MAX_REASON = 2_000


async def ask(connection: Any, tenant: str, source: str, stream: str) -> Mapping[str, Any]:
    """Let the stream's table be widened; gives what is known of it from now on."""
    return await connection.fetchrow(_Q["ask"], tenant, source, stream)  # type: ignore[no-any-return]


async def get(connection: Any, tenant: str, source: str, stream: str) -> Mapping[str, Any] | None:
    """What became of the last one; None where nobody asked for any."""
    return await connection.fetchrow(_Q["get"], tenant, source, stream)  # type: ignore[no-any-return]


async def take(connection: Any) -> Mapping[str, Any] | None:
    """One that is to be done, locked until the transaction ends."""
    return await connection.fetchrow(_Q["take"])  # type: ignore[no-any-return]


async def end(
    connection: Any, of: Mapping[str, Any], state: str, *, moved: int | None = None, reason: str | None = None
) -> None:
    """Note what became of one that was taken: `done`, `failed`, or `waiting` for something still."""
    told = None if reason is None else reason[:_MAX_REASON]
    await connection.execute(_Q["end"], of["tenant"], of["source"], of["stream"], state, moved, told)
