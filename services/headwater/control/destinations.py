"""Destinations with a name, made, replaced, merged and removed one by one."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from headwater.contracts.destinations import NamedDestination
from headwater.control.apply import apply_manifest
from headwater.control.documents import Part, checked, given, merged, named
from headwater.control.etag import check_if_match, etag
from headwater.control.export import lean
from headwater.control.frame import API
from headwater.control.paging import ListQuery, after_name, listing, token_of
from headwater.control.problems import conflict, not_found
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


async def show_destination(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    async with desk.acting(call) as connection:
        return await _shown(connection, call.tenant, call.path["destination"])


async def _shown(connection: Any, tenant: str, name: str, status: int = 200) -> Reply:
    row = await destinations.get(connection, tenant, name)
    if row is None:
        raise not_found("destination")
    view = await _view(connection, tenant, row)
    location = {"Location": f"{API}/destinations/{name}"} if status == 201 else {}
    return Reply(view, status, {**etag(_version(row)), **location})


def _version(row: Mapping[str, Any]) -> str:
    moment: datetime = row["updated_at"]
    return f"{moment.timestamp():.6f}"


async def create_destination(desk: Desk, call: Call[NoQuery, Part]) -> Reply:
    document = given(call)
    name = document.get("name")
    async with desk.acting(call) as connection:
        await config.lock(connection, call.tenant)
        if isinstance(name, str) and await destinations.get(connection, call.tenant, name) is not None:
            raise conflict(f"There is a destination {name} already: replace it with PUT")
        return await _written(desk, connection, call.tenant, document)


async def put_destination(desk: Desk, call: Call[NoQuery, Part]) -> Reply:
    async with desk.acting(call) as connection:
        known = await _known(connection, call)
        check_if_match(call.headers, None if known is None else _version(known))
        return await _written(
            desk, connection, call.tenant, named(given(call), call.path["destination"]), known
        )


async def patch_destination(desk: Desk, call: Call[NoQuery, Part]) -> Reply:
    async with desk.acting(call) as connection:
        known = await _known(connection, call)
        if known is None:
            raise not_found("destination")
        check_if_match(call.headers, _version(known))
        old = lean(NamedDestination.model_validate(known["definition"]))
        document = named(merged(old, given(call)), call.path["destination"])
        return await _written(desk, connection, call.tenant, document, known)


async def _known(connection: Any, call: Call[Any, Any]) -> Mapping[str, Any] | None:
    """The destination of the address, while nobody else changes the tenant's configuration."""
    await config.lock(connection, call.tenant)
    return await destinations.get(connection, call.tenant, call.path["destination"])


async def _written(
    desk: Desk,
    connection: Any,
    tenant: str,
    document: Mapping[str, Any],
    known: Mapping[str, Any] | None = None,
) -> Reply:
    manifest = await checked(desk, connection, tenant, "destinations", document)
    (one,) = manifest.destinations
    if known is not None and known["definition"]["kind"] != one.kind:
        users = await destinations.users(connection, tenant, one.name)
        if users:
            raise conflict(f"Its kind cannot change while it is used by {', '.join(users)}")
    await apply_manifest(connection, desk.keyring, manifest)
    return await _shown(connection, tenant, one.name, 200 if known is not None else 201)


async def delete_destination(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    name = call.path["destination"]
    async with desk.acting(call) as connection:
        row = await _known(connection, call)
        if row is None:
            raise not_found("destination")
        check_if_match(call.headers, _version(row))
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
