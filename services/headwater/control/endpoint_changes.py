"""Endpoints made, replaced, merged, switched and removed one by one."""

from collections.abc import Mapping
from typing import Any

from headwater.control.documents import Part
from headwater.control.endpoints import definition_of, endpoint_view
from headwater.control.export import lean
from headwater.control.kinds import Kind
from headwater.control.route import Call, Desk, NoQuery, Reply
from headwater.store import alarms, catalogue, config, endpoints


async def _view(connection: Any, tenant: str, row: Mapping[str, Any]) -> dict[str, Any]:
    return endpoint_view(row, tenant, await alarms.of_tenant(connection, tenant))


def _version(row: Mapping[str, Any]) -> str:
    return f"{row['updated_at'].timestamp():.6f}-{'on' if row['enabled'] else 'off'}"


_KIND = Kind(
    "endpoint",
    "endpoints",
    find=catalogue.get_endpoint,
    view=_view,
    document=lambda row: lean(definition_of(row)),
    version=_version,
)


async def show_endpoint(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    return await _KIND.show(desk, call)


async def create_endpoint(desk: Desk, call: Call[NoQuery, Part]) -> Reply:
    return await _KIND.create(desk, call)


async def put_endpoint(desk: Desk, call: Call[NoQuery, Part]) -> Reply:
    return await _KIND.put(desk, call)


async def patch_endpoint(desk: Desk, call: Call[NoQuery, Part]) -> Reply:
    return await _KIND.patch(desk, call)


async def delete_endpoint(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    """What it received stays for as long as it is kept."""
    async with desk.acting(call) as connection:
        row = await _KIND.seen(connection, call)
        await endpoints.remove(connection, call.tenant, row["name"])
        await endpoints.forget(connection, call.tenant, row["name"])
        await config.announce_change(connection, call.tenant)
    return Reply()


async def enable_endpoint(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    return await _switched(desk, call, is_on=True)


async def disable_endpoint(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    """Senders get 404 until it is enabled; what was accepted goes its way."""
    return await _switched(desk, call, is_on=False)


async def _switched(desk: Desk, call: Call[NoQuery, None], *, is_on: bool) -> Reply:
    async with desk.acting(call) as connection:
        row = await _KIND.seen(connection, call)
        if row["enabled"] != is_on:
            await endpoints.switch(connection, call.tenant, row["name"], is_on=is_on)
            await config.announce_change(connection, call.tenant)
        return await _KIND.shown(connection, call.tenant, row["name"])
