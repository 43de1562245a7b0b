"""Tenants, and the broker users by which their programs come in."""

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from headwater.contracts.base import Closed
from headwater.contracts.naming import Name
from headwater.control.broker_users import ensure_broker_user, user_of
from headwater.control.frame import API
from headwater.control.paging import ListQuery, after_name, listing, token_of
from headwater.control.problems import conflict, forbidden, not_found
from headwater.control.removing import Removal, over_after
from headwater.control.route import Answer, Call, Desk, NoQuery, Reply
from headwater.control.validation import MINIMUM_INTERVAL_S
from headwater.model.names import DEFAULT_TENANT, schema_for
from headwater.model.secret import Secret
from headwater.store import catalogue, config, tenants

REMOVE_S = 3.0  # how long a call waits for the removal of what a tenant has
MANY = 1000  # of which no more are counted
_PLURALS = {"delivery": "deliveries"}

MaxRunning = Annotated[
    int, Field(ge=1, le=100_000, description="How many of its runs are under way at once.")
]


class NewTenant(Closed):
    name: Name
    minimum_interval_s: Annotated[
        int, Field(ge=1, le=86_400, description="The least distance of two due times of a schedule.")
    ] = MINIMUM_INTERVAL_S
    max_running: MaxRunning | None = None


class TenantChange(Closed):
    """What is left out stays. `max_running` null: no limit."""

    minimum_interval_s: Annotated[int, Field(ge=1, le=86_400)] | None = None
    max_running: MaxRunning | None = None


class TenantEnd(Closed):
    """`cascade`: with all below it."""

    cascade: bool = False


class Tenant(Answer):
    """The owner of everything below it. `max_running`: so many of its runs at once; null: no limit. `ending`: it
    is being removed since `ending_at`, and takes nothing new.
    """

    name: str
    minimum_interval_s: int
    max_running: int | None
    state: Literal["active", "ending"]
    created_at: datetime
    ending_at: datetime | None


class BrokerUser(Answer):
    """The user by which a tenant's programs reach the broker. The password is shown this once."""

    user: str
    password: str


def tenant_view(row: Mapping[str, Any]) -> dict[str, Any]:
    minimum = row["settings"].get("minimum_interval_s", MINIMUM_INTERVAL_S)
    return {
        "name": row["name"],
        "minimum_interval_s": minimum,
        "max_running": row["settings"].get("max_running"),
        "state": "active" if row["ending_at"] is None else "ending",
        "created_at": row["created_at"],
        "ending_at": row["ending_at"],
    }


async def list_tenants(desk: Desk, call: Call[ListQuery, None]) -> Reply:
    after = after_name(call.query, "tenants")
    async with desk.acting(call, admin=True) as connection:
        rows = await catalogue.list_tenants(connection, after=after, limit=call.query.limit + 1)
    return Reply(listing(rows, call.query.limit, tenant_view, lambda row: token_of("tenants", row["name"])))


async def show_tenant(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    async with desk.acting(call, admin=True) as connection:
        row = await catalogue.get_tenant(connection, call.path["tenant"])
    if row is None:
        raise not_found("tenant")
    return Reply(tenant_view(row))


async def create_tenant(desk: Desk, call: Call[NoQuery, NewTenant]) -> Reply:
    if not call.caller.is_global:
        raise forbidden("Only a key of no tenant makes tenants")
    settings = call.body.model_dump(exclude={"name"}, exclude_none=True)
    async with desk.acting(call, admin=True) as connection:
        row = await catalogue.make_tenant(connection, call.body.name, settings)
    if row is None:
        raise conflict(f"Tenant {call.body.name} is there already, or still being removed")
    return Reply(tenant_view(row), headers={"Location": f"{API}/tenants/{row['name']}"})


async def change_tenant(desk: Desk, call: Call[NoQuery, TenantChange]) -> Reply:
    """Merge what is given into the tenant's settings; they count at once."""
    name = call.path["tenant"]
    if call.caller.tenant not in {None, name}:
        raise not_found("tenant")
    given = {key: getattr(call.body, key) for key in call.body.model_fields_set}
    if given.get("minimum_interval_s", 1) is None:
        given["minimum_interval_s"] = MINIMUM_INTERVAL_S
    async with desk.acting(call, admin=True) as connection:
        row = await catalogue.change_tenant(connection, name, given)
    if row is None:
        raise not_found("tenant")
    desk.bell.ring()
    return Reply(tenant_view(row))


async def delete_tenant(desk: Desk, call: Call[TenantEnd, None]) -> Reply:
    """End the tenant, then remove what it has; 202 when that takes longer than a moment: control goes on with it."""
    name = call.path["tenant"]
    if not call.caller.is_global:
        raise forbidden("Only a key of no tenant removes tenants")
    if name == DEFAULT_TENANT:
        raise conflict("It is where those act who name no tenant: remove what is in it instead")
    async with desk.database.as_tenant(name, admin=True, actor=call.started_by) as connection:
        await config.lock(connection, name)
        row = await catalogue.get_tenant(connection, name)
        if row is None:
            raise not_found("tenant")
        if row["ending_at"] is None and not call.query.cascade:
            await _check_empty(connection, name)
        await tenants.end(connection, name)
        row = await catalogue.get_tenant(connection, name)
    assert row is not None
    if await Removal(desk.worker, desk.management_url).remove(name, over_after(REMOVE_S)):
        return Reply()
    return Reply(tenant_view(row), status=202, headers={"Location": f"{API}/tenants/{name}"})


async def _check_empty(connection: Any, name: str) -> None:
    """Raises: Refusal 409 that names what is there."""
    found = await tenants.contents(connection, name, schema_for(name))
    if found:
        told = ", ".join(
            f"{count}{' or more' if count >= MANY else ''} {kind if count == 1 else _PLURALS.get(kind, f'{kind}s')}"
            for kind, count in found.items()
        )
        raise conflict(f"It has {told}; remove these, or delete it with all below it by ?cascade=true")


async def create_broker_user(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    """Make the tenant's broker user, or give it a new password."""
    tenant = call.path["tenant"]
    async with desk.acting(call, admin=True) as connection:
        row = await catalogue.get_tenant(connection, tenant)
        if row is None or row["ending_at"] is not None:
            raise not_found("tenant")
    if desk.management_url is None:
        raise conflict("Broker users need RabbitMQ's management API: set HEADWATER_RABBITMQ_MANAGEMENT_URL")
    password = secrets.token_urlsafe(32)
    await ensure_broker_user(desk.management_url, tenant, Secret.of(password))
    return Reply({"user": user_of(tenant), "password": password})
