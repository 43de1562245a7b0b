"""Notifications made, replaced, merged, switched and removed: by the same checks and writing as a manifest's."""

from typing import Annotated, Any

from pydantic import Field

from headwater.contracts.base import Closed
from headwater.contracts.manifest import Manifest
from headwater.contracts.notifications import Notification
from headwater.control.apply import apply_manifest
from headwater.control.applying_notifications import delete_notification
from headwater.control.documents import Part, checked, given, merged, named
from headwater.control.etag import check_if_match
from headwater.control.export import lean
from headwater.control.frame import API
from headwater.control.notifications import rule_of, rule_view, tag_of, version_of
from headwater.control.problems import Refusal, conflict
from headwater.control.route import Call, Desk, NoQuery, Reply
from headwater.store import config, notifications

KIND = "notifications"


class DeleteQuery(Closed):
    cascade: Annotated[
        bool, Field(description="Also when schedules name it; their `notify` then leads nowhere.")
    ] = False


async def create_notification(desk: Desk, call: Call[NoQuery, Part]) -> Reply:
    async with desk.acting(call) as connection:
        manifest = await checked(desk, connection, call.tenant, KIND, given(call))
        name = manifest.notifications[0].name
        if await notifications.get_rule(connection, call.tenant, name) is not None:
            raise conflict(f"There is a notification {name} already: replace it with PUT")
        return await _written(desk, connection, call.tenant, manifest, status=201)


async def put_notification(desk: Desk, call: Call[NoQuery, Part]) -> Reply:
    """The notification is then as the body says, also when it was not there."""
    name = call.path["notification"]
    async with desk.acting(call) as connection:
        known = await notifications.get_rule(connection, call.tenant, name)
        check_if_match(call.headers, None if known is None else version_of(known))
        manifest = await checked(desk, connection, call.tenant, KIND, named(given(call), name))
        return await _written(desk, connection, call.tenant, manifest, status=201 if known is None else 200)


async def patch_notification(desk: Desk, call: Call[NoQuery, Part]) -> Reply:
    name = call.path["notification"]
    async with desk.acting(call) as connection:
        row = await rule_of(connection, call)
        check_if_match(call.headers, version_of(row))
        document = merged(lean(Notification.model_validate(row["definition"])), given(call))
        manifest = await checked(desk, connection, call.tenant, KIND, named(document, name))
        return await _written(desk, connection, call.tenant, manifest, status=200)


async def remove_notification(desk: Desk, call: Call[DeleteQuery, None]) -> Reply:
    """What it has sent stays for as long as it is kept."""
    name = call.path["notification"]
    async with desk.acting(call) as connection:
        row = await rule_of(connection, call)
        check_if_match(call.headers, version_of(row))
        users = await notifications.users_of(connection, call.tenant, name)
        if users and not call.query.cascade:
            who = ", ".join(users)
            raise Refusal(
                409,
                f"Schedules name it under `notify`: {who}; change them, or send ?cascade=true",
                more={"users": users},
            )
        await delete_notification(connection, call.tenant, name)
        await config.announce_change(connection, call.tenant)
    return Reply()


async def enable_notification(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    """Targets that were gone are told again as well."""
    return await _switched(desk, call, is_on=True)


async def disable_notification(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    return await _switched(desk, call, is_on=False)


async def _switched(desk: Desk, call: Call[NoQuery, None], *, is_on: bool) -> Reply:
    async with desk.acting(call) as connection:
        row = await rule_of(connection, call)
        check_if_match(call.headers, version_of(row))
        definition = {**row["definition"], "enabled": is_on}
        await notifications.put_rule(connection, call.tenant, row["name"], definition, enabled=is_on)
        if is_on:
            await notifications.forget_stops(connection, call.tenant, row["name"])
        row = await rule_of(connection, call)
    return Reply(rule_view(row), headers=tag_of(row))


async def _written(desk: Desk, connection: Any, tenant: str, manifest: Manifest, *, status: int) -> Reply:
    await apply_manifest(connection, desk.keyring, manifest)
    name = manifest.notifications[0].name
    row = await notifications.get_rule(connection, tenant, name)
    assert row is not None
    location = {"Location": f"{API}/notifications/{name}"} if status == 201 else {}
    return Reply(rule_view(row), status, {**tag_of(row), **location})
