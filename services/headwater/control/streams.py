"""Sources, their streams, and how far each stream has been read."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, field_validator

from headwater.contracts.base import Closed
from headwater.contracts.codec import dumps
from headwater.control.etag import check_preconditions, etag
from headwater.control.frame import API
from headwater.control.paging import ListQuery, after_name, listing, token_of
from headwater.control.problems import conflict, invalid, invalid_at, not_found
from headwater.control.route import Answer, Call, Desk, NoQuery, Reply
from headwater.plugins.instants import instant_of
from headwater.plugins.walk.slices import gaps_of
from headwater.store import catalogue, children, cursors, widenings

MAX_CURSOR_BYTES = 64 * 1024
_WHOLE = re.compile(r"-?[0-9]+")


class Source(Answer):
    """One remote API. Secrets in its definition are only named."""

    name: str
    definition: dict[str, Any]
    created_at: datetime
    updated_at: datetime


class Stream(Answer):
    """One collection of a source, with the definition that the next run is pinned to."""

    name: Annotated[str, Field(description="source.stream")]
    version: UUID
    definition: dict[str, Any]
    updated_at: datetime


class Gap(Answer):
    """A span of time that a run asked for in vain. `why`: the class of the error, or what ended its walk."""

    start: Annotated[str, Field(alias="from")]
    end: Annotated[str, Field(alias="to")]
    why: str


class Cursor(Answer):
    """How far a stream has been read. Before the first complete walk `value` is null and `version` 0."""

    value: Any
    record_id: str | None
    synced_at: datetime | None
    run_id: UUID | None
    version: int
    parents: Annotated[
        int, Field(description="Records of the parent stream that have a cursor of their own.")
    ] = 0
    gaps: Annotated[
        tuple[Gap, ...],
        Field(description="Slices of time that did not come; the next run asks for them first."),
    ] = ()


class ParentCursor(Answer):
    """How far the walk of one record of the parent stream has been read. `parent`: what tells it from others."""

    parent: dict[str, Any]
    value: Any
    record_id: str | None
    synced_at: datetime
    run_id: UUID | None


class Widening(Answer):
    """A stream's table that is to be widened. `waiting`: a persister does it, or waits for what `reason` says."""

    state: Literal["waiting", "done", "failed"]
    asked_at: datetime
    ended_at: datetime | None
    moved: Annotated[
        int | None, Field(description="Rows whose values stood in `_extra` and have columns now.")
    ]
    reason: Annotated[str | None, Field(description="Why it failed, or what it waits for.")]


class NewCursor(Closed):
    """Where the next incremental run begins."""

    value: Any

    @field_validator("value")
    @classmethod
    def _bounded(cls, value: Any) -> Any:
        if value is None:
            raise ValueError("give a value; DELETE resets the cursor")
        if len(dumps(value)) > MAX_CURSOR_BYTES:
            raise ValueError(f"is larger than {MAX_CURSOR_BYTES} bytes")
        return value


def source_view(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("name", "definition", "created_at", "updated_at")}


def stream_view(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": f"{row['source']}.{row['name']}",
        "version": row["version_id"],
        "definition": row["definition"]["stream"],
        "updated_at": row["updated_at"],
    }


async def list_sources(desk: Desk, call: Call[ListQuery, None]) -> Reply:
    after = after_name(call.query, "sources")
    async with desk.acting(call) as connection:
        rows = await catalogue.list_sources(connection, call.tenant, after=after, limit=call.query.limit + 1)
    return Reply(listing(rows, call.query.limit, source_view, lambda row: token_of("sources", row["name"])))


async def _source(connection: Any, call: Call[Any, Any]) -> Mapping[str, Any]:
    row = await catalogue.get_source(connection, call.tenant, call.path["source"])
    if row is None:
        raise not_found("source")
    return row


async def list_streams(desk: Desk, call: Call[ListQuery, None]) -> Reply:
    after = after_name(call.query, "streams")
    async with desk.acting(call) as connection:
        source = await _source(connection, call)
        rows = await catalogue.list_streams(
            connection, call.tenant, source["name"], after=after, limit=call.query.limit + 1
        )
    return Reply(listing(rows, call.query.limit, stream_view, lambda row: token_of("streams", row["name"])))


async def stream_of(connection: Any, call: Call[Any, Any]) -> Mapping[str, Any]:
    """The stream that the call names, with its whole definition. Raises: Refusal 404."""
    row = await catalogue.get_stream(connection, call.tenant, call.path["source"], call.path["stream"])
    if row is None:
        raise not_found("stream")
    return row


