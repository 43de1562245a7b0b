"""Schedules made, replaced, merged and removed one by one."""

from collections.abc import Mapping
from typing import Any

from headwater.contracts.base import Closed
from headwater.contracts.manifest import Schedule as Definition
from headwater.control.apply import apply_manifest
from headwater.control.documents import Part, checked, given, merged, named, version_of
from headwater.control.etag import check_if_match, etag
from headwater.control.export import lean
from headwater.control.frame import API
from headwater.control.problems import conflict, not_found
from headwater.control.route import Call, Desk, NoQuery, Reply
from headwater.control.schedules import schedule_view
from headwater.store import catalogue, config, schedules


class Cascade(Closed):
    """`cascade`: what uses it goes on without it."""

    cascade: bool = False


async def show_schedule(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    async with desk.acting(call) as connection:
        return await _shown(connection, call.tenant, call.path["schedule"])


async def _shown(connection: Any, tenant: str, name: str, status: int = 200) -> Reply:
    row = await catalogue.get_schedule(connection, tenant, name)
    if row is None:
        raise not_found("schedule")
    return Reply(schedule_view(row, tenant), status=status, headers=etag(version_of(_document(row))))


def _document(row: Mapping[str, Any]) -> dict[str, Any]:
    """The schedule as a manifest has it."""
    return lean(Definition.model_validate(row["definition"]))


async def create_schedule(desk: Desk, call: Call[NoQuery, Part]) -> Reply:
    document = given(call)
    async with desk.acting(call) as connection:
        await config.lock(connection, call.tenant)
        name = document.get("name")
        if isinstance(name, str) and await catalogue.get_schedule(connection, call.tenant, name) is not None:
            raise conflict(f"There is a schedule {name} already: replace it with PUT")
        return await _written(desk, connection, call, document, 201)


async def put_schedule(desk: Desk, call: Call[NoQuery, Part]) -> Reply:
    name = call.path["schedule"]
    async with desk.acting(call) as connection:
        known = await _locked(connection, call)
        check_if_match(call.headers, None if known is None else version_of(_document(known)))
        return await _written(desk, connection, call, named(given(call), name), 201 if known is None else 200)


async def patch_schedule(desk: Desk, call: Call[NoQuery, Part]) -> Reply:
    name = call.path["schedule"]
    async with desk.acting(call) as connection:
        known = await _locked(connection, call)
        if known is None:
            raise not_found("schedule")
        document = _document(known)
        check_if_match(call.headers, version_of(document))
        return await _written(desk, connection, call, named(merged(document, given(call)), name), 200)


async def delete_schedule(desk: Desk, call: Call[Cascade, None]) -> Reply:
    """Its runs stay in the history; those that wait or run go on."""
    name = call.path["schedule"]
    async with desk.acting(call) as connection:
        known = await _locked(connection, call)
        if known is None:
            raise not_found("schedule")
        check_if_match(call.headers, version_of(_document(known)))
        users = await schedules.after(connection, call.tenant, name)
        if users and not call.query.cascade:
            names = ", ".join(row["name"] for row in users)
            raise conflict(
                f"It is used: {names} start after it; change them, or delete it with ?cascade=true"
            )
        for row in users:
            await _forget_upstream(desk, connection, call.tenant, row, name)
        await schedules.delete(connection, call.tenant, name)
        await config.announce_change(connection, call.tenant)
    desk.bell.ring()
    return Reply()


async def _forget_upstream(
    desk: Desk, connection: Any, tenant: str, row: Mapping[str, Any], name: str
) -> None:
    document = _document(row)
    after = {
        key: [each for each in value if each != name] if isinstance(value, list) else value
        for key, value in document["after"].items()
    }
    if any(isinstance(value, list) and value for value in after.values()):
        document["after"] = {key: value for key, value in after.items() if value != []}
    else:
        del document["after"]
    manifest = await checked(desk, connection, tenant, "schedules", document)
    await apply_manifest(connection, desk.keyring, manifest)


async def _locked(connection: Any, call: Call[Any, Any]) -> Mapping[str, Any] | None:
    """The row, while nobody else changes the tenant's configuration; None where there is none."""
    await config.lock(connection, call.tenant)
    return await catalogue.get_schedule(connection, call.tenant, call.path["schedule"])


async def _written(
    desk: Desk, connection: Any, call: Call[Any, Any], document: Mapping[str, Any], status: int
) -> Reply:
    manifest = await checked(desk, connection, call.tenant, "schedules", document)
    await apply_manifest(connection, desk.keyring, manifest)
    desk.bell.ring()
    name = manifest.schedules[0].name
    reply = await _shown(connection, call.tenant, name, status)
    location = {"Location": f"{API}/schedules/{name}"} if status == 201 else {}
    return Reply(reply.value, status, {**reply.headers, **location})
