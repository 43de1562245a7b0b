"""Destinations with a name, made, replaced, merged and removed one by one."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from headwater.contracts.destinations import NamedDestination
from headwater.control.documents import Part
from headwater.control.export import lean
from headwater.control.kinds import Kind
from headwater.control.paging import ListQuery, after_name, listing, token_of
from headwater.control.problems import conflict
from headwater.control.route import Answer, Call, Desk, NoQuery, Reply
from headwater.store import config, destinations


class Destination(Answer):
    """Where records go. A secret in its definition is only named."""

    name: str
    definition: dict[str, Any]
    used_by: Annotated[list[str], Field(description="The streams and endpoints that name it.")]
    owed: Annotated[
        int, Field(description="Records of deliveries that are not confirmed yet (100000: at least).")
    ]
    trouble_since: Annotated[datetime | None, Field(description="Null when nothing is wrong with it.")]
    trouble: Annotated[str | None, Field(description="What stood in the way the last time.")]
    created_at: datetime
    updated_at: datetime


async def _view(connection: Any, tenant: str, row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": row["name"],
        "definition": row["definition"],
        "used_by": await destinations.users(connection, tenant, row["name"]),
        "owed": row["owed"],
        "trouble_since": row["since"],
        "trouble": row["reason"],
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
    }


async def list_destinations(desk: Desk, call: Call[ListQuery, None]) -> Reply:
    after = after_name(call.query, "destinations")
    async with desk.acting(call) as connection:
        rows = await destinations.page(connection, call.tenant, after=after, limit=call.query.limit + 1)
        views = [await _view(connection, call.tenant, row) for row in rows]
    return Reply(
        listing(
            views, call.query.limit, lambda view: view, lambda view: token_of("destinations", view["name"])
        )
    )


def _version(row: Mapping[str, Any]) -> str:
    moment: datetime = row["updated_at"]
    return f"{moment.timestamp():.6f}"


async def _allow(connection: Any, tenant: str, part: NamedDestination, known: Mapping[str, Any]) -> None:
    """Raises: Refusal 409 when what is used would become of another kind, or its tables be in another database than
    headwater's own, or not any more.
    """
    before = NamedDestination.model_validate(known["definition"])
    if (before.kind, before.is_far) == (part.kind, part.is_far):
        return
    users = await destinations.users(connection, tenant, part.name)
    if users:
        raise conflict(
            f"Its kind, and whose database it is, cannot change while it is used by {', '.join(users)}"
        )


_KIND = Kind(
    "destination",
    "destinations",
    find=destinations.get,
    view=_view,
    document=lambda row: lean(NamedDestination.model_validate(row["definition"])),
    version=_version,
    allow=_allow,
)


async def show_destination(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    return await _KIND.show(desk, call)


async def create_destination(desk: Desk, call: Call[NoQuery, Part]) -> Reply:
    return await _KIND.create(desk, call)


async def put_destination(desk: Desk, call: Call[NoQuery, Part]) -> Reply:
    return await _KIND.put(desk, call)


async def patch_destination(desk: Desk, call: Call[NoQuery, Part]) -> Reply:
    return await _KIND.patch(desk, call)


async def delete_destination(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    name = call.path["destination"]
    async with desk.acting(call) as connection:
        row = await _KIND.seen(connection, call)
        users = await destinations.users(connection, call.tenant, name)
        if users:
            raise conflict(f"It is used by {', '.join(users)}")
        if row["owed"]:
            raise conflict(f"{row['owed']} records of deliveries are still to be sent to it")
        await destinations.delete(connection, call.tenant, name)
        await destinations.well(connection, call.tenant, name)
        await config.drop_secrets_except(connection, call.tenant, f"destination/{name}/url", ())
        await config.announce_change(connection, call.tenant)
    return Reply()
