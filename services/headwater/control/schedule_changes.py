"""Schedules made, replaced, merged and removed one by one."""

from collections.abc import Mapping
from typing import Any

from headwater.contracts.base import Closed
from headwater.contracts.schedules import Schedule as Definition
from headwater.control.apply import apply_manifest
from headwater.control.documents import Part, checked, version_of
from headwater.control.export import lean
from headwater.control.kinds import Kind
from headwater.control.problems import conflict
from headwater.control.route import Call, Desk, NoQuery, Reply
from headwater.control.schedules import schedule_view
from headwater.store import catalogue, config, schedules


class Cascade(Closed):
    """`cascade`: what uses it goes on without it."""

    cascade: bool = False


def _document(row: Mapping[str, Any]) -> dict[str, Any]:
    """The schedule as a manifest has it."""
    return lean(Definition.model_validate(row["definition"]))


async def _view(_connection: Any, tenant: str, row: Mapping[str, Any]) -> dict[str, Any]:
    return schedule_view(row, tenant)


_KIND = Kind(
    "schedule",
    "schedules",
    find=catalogue.get_schedule,
    view=_view,
    document=_document,
    version=lambda row: version_of(_document(row)),
)


async def show_schedule(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    return await _KIND.show(desk, call)


async def create_schedule(desk: Desk, call: Call[NoQuery, Part]) -> Reply:
    return _rung(desk, await _KIND.create(desk, call))


async def put_schedule(desk: Desk, call: Call[NoQuery, Part]) -> Reply:
    return _rung(desk, await _KIND.put(desk, call))


async def patch_schedule(desk: Desk, call: Call[NoQuery, Part]) -> Reply:
    return _rung(desk, await _KIND.patch(desk, call))


def _rung(desk: Desk, reply: Reply) -> Reply:
    """The reply, once the timers know that there is something else to do."""
    desk.bell.ring()
    return reply


async def delete_schedule(desk: Desk, call: Call[Cascade, None]) -> Reply:
    """Its runs stay in the history; those that wait or run go on."""
    name = call.path["schedule"]
    async with desk.acting(call) as connection:
        await _KIND.seen(connection, call)
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
    return _rung(desk, Reply())


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
