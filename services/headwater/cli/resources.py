"""`sources`, `streams`, `tenants`, `keys`, `dead-letters`, `audit`: ask, and show the answer."""

import argparse
import asyncio
from typing import Any

from pydantic import BaseModel

from headwater.cli.asking import Counter, Verb, given, moment, open_counter, show, show_list
from headwater.cli.exits import Exit
from headwater.cli.faults import NotFound
from headwater.cli.printing import form_of, print_table
from headwater.control import audit, dead_letters, keys, schedule_changes, source_changes, streams, tenants
from headwater.control.paging import ListQuery
from headwater.control.route import Handler
from headwater.settings import Settings

_LOOK_S = 0.5


async def execute_resources(chosen: argparse.Namespace, settings: Settings) -> int:
    """Run one verb of these commands."""
    async with open_counter(chosen, settings) as counter:
        return await _VERBS[chosen.command][chosen.verb or "list"](chosen, counter)


def _done(chosen: argparse.Namespace, text: str) -> int:
    if form_of(chosen) == "table":
        print(text)
    return Exit.OK


def _shower(answer: type[BaseModel], handler: Handler, parameter: str, option: str) -> Verb:
    """A verb that shows one thing, or what became of it."""

    async def verb(chosen: argparse.Namespace, counter: Counter) -> int:
        path = {parameter: getattr(chosen, option)}
        return show(chosen, await counter.shown(answer, handler, path=path))

    return verb


async def _list_sources(chosen: argparse.Namespace, counter: Counter) -> int:
    items = await counter.listed(streams.Source, streams.list_sources, given(ListQuery, limit=chosen.limit))
    if form_of(chosen) != "table":
        return show_list(chosen, (), items, empty="")
    rows = [(item["name"], item["definition"].get("base_url"), item["updated_at"]) for item in items]
    print_table(("name", "base_url", "updated_at"), rows, empty="no sources; `headwater apply` a manifest")
    return Exit.OK


async def _delete_source(chosen: argparse.Namespace, counter: Counter) -> int:
    query = given(schedule_changes.Cascade, cascade=chosen.cascade)
    await counter.ask(source_changes.delete_source, path={"source": chosen.source}, query=query)
    return _done(chosen, f"source {chosen.source} is removed; its tables and history stay")


def _place(stream: str) -> dict[str, str]:
    source, dot, name = stream.partition(".")
    if not dot:
        raise NotFound(f"there is no stream {stream!r}: name it source.stream")
    return {"source": source, "stream": name}


async def _list_streams(chosen: argparse.Namespace, counter: Counter) -> int:
    of = [chosen.source]
    if chosen.source is None:
        found = await counter.listed(streams.Source, streams.list_sources, given(ListQuery, limit=500))
        of = [each["name"] for each in found]
    items: list[Any] = []
    for source in of:
        value = await counter.ask(
            streams.list_streams, path={"source": source}, query=given(ListQuery, limit=chosen.limit)
        )
        items += [streams.Stream.model_validate(each).model_dump() for each in value["items"]]
    items = items[: chosen.limit]
    if form_of(chosen) != "table":
        return show_list(chosen, (), items, empty="")
    rows = [
        (
            item["name"],
            item["definition"]["request"].get("path"),
            item["definition"]["pagination"]["type"],
            (item["definition"].get("destination") or {}).get("table"),
            item["updated_at"],
        )
        for item in items
    ]
    columns = ("name", "path", "pagination", "table", "updated_at")
    print_table(columns, rows, empty="no streams; `headwater apply` a manifest")
    return Exit.OK


async def _show_stream(chosen: argparse.Namespace, counter: Counter) -> int:
    found = await counter.shown(streams.Stream, source_changes.show_stream, path=_place(chosen.stream))
    return show(chosen, found)


async def _delete_stream(chosen: argparse.Namespace, counter: Counter) -> int:
    query = given(schedule_changes.Cascade, cascade=chosen.cascade)
    await counter.ask(source_changes.delete_stream, path=_place(chosen.stream), query=query)
    return _done(chosen, f"stream {chosen.stream} is removed; its table and history stay")


async def _cursor(chosen: argparse.Namespace, counter: Counter) -> int:
    """Show it, after it was set or reset where that is asked for."""
    path = _place(chosen.stream)
    if chosen.parents:
        return await _list_parents(chosen, counter)
    if chosen.reset:
        await counter.ask(streams.reset_cursor, path=path)
    if chosen.set is None:
        return show(chosen, await counter.shown(streams.Cursor, streams.show_cursor, path=path))
    known = await counter.ask(streams.show_cursor, path=path)
    body = given(streams.NewCursor, value=_as_before(chosen.set, known["value"]))
    return show(chosen, await counter.shown(streams.Cursor, streams.set_cursor, path=path, body=body))


def _as_before(text: str, before: Any) -> str | int:
    """A cursor's value as the command line has it: digits are a number, unless the cursor has been a text."""
    is_number = text.isascii() and text.removeprefix("-").isdigit() and not isinstance(before, str)
    return int(text) if is_number else text


async def _widen(chosen: argparse.Namespace, counter: Counter) -> int:
    """Ask for it and wait until it is done; it goes on where persisters run when nobody waits any more."""
    path = _place(chosen.stream)
    found = await counter.shown(streams.Widening, streams.widen, path=path)
    loop = asyncio.get_running_loop()
    end = loop.time() + chosen.wait_s
    while found["state"] == "waiting" and loop.time() < end:
        await asyncio.sleep(min(_LOOK_S, max(0.0, end - loop.time())))
        found = await counter.shown(streams.Widening, streams.show_widening, path=path)
    show(chosen, found)
    return Exit.FAILURE if found["state"] == "failed" else Exit.OK


