"""Named secrets of a tenant: what `${secret:NAME}` stands for. Set and removed, listed by name; never shown."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from headwater.contracts.base import Closed
from headwater.contracts.codec import dumps
from headwater.control.frame import API
from headwater.control.paging import ListQuery, after_name, listing, token_of
from headwater.control.problems import Refusal, conflict, not_found
from headwater.control.route import Answer, Call, Desk, NoQuery, Reply
from headwater.model.secret import Secret
from headwater.plugins.secret_text import names_in
from headwater.store import config, named_secrets


class NewSecret(Closed):
    """The value, or a new one: whoever uses the name uses it from now on."""

    value: Annotated[str, Field(min_length=1, max_length=65_536, json_schema_extra={"x-secret": True})]


class NamedSecret(Answer):
    """A secret by its name. `used_by` is what names it; `key_id` tells which key seals it.

    `is_current`: it is sealed under the first key of HEADWATER_SECRET_KEY.
    """

    name: str
    key_id: str
    is_current: bool
    updated_at: datetime
    used_by: list[str]


class Resealed(Answer):
    """How many secrets were sealed anew under the first key of HEADWATER_SECRET_KEY, and how many were already."""

    resealed: int
    current: int


class KeyUse(Answer):
    """A key of the ring by its id; `is_active` seals. One that seals nothing and is not active may go."""

    key_id: str
    is_active: bool
    is_known: bool
    secrets: int
    safe_to_retire: bool


class KeyUses(Answer):
    items: list[KeyUse]
    next: None = None


async def _users(connection: Any, tenant: str) -> Mapping[str, list[str]]:
    """Who names which secret."""
    found: dict[str, list[str]] = {}
    for row in await named_secrets.definitions(connection, tenant):
        for name in names_in(dumps(row["definition"]).decode()):
            users = found.setdefault(name, [])
            if row["name"] not in users:
                users.append(row["name"])
    return found


def _view(row: Mapping[str, Any], users: Mapping[str, list[str]], active: str) -> dict[str, Any]:
    return {
        **{name: row[name] for name in ("name", "key_id", "updated_at")},
        "is_current": row["key_id"] == active,
        "used_by": users.get(row["name"], []),
    }


async def list_secrets(desk: Desk, call: Call[ListQuery, None]) -> Reply:
    after = after_name(call.query, "secrets")
    async with desk.acting(call) as connection:
        rows = await named_secrets.list_named(
            connection, call.tenant, after=after, limit=call.query.limit + 1
        )
        users = await _users(connection, call.tenant)
    return Reply(
        listing(
            rows,
            call.query.limit,
            lambda row: _view(row, users, desk.keyring.active_id),
            lambda row: token_of("secrets", row["name"]),
        )
    )


async def _shown(connection: Any, desk: Desk, call: Call[Any, Any]) -> dict[str, Any] | None:
    row = await named_secrets.get_named(connection, call.tenant, call.path["secret"])
    if row is None:
        return None
    return _view(row, await _users(connection, call.tenant), desk.keyring.active_id)


async def show_secret(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    async with desk.acting(call) as connection:
        shown = await _shown(connection, desk, call)
    if shown is None:
        raise not_found("secret")
    return Reply(shown)


async def put_secret(desk: Desk, call: Call[NoQuery, NewSecret]) -> Reply:
    """Made or changed; the value is sealed and shown nowhere."""
    name = call.path["secret"]
    async with desk.acting(call) as connection:
        await config.lock(connection, call.tenant)
        is_new = await _shown(connection, desk, call) is None
        await config.put_secret(connection, desk.keyring, call.tenant, name, Secret.of(call.body.value))
        await config.announce_change(connection, call.tenant)
        shown = await _shown(connection, desk, call)
    headers = {"Location": f"{API}/secrets/{name}"} if is_new else {}
    return Reply(shown, 201 if is_new else 200, headers)


async def delete_secret(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    async with desk.acting(call) as connection:
        await config.lock(connection, call.tenant)
        shown = await _shown(connection, desk, call)
        if shown is None:
            raise not_found("secret")
        if shown["used_by"]:
            users = ", ".join(shown["used_by"])
            raise Refusal(
                409, f"It is used by {users}: take it out there first", more={"used_by": shown["used_by"]}
            )
        await named_secrets.remove(connection, call.tenant, call.path["secret"])
        await config.announce_change(connection, call.tenant)
    return Reply()


async def list_secret_keys(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    """Which key of the ring seals how many secrets of the tenant."""
    async with desk.acting(call) as connection:
        used = await named_secrets.count_by_key(connection, call.tenant)
    active, ring = desk.keyring.active_id, {key.hex() for key in desk.keyring.keys}
    items = [
        {
            "key_id": key_id,
            "is_active": key_id == active,
            "is_known": key_id in ring,
            "secrets": used.get(key_id, 0),
            "safe_to_retire": key_id != active and not used.get(key_id, 0),
        }
        for key_id in sorted(ring | used.keys())
    ]
    return Reply({"items": items})


async def reseal_secrets(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    """Seal every secret of the tenant under the first key; values stay. Afterwards the older keys may go."""
    async with desk.acting(call) as connection:
        resealed, current, unknown = await named_secrets.reseal(connection, desk.keyring, call.tenant)
        if unknown:
            names = ", ".join(sorted(set(unknown)))
            raise conflict(f"HEADWATER_SECRET_KEY lacks the key of {names}: add that key behind the first")
    return Reply({"resealed": resealed, "current": current})
