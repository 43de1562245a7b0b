"""Tokens that APIs gave, sealed; one worker at a time asks for the next one (DESIGN.md §7)."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from headwater.model.errors import SecretError
from headwater.model.secret import Secret
from headwater.store.keyring import Keyring
from headwater.store.queries import queries

_Q = queries("tokens")


@dataclass(frozen=True, slots=True)
class Stored:
    """A version of a token; `text` is None before the first one, and for one that can be had anew but not opened."""

    version: int
    text: Secret | None


def _place(name: str) -> str:
    return f"token/{name}"


async def get(connection: Any, keyring: Keyring, tenant: str, name: str) -> Stored:
    """The token as it is now. Raises: SecretError when it holds a refresh token and its key is gone."""
    row = await connection.fetchrow(_Q["get"], tenant, name)
    if row is None:
        await connection.execute(_Q["make"], tenant, name)
        return Stored(0, None)
    if row["sealed"] is None:
        return Stored(row["version"], None)
    try:
        return Stored(row["version"], keyring.open(tenant, _place(name), bytes(row["sealed"])))
    except SecretError:
        if row["has_refresh"]:
            raise
        return Stored(row["version"], None)


async def lease(connection: Any, tenant: str, name: str, version: int, holder: UUID, lease_s: float) -> bool:
    """Take the right to ask for the token after `version`; False when another has it, or did it already."""
    return bool(await connection.fetchval(_Q["lease"], tenant, name, version, holder, lease_s))


async def store(
    connection: Any,
    keyring: Keyring,
    tenant: str,
    name: str,
    version: int,
    text: Secret,
    *,
    has_refresh: bool,
) -> int | None:
    """Keep the token after `version`; gives its version, None when another was stored meanwhile."""
    sealed = keyring.seal(tenant, _place(name), text)
    return await connection.fetchval(  # type: ignore[no-any-return]
        _Q["store"], tenant, name, version, sealed, keyring.active_id, has_refresh
    )


async def release(connection: Any, tenant: str, name: str, holder: UUID) -> None:
    """Give the lease back without a token."""
    await connection.execute(_Q["release"], tenant, name, holder)
