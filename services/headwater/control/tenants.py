"""Tenants, and the broker users by which their programs come in."""

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from headwater.contracts.base import Closed
from headwater.contracts.naming import Name
from headwater.control.broker_users import ensure_broker_user, user_of
from headwater.control.frame import API
from headwater.control.paging import ListQuery, after_name, listing, token_of
from headwater.control.problems import conflict, forbidden, not_found
from headwater.control.route import Answer, Call, Desk, NoQuery, Reply
from headwater.control.validation import MINIMUM_INTERVAL_S
from headwater.model.secret import Secret
from headwater.store import catalogue

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


class Tenant(Answer):
    """The owner of everything below it. `max_running`: so many of its runs at once; null: no limit."""

    name: str
    minimum_interval_s: int
    max_running: int | None
    created_at: datetime


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
        "created_at": row["created_at"],
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
        raise conflict(f"Tenant {call.body.name} is there already")
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


async def create_broker_user(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    """Make the tenant's broker user, or give it a new password."""
    tenant = call.path["tenant"]
    async with desk.acting(call, admin=True) as connection:
        if await catalogue.get_tenant(connection, tenant) is None:
            raise not_found("tenant")
    if desk.management_url is None:
        raise conflict("Broker users need RabbitMQ's management API: set HEADWATER_RABBITMQ_MANAGEMENT_URL")
    password = secrets.token_urlsafe(32)
    await ensure_broker_user(desk.management_url, tenant, Secret.of(password))
    return Reply({"user": user_of(tenant), "password": password})
