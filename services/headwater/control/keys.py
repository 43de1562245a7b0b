"""API keys: listed, made (the key is shown once), revoked."""

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, Field

from headwater.contracts.base import Closed
from headwater.control.frame import API
from headwater.control.paging import ListQuery, after_name, listing, token_of
from headwater.control.problems import conflict, forbidden, invalid_at, not_found
from headwater.control.route import Answer, Call, Desk, NoQuery, Reply, Scope
from headwater.model.secret import Secret
from headwater.store import catalogue, config, idempotency

ID_BYTES = 8
SECRET_BYTES = 32
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


class NewKey(Closed):
    """A key of the tenant in which the call acts, or, with `all_tenants`, of none: it names one by X-Tenant."""

    name: Annotated[str, Field(max_length=200)] = ""
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1, max_length=4)] = ("read",)
    expires_at: AwareDatetime | None = None
    all_tenants: bool = False


class Key(Answer):
    """A key without its secret. `tenant` is null for a key that may act in every tenant."""

    id: str
    tenant: str | None
    name: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class CreatedKey(Key):
    """`key` is shown this once; only its hash is kept."""

    key: str


def generate_key() -> tuple[str, Secret]:
    """A fresh key: its id, and the whole text."""
    key_id = "".join(secrets.choice(_LETTERS) for _ in range(ID_BYTES))
    return key_id, Secret.of(f"hw_{key_id}_{secrets.token_urlsafe(SECRET_BYTES)}")


def key_view(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in Key.model_fields}


async def list_keys(desk: Desk, call: Call[ListQuery, None]) -> Reply:
    """A global key sees the keys of the tenant that X-Tenant names; without it, all keys."""
    tenant = call.tenant if call.names_tenant or not call.caller.is_global else None
    after = after_name(call.query, "keys")
    async with desk.acting(call, admin=True) as connection:
        rows = await catalogue.list_keys(connection, tenant=tenant, after=after, limit=call.query.limit + 1)
    return Reply(listing(rows, call.query.limit, key_view, lambda row: token_of("keys", row["id"])))


async def create_key(desk: Desk, call: Call[NoQuery, NewKey]) -> Reply:
    wanted = call.body
    if wanted.all_tenants and not call.caller.is_global:
        raise forbidden("Only a key of no tenant makes such keys")
    if wanted.expires_at is not None and wanted.expires_at <= desk.clock.now():
        raise invalid_at("/expires_at", "is in the past")
    key_id, key = generate_key()
    async with desk.acting(call, admin=True) as connection:
        if call.key is not None:
            first = await idempotency.claim(connection, call.tenant, "keys", call.key, call.digest)
            if not first.is_now:
                raise conflict(
                    "This Idempotency-Key has made a key already, and its secret is shown once only"
                )
        await config.insert_key(
            connection,
            key_id,
            key,
            tenant=None if wanted.all_tenants else call.tenant,
            name=wanted.name,
            scopes=sorted(set(wanted.scopes)),
            expires_at=wanted.expires_at,
        )
        row = await catalogue.get_key(connection, key_id)
    if row is None:
        raise conflict("The key's id is taken: ask again")
    return Reply({**key_view(row), "key": key.text()}, headers={"Location": f"{API}/keys/{key_id}"})


async def show_key(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    async with desk.acting(call, admin=True) as connection:
        return Reply(key_view(await _found(connection, call)))


async def _found(connection: Any, call: Call[Any, Any]) -> Mapping[str, Any]:
    row = await catalogue.get_key(connection, call.path["key"])
    if row is None:
        raise not_found("key")
    return row


async def revoke_key(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    async with desk.acting(call, admin=True) as connection:
        row = await _found(connection, call)
        is_last = row["tenant"] is None and "admin" in row["scopes"] and row["revoked_at"] is None
        if is_last and await catalogue.count_other_admin_keys(connection, row["id"]) == 0:
            raise conflict("It is the last key that administers everything: make another first")
        if not await config.revoke_key(connection, row["id"]):
            raise not_found("key")
    return Reply()
