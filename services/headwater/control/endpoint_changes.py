"""Endpoints made, replaced, merged, switched and removed: by the same checks and the same writing as a manifest's."""

from collections.abc import Mapping
from typing import Any

from headwater.contracts.manifest import Manifest
from headwater.control.apply import apply_manifest
from headwater.control.documents import Part, checked, given, merged, named
from headwater.control.endpoints import definition_of, endpoint_of, shown, version_of
from headwater.control.etag import check_if_match
from headwater.control.export import lean
from headwater.control.frame import API
from headwater.control.problems import conflict
from headwater.control.route import Call, Desk, NoQuery, Reply
from headwater.store import catalogue, config, endpoints


async def create_endpoint(desk: Desk, call: Call[NoQuery, Part]) -> Reply:
    document = given(call)
    async with desk.acting(call) as connection:
        name = document.get("name")
        manifest = await checked(desk, connection, call.tenant, "endpoints", document)
        if isinstance(name, str) and await catalogue.get_endpoint(connection, call.tenant, name) is not None:
            raise conflict(f"There is an endpoint {name} already: replace it with PUT")
        return await _written(desk, connection, call, manifest, status=201)


async def put_endpoint(desk: Desk, call: Call[NoQuery, Part]) -> Reply:
    name = call.path["endpoint"]
    async with desk.acting(call) as connection:
        known = await _locked(connection, call)
        check_if_match(call.headers, None if known is None else version_of(known))
        manifest = await checked(desk, connection, call.tenant, "endpoints", named(given(call), name))
        return await _written(desk, connection, call, manifest, status=201 if known is None else 200)


async def patch_endpoint(desk: Desk, call: Call[NoQuery, Part]) -> Reply:
    name = call.path["endpoint"]
    async with desk.acting(call) as connection:
        await _locked(connection, call)
        row = await endpoint_of(connection, call)
        check_if_match(call.headers, version_of(row))
        document = merged(lean(definition_of(row)), given(call))
        manifest = await checked(desk, connection, call.tenant, "endpoints", named(document, name))
        return await _written(desk, connection, call, manifest, status=200)


async def delete_endpoint(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    """What it received stays for as long as it is kept."""
    async with desk.acting(call) as connection:
        await _locked(connection, call)
        row = await endpoint_of(connection, call)
        check_if_match(call.headers, version_of(row))
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
        row = await endpoint_of(connection, call)
        check_if_match(call.headers, version_of(row))
        if row["enabled"] != is_on:
            await endpoints.switch(connection, call.tenant, row["name"], is_on=is_on)
            await config.announce_change(connection, call.tenant)
        return await shown(connection, call)


async def _locked(connection: Any, call: Call[Any, Any]) -> Mapping[str, Any] | None:
    """The row, so that nobody else changes it until the transaction ends; None where there is none."""
    await endpoints.lock(connection, call.tenant, call.path["endpoint"])
    return await catalogue.get_endpoint(connection, call.tenant, call.path["endpoint"])


async def _written(
    desk: Desk, connection: Any, call: Call[Any, Any], manifest: Manifest, *, status: int
) -> Reply:
    await apply_manifest(connection, desk.keyring, manifest)
    name = manifest.endpoints[0].name
    named = Call(call.caller, call.tenant, {"endpoint": name}, None, None, call.headers)
    reply = await shown(connection, named, status)
    location = {"Location": f"{API}/endpoints/{name}"} if status == 201 else {}
    return Reply(reply.value, status, {**reply.headers, **location})
