"""Notifications made, replaced, merged, switched and removed one by one."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from headwater.contracts.base import Closed
from headwater.contracts.notifications import Notification
from headwater.control.applying_notifications import delete_notification
from headwater.control.documents import Part
from headwater.control.export import lean
from headwater.control.kinds import Kind
from headwater.control.notifications import rule_view
from headwater.control.problems import Refusal
from headwater.control.route import Call, Desk, NoQuery, Reply
from headwater.store import config, notifications


class DeleteQuery(Closed):
    cascade: Annotated[
        bool, Field(description="Also when schedules name it; their `notify` then leads nowhere.")
    ] = False


def _document(row: Mapping[str, Any]) -> dict[str, Any]:
    """The notification as a manifest has it."""
    return lean(Notification.model_validate(row["definition"]))


async def _view(_connection: Any, _tenant: str, row: Mapping[str, Any]) -> dict[str, Any]:
    return rule_view(row)


_KIND = Kind(
    "notification",
    "notifications",
    find=notifications.get_rule,
    view=_view,
    document=_document,
    version=lambda row: str(row["updated_at"].isoformat()),
)


async def show_notification(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    return await _KIND.show(desk, call)


async def create_notification(desk: Desk, call: Call[NoQuery, Part]) -> Reply:
    return await _KIND.create(desk, call)


async def put_notification(desk: Desk, call: Call[NoQuery, Part]) -> Reply:
    """The notification is then as the body says, also when it was not there."""
    return await _KIND.put(desk, call)


async def patch_notification(desk: Desk, call: Call[NoQuery, Part]) -> Reply:
    return await _KIND.patch(desk, call)


async def remove_notification(desk: Desk, call: Call[DeleteQuery, None]) -> Reply:
    """What it has sent stays for as long as it is kept."""
    name = call.path["notification"]
    async with desk.acting(call) as connection:
        await _KIND.seen(connection, call)
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
        row = await _KIND.seen(connection, call)
        definition = {**row["definition"], "enabled": is_on}
        await notifications.put_rule(connection, call.tenant, row["name"], definition, enabled=is_on)
        if is_on:
            await notifications.forget_stops(connection, call.tenant, row["name"])
        return await _KIND.shown(connection, call.tenant, row["name"])
