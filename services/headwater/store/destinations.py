"""Destinations with a name: their definitions, the messages that are owed to them, what is wrong with them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from headwater.contracts.codec import dumps
from headwater.store.queries import queries

_Q = queries("destinations")
Row = Mapping[str, Any]


async def put(connection: Any, tenant: str, name: str, definition: Mapping[str, Any]) -> bool:
    """Write the destination; True when it is new. Whatever was wrong with it is forgotten when it changed."""
    row = await connection.fetchrow(_Q["put"], tenant, name, dict(definition))
    if row is not None:
        await connection.execute(_Q["well"], tenant, name)
    return row is not None and bool(row["is_new"])


async def every(connection: Any, tenant: str) -> Sequence[Row]:
    return await connection.fetch(_Q["all"], tenant)  # type: ignore[no-any-return]


async def page(connection: Any, tenant: str, *, after: str | None, limit: int) -> Sequence[Row]:
    return await connection.fetch(_Q["list"], tenant, after, limit)  # type: ignore[no-any-return]


async def get(connection: Any, tenant: str, name: str) -> Row | None:
    """The destination with what is `owed` to it, and since when and why it is in trouble (null: it is not)."""
    return await connection.fetchrow(_Q["get"], tenant, name)  # type: ignore[no-any-return]


async def lock(connection: Any, tenant: str, name: str) -> Mapping[str, Any] | None:
    """The definition, locked until the transaction ends; None when there is no such destination."""
    return await connection.fetchval(_Q["lock"], tenant, name)  # type: ignore[no-any-return]


async def delete(connection: Any, tenant: str, name: str) -> bool:
    return await connection.fetchval(_Q["delete"], tenant, name) is not None


async def users(connection: Any, tenant: str, name: str) -> list[str]:
    """The streams and endpoints that name it, as `stream shop.orders`."""
    return [row["what"] for row in await connection.fetch(_Q["users"], tenant, name)]


async def targets(connection: Any, wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Any]:
    """The definitions of those (tenant, name) that exist."""
    pairs = sorted(set(wanted))
    if not pairs:
        return {}
    rows = await connection.fetch(_Q["targets"], [pair[0] for pair in pairs], [pair[1] for pair in pairs])
    return {(row["tenant"], row["name"]): row["definition"] for row in rows}


@dataclass(frozen=True, slots=True)
class Owed:
    """A message that is owed to a destination. `id` is derived and becomes the message's id."""

    id: UUID
    routing_key: str
    headers: Mapping[str, str]
    body: bytes


async def owe(connection: Any, of: Sequence[tuple[str, str, Owed]]) -> None:
    """Owe messages to (tenant, destination) from this transaction on; the same id again changes nothing."""
    await connection.execute(
        _Q["owe"],
        [one.id for _, _, one in of], [tenant for tenant, _, _ in of], [name for _, name, _ in of],
        [one.routing_key for _, _, one in of], [dumps(dict(one.headers)).decode() for _, _, one in of],
        [one.body for _, _, one in of],
    )  # fmt: skip


async def owing(connection: Any) -> Sequence[Row]:
    """Destinations (tenant, name, definition) to which something is owed and that may be tried now."""
    return await connection.fetch(_Q["owing"])  # type: ignore[no-any-return]


async def claim(connection: Any, tenant: str, name: str, limit: int, body_bytes: int) -> list[Owed] | None:
    """The oldest messages that are owed to a destination; None while somebody else sends to it."""
    if not await connection.fetchval(_Q["hold"], tenant, name):
        return None
    rows = await connection.fetch(_Q["claim"], tenant, name, limit, body_bytes)
    return [Owed(row["id"], row["routing_key"], row["headers"], bytes(row["body"])) for row in rows]


async def sent(connection: Any, ids: Sequence[UUID]) -> None:
    await connection.execute(_Q["sent"], list(ids))


async def troubled(connection: Any, tenant: str, name: str, reason: str) -> None:
    await connection.execute(_Q["troubled"], tenant, name, reason.replace("\0", " "))


async def well(connection: Any, tenant: str, name: str) -> None:
    await connection.execute(_Q["well"], tenant, name)
