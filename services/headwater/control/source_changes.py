"""Sources and their streams made, replaced, merged and removed one by one."""

from collections.abc import Callable
from typing import Any

from headwater.contracts.endpoint import Endpoint
from headwater.contracts.schedules import Schedule
from headwater.contracts.source import Source, Stream
from headwater.control.apply import apply_manifest
from headwater.control.documents import Part, checked, given, merged, named, version_of
from headwater.control.etag import check_preconditions, etag
from headwater.control.export import lean
from headwater.control.frame import API
from headwater.control.problems import conflict, not_found
from headwater.control.route import Call, Desk, NoQuery, Reply
from headwater.control.schedule_changes import Cascade
from headwater.control.streams import source_view, stream_view
from headwater.store import catalogue, config, schedules

Document = dict[str, Any]


async def _source_of(connection: Any, tenant: str, name: str) -> Document | None:
    """The source with its streams as a manifest has it."""
    row = await catalogue.get_source(connection, tenant, name)
    if row is None:
        return None
    streams = [
        lean(Stream.model_validate(each["definition"]["stream"]))
        for each in await catalogue.all_streams(connection, tenant)
        if each["source"] == name
    ]
    return {**lean(Source.model_validate(row["definition"])), "streams": streams}


async def show_source(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    async with desk.acting(call) as connection:
        return await _shown_source(connection, call.tenant, call.path["source"])


async def _shown_source(connection: Any, tenant: str, name: str, status: int = 200) -> Reply:
    row = await catalogue.get_source(connection, tenant, name)
    document = await _source_of(connection, tenant, name)
    if row is None or document is None:
        raise not_found("source")
    location = {"Location": f"{API}/sources/{name}"} if status == 201 else {}
    return Reply(source_view(row), status, {**etag(version_of(document)), **location})


async def _known(connection: Any, call: Call[Any, Any]) -> Document | None:
    """The source of the address, while nobody else changes the tenant's configuration."""
    await config.lock(connection, call.tenant)
    return await _source_of(connection, call.tenant, call.path["source"])


async def create_source(desk: Desk, call: Call[NoQuery, Part]) -> Reply:
    document = given(call)
    async with desk.acting(call) as connection:
        await config.lock(connection, call.tenant)
        name = document.get("name")
        if isinstance(name, str) and await catalogue.get_source(connection, call.tenant, name) is not None:
            raise conflict(f"There is a source {name} already: replace it with PUT")
        made = await _written(desk, connection, call.tenant, document)
        return await _shown_source(connection, call.tenant, made, 201)


async def put_source(desk: Desk, call: Call[NoQuery, Part]) -> Reply:
    """The source as given; streams that it does not list go, unless it lists none at all."""
    async with desk.acting(call) as connection:
        known = await _known(connection, call)
        check_preconditions(call.headers, None if known is None else version_of(known))
        document = named(given(call), call.path["source"])
        if known is not None and "streams" not in document:
            document["streams"] = known["streams"]
        name = await _written(desk, connection, call.tenant, document, known=known)
        return await _shown_source(connection, call.tenant, name, 201 if known is None else 200)


async def patch_source(desk: Desk, call: Call[NoQuery, Part]) -> Reply:
    async with desk.acting(call) as connection:
        known = await _known(connection, call)
        if known is None:
            raise not_found("source")
        check_preconditions(call.headers, version_of(known))
        document = named(merged(known, given(call)), call.path["source"])
        name = await _written(desk, connection, call.tenant, document, known=known)
        return await _shown_source(connection, call.tenant, name)


async def delete_source(desk: Desk, call: Call[Cascade, None]) -> Reply:
    """Its tables, runs and history stay."""
    name = call.path["source"]
    async with desk.acting(call) as connection:
        known = await _known(connection, call)
        if known is None:
            raise not_found("source")
        check_preconditions(call.headers, version_of(known))
        gone = {f"{name}.{stream['name']}" for stream in known["streams"]}
        await _let_go(desk, connection, call, gone)
        await config.delete_streams_except(connection, call.tenant, name, [])
        await config.delete_source(connection, call.tenant, name)
        await config.drop_secrets_except(connection, call.tenant, f"source/{name}/", [])
        await config.announce_change(connection, call.tenant)
    return Reply()


async def show_stream(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    async with desk.acting(call) as connection:
        return await _shown_stream(connection, call.tenant, call.path["source"], call.path["stream"])


async def _shown_stream(connection: Any, tenant: str, source: str, name: str, status: int = 200) -> Reply:
    row = await catalogue.get_stream(connection, tenant, source, name)
    if row is None:
        raise not_found("stream")
    location = {"Location": f"{API}/sources/{source}/streams/{name}"} if status == 201 else {}
    return Reply(stream_view(row), status, {**etag(row["version_id"]), **location})


async def create_stream(desk: Desk, call: Call[NoQuery, Part]) -> Reply:
    stream = given(call)
    name = stream.get("name")
    async with desk.acting(call) as connection:
        known = await _source_for_stream(connection, call)
        if any(each["name"] == name for each in known["streams"]):
            raise conflict(f"There is a stream {name} already: replace it with PUT")
        await _written_with(desk, connection, call.tenant, known, stream)
        return await _shown_stream(connection, call.tenant, known["name"], str(name), 201)


async def put_stream(desk: Desk, call: Call[NoQuery, Part]) -> Reply:
    return await _changed_stream(desk, call, lambda _old: given(call), may_make=True)


async def patch_stream(desk: Desk, call: Call[NoQuery, Part]) -> Reply:
    return await _changed_stream(desk, call, lambda old: merged(old, given(call)), may_make=False)


async def _changed_stream(
    desk: Desk, call: Call[NoQuery, Part], change: Callable[[Document], Document], *, may_make: bool
) -> Reply:
    name = call.path["stream"]
    async with desk.acting(call) as connection:
        known = await _source_for_stream(connection, call)
        old = next((each for each in known["streams"] if each["name"] == name), None)
        if old is None and not may_make:
            raise not_found("stream")
        row = await catalogue.get_stream(connection, call.tenant, known["name"], name)
        check_preconditions(call.headers, None if row is None else row["version_id"])
        await _written_with(desk, connection, call.tenant, known, named(change(old or {}), name))
        return await _shown_stream(connection, call.tenant, known["name"], name, 201 if old is None else 200)


async def delete_stream(desk: Desk, call: Call[Cascade, None]) -> Reply:
    """Its table, runs and history stay."""
    name = call.path["stream"]
    async with desk.acting(call) as connection:
        known = await _source_for_stream(connection, call)
        row = await catalogue.get_stream(connection, call.tenant, known["name"], name)
        if row is None:
            raise not_found("stream")
        check_preconditions(call.headers, row["version_id"])
        await _let_go(desk, connection, call, {f"{known['name']}.{name}"})
        rest = [each for each in known["streams"] if each["name"] != name]
        await _written(desk, connection, call.tenant, {**known, "streams": rest})
    return Reply()


async def _source_for_stream(connection: Any, call: Call[Any, Any]) -> Document:
    known = await _known(connection, call)
    if known is None:
        raise not_found("source")
    return known


async def _written_with(desk: Desk, connection: Any, tenant: str, source: Document, stream: Document) -> None:
    """The source with this stream in the place of the one of its name; faults are told by their places in it."""
    names = [each["name"] for each in source["streams"]]
    at = names.index(stream["name"]) if stream.get("name") in names else len(names)
    streams = [*source["streams"][:at], stream, *source["streams"][at + 1 :]]
    await _written(desk, connection, tenant, {**source, "streams": streams}, f"/streams/{at}")


async def _written(
    desk: Desk,
    connection: Any,
    tenant: str,
    document: Document,
    beginning: str = "",
    *,
    known: Document | None = None,
) -> str:
    """The name of the source, written. Raises: Refusal 422; 409 where a stream of `known` would go that is used."""
    manifest = await checked(desk, connection, tenant, "sources", document, beginning)
    (source,) = manifest.sources
    if known is not None:
        await _refuse_loss(connection, tenant, known, {each.name for each in source.streams})
    await apply_manifest(connection, desk.keyring, manifest)
    return source.name


async def _refuse_loss(connection: Any, tenant: str, known: Document, kept: set[str]) -> None:
    """Raises: Refusal 409 when a stream that something needs is not among those that are kept."""
    gone = {f"{known['name']}.{each['name']}" for each in known["streams"] if each["name"] not in kept}
    if gone and (users := await _users(connection, tenant, gone)):
        raise conflict(f"{', '.join(sorted(gone))} would go, and is used by {', '.join(users)}")


async def _users(connection: Any, tenant: str, streams: set[str]) -> list[str]:
    """What names one of these streams."""
    found = [f"schedule {row['name']}" for row in await schedules.with_streams(connection, tenant, streams)]
    return found + [
        f"endpoint {row['name']}" for row in await config.endpoints_that_start(connection, tenant, streams)
    ]


async def _let_go(desk: Desk, connection: Any, call: Call[Cascade, None], streams: set[str]) -> None:
    """Refuse, naming the users, or with `cascade` let them go on without these streams: a schedule that has no other
    goes too.
    """
    users = await _users(connection, call.tenant, streams)
    if users and not call.query.cascade:
        raise conflict(f"It is used by {', '.join(users)}; change them, or delete it with ?cascade=true")
    for row in await schedules.with_streams(connection, call.tenant, streams):
        document = lean(Schedule.model_validate(row["definition"]))
        rest = [each for each in document["streams"] if each not in streams]
        if rest:
            await _applied(desk, connection, call.tenant, "schedules", {**document, "streams": rest})
        else:
            await schedules.delete(connection, call.tenant, row["name"])
    for row in await config.endpoints_that_start(connection, call.tenant, streams):
        endpoint = Endpoint.model_validate(row["definition"])
        starts = [lean(start) for start in endpoint.starts if start.stream not in streams]
        await _applied(desk, connection, call.tenant, "endpoints", {**lean(endpoint), "starts": starts})


async def _applied(desk: Desk, connection: Any, tenant: str, kind: str, document: Document) -> None:
    manifest = await checked(desk, connection, tenant, kind, document)
    await apply_manifest(connection, desk.keyring, manifest)