async def _cursor(connection: Any, call: Call[Any, Any]) -> Mapping[str, Any]:
    stream = await stream_of(connection, call)
    of = (call.tenant, stream["source"], stream["name"])
    found = await cursors.get(connection, *of)
    names = ("value", "record_id", "synced_at", "run_id")
    told = {name: None if found is None else found[name] for name in names}
    gaps, _ = gaps_of(None if found is None else found["resume"])
    return {
        **told,
        "version": 0 if found is None else found["version"],
        "parents": await children.count_cursors(connection, of),
        "gaps": [{"from": gap.start, "to": gap.end, "why": gap.why} for gap in gaps],
    }


def _key(text: str | None) -> bytes:
    try:
        return bytes.fromhex(text or "")
    except ValueError:
        raise invalid(
            "A parameter is not valid", [{"parameter": "cursor", "detail": "is no `next` of this list"}]
        ) from None


async def list_parents(desk: Desk, call: Call[ListQuery, None]) -> Reply:
    """How far each record of the parent stream was read."""
    after = _key(after_name(call.query, "parents"))
    async with desk.acting(call) as connection:
        stream = await stream_of(connection, call)
        of = (call.tenant, stream["source"], stream["name"])
        rows = await children.list_cursors(connection, of, after, call.query.limit + 1)
    names = ("parent", "value", "record_id", "synced_at", "run_id")
    return Reply(
        listing(
            rows,
            call.query.limit,
            lambda row: {name: row[name] for name in names},
            lambda row: token_of("parents", bytes(row["parent_key"]).hex()),
        )
    )


async def show_cursor(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    async with desk.acting(call) as connection:
        cursor = await _cursor(connection, call)
    return Reply(dict(cursor), headers=etag(cursor["version"]))


def _check_kind(value: Any, known: Sequence[Any]) -> None:
    """Raises: Refusal 422 for a value that cannot be compared with what the cursor has been, or begins with."""
    before = next((each for each in known if _is_mark(each)), None)
    if value is None or (before is None and _is_mark(value)):
        return
    if not _is_mark(value):
        raise invalid_at("/value", "is no cursor's value; give a text or a number as the API writes it")
    kinds = {True: "an instant", False: "no instant"}
    is_instant, was_instant = (instant_of(str(each)) is not None for each in (value, before))
    if is_instant != was_instant or isinstance(value, str) != isinstance(before, str):
        raise invalid_at(
            "/value",
            f"is {kinds[is_instant]} or of another type than {str(before)[:60]!r}, which the cursor has been; write it "
            "alike, or reset the cursor first",
        )


def _is_mark(value: Any) -> bool:
    return isinstance(value, str | int | float | Decimal) and not isinstance(value, bool)


async def set_cursor(desk: Desk, call: Call[NoQuery, NewCursor]) -> Reply:
    of = (call.tenant, call.path["source"], call.path["stream"])
    async with desk.acting(call) as connection:
        stream = await stream_of(connection, call)
        await cursors.lock(connection, *of)
        known = await _cursor(connection, call)
        check_preconditions(call.headers, known["version"])
        rule = stream["definition"]["stream"].get("incremental") or {}
        _check_kind(call.body.value, (known["value"], rule.get("start")))
        if rule.get("format") == "integer" and not _WHOLE.fullmatch(str(call.body.value)):
            raise invalid_at(
                "/value", "is no whole number, as the stream's cursors are (incremental.format: integer)"
            )
        await cursors.put(connection, *of, call.body.value)
        cursor = await _cursor(connection, call)
    return Reply(dict(cursor), headers=etag(cursor["version"]))


async def reset_cursor(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    of = (call.tenant, call.path["source"], call.path["stream"])
    async with desk.acting(call) as connection:
        await stream_of(connection, call)
        await cursors.lock(connection, *of)
        check_preconditions(call.headers, (await _cursor(connection, call))["version"])
        await cursors.reset(connection, *of)
    return Reply()


async def widen(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    """Ask for it; a persister does it, since it may take minutes and needs the rights of those who load."""
    of = (call.tenant, call.path["source"], call.path["stream"])
    async with desk.acting(call) as connection:
        stream = await stream_of(connection, call)
        destination = stream["definition"]["stream"].get("destination") or {}
        if destination.get("table") is None:
            raise conflict("The stream loads no table")
        found = await widenings.ask(connection, *of)
    _, source, name = of
    location = f"{API}/sources/{source}/streams/{name}/widen"
    return Reply(dict(found), status=202, headers={"Location": location})


async def show_widening(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    of = (call.tenant, call.path["source"], call.path["stream"])
    async with desk.acting(call) as connection:
        await stream_of(connection, call)
        found = await widenings.get(connection, *of)
    if found is None:
        raise not_found("widening")
    return Reply(dict(found))