async def _list_parents(chosen: argparse.Namespace, counter: Counter) -> int:
    query = given(ListQuery, limit=chosen.limit)
    value = await counter.ask(streams.list_parents, path=_place(chosen.stream), query=query)
    items = [streams.ParentCursor.model_validate(each).model_dump(mode="json") for each in value["items"]]
    columns = ("parent", "value", "record_id", "synced_at")
    return show_list(chosen, columns, items, empty="no record of a parent has a cursor of its own")


async def _list_tenants(chosen: argparse.Namespace, counter: Counter) -> int:
    items = await counter.listed(tenants.Tenant, tenants.list_tenants, given(ListQuery, limit=chosen.limit))
    return show_list(chosen, ("name", "state", "minimum_interval_s", "created_at"), items, empty="no tenants")


async def _create_tenant(chosen: argparse.Namespace, counter: Counter) -> int:
    body = given(tenants.NewTenant, name=chosen.name, minimum_interval_s=chosen.minimum_interval_s)
    return show(chosen, await counter.shown(tenants.Tenant, tenants.create_tenant, body=body))


async def _delete_tenant(chosen: argparse.Namespace, counter: Counter) -> int:
    query = given(tenants.TenantEnd, cascade=chosen.cascade)
    left = await counter.ask(tenants.delete_tenant, path={"tenant": chosen.name}, query=query)
    if left is None:
        return _done(chosen, f"tenant {chosen.name} is removed")
    return _done(chosen, f"tenant {chosen.name} takes nothing new; the removal goes on where control runs")


_NO_KEYS = (
    "this tenant has no keys of its own (the first key is of no tenant, and opens every one); "
    "make one with `headwater keys create --name NAME --scope read`"
)


async def _list_keys(chosen: argparse.Namespace, counter: Counter) -> int:
    items = await counter.listed(keys.Key, keys.list_keys, given(ListQuery, limit=chosen.limit))
    columns = ("id", "tenant", "name", "scopes", "created_at", "expires_at", "revoked_at")
    return show_list(chosen, columns, items, empty=_NO_KEYS)


async def _create_key(chosen: argparse.Namespace, counter: Counter) -> int:
    body = given(
        keys.NewKey,
        name=chosen.name,
        scopes=chosen.scope,
        expires_at=moment(chosen.expires),
        all_tenants=chosen.all_tenants or None,
    )
    return show(chosen, await counter.shown(keys.CreatedKey, keys.create_key, body=body))


async def _revoke_key(chosen: argparse.Namespace, counter: Counter) -> int:
    await counter.ask(keys.revoke_key, path={"key": chosen.key})
    return _done(chosen, f"key {chosen.key} is revoked")


async def _list_dead_letters(chosen: argparse.Namespace, counter: Counter) -> int:
    query = given(dead_letters.DeadLettersQuery, queue=chosen.queue, state=chosen.state, limit=chosen.limit)
    items = await counter.listed(dead_letters.DeadLetter, dead_letters.list_dead_letters, query)
    columns = ("id", "tenant", "queue", "type", "dead_at", "state", "attempt", "reason")
    return show_list(chosen, columns, items, empty="no dead letters")


async def _replay_dead_letter(chosen: argparse.Namespace, counter: Counter) -> int:
    found = await counter.shown(
        dead_letters.Replayed, dead_letters.replay_dead_letter, path={"letter": chosen.id}
    )
    await counter.ring()
    return show(chosen, found)


async def _list_audit(chosen: argparse.Namespace, counter: Counter) -> int:
    query = given(
        audit.AuditQuery,
        kind=chosen.kind,
        name=chosen.name,
        actor=chosen.actor,
        verb=chosen.done,
        since=moment(chosen.since),
        until=moment(chosen.until),
        limit=chosen.limit,
    )
    items = await counter.listed(audit.AuditEntry, audit.list_audit, query)
    columns = ("id", "at", "actor", "verb", "kind", "name", "changed")
    return show_list(chosen, columns, items, empty="nobody changed anything")


_DEAD: dict[str, Verb] = {
    "list": _list_dead_letters,
    "show": _shower(dead_letters.DeadLetterDetail, dead_letters.show_dead_letter, "letter", "id"),
    "replay": _replay_dead_letter,
    "discard": _shower(dead_letters.DeadLetter, dead_letters.discard_dead_letter, "letter", "id"),
}
_VERBS: dict[str, dict[str, Verb]] = {
    "sources": {
        "list": _list_sources,
        "show": _shower(streams.Source, source_changes.show_source, "source", "source"),
        "delete": _delete_source,
    },
    "streams": {
        "list": _list_streams,
        "show": _show_stream,
        "delete": _delete_stream,
        "cursor": _cursor,
        "widen": _widen,
    },
    "tenants": {
        "list": _list_tenants,
        "show": _shower(tenants.Tenant, tenants.show_tenant, "tenant", "name"),
        "create": _create_tenant,
        "delete": _delete_tenant,
    },
    "keys": {
        "list": _list_keys,
        "show": _shower(keys.Key, keys.show_key, "key", "key"),
        "create": _create_key,
        "revoke": _revoke_key,
    },
    "dead-letters": _DEAD,
    "dead": _DEAD,
    "audit": {
        "list": _list_audit,
        "show": _shower(audit.AuditEntry, audit.show_audit, "entry", "id"),
    },
}
