"""Configurations kept under a name, and brought back: an export and an import without a file between them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from headwater.contracts.base import Closed
from headwater.contracts.codec import dumps
from headwater.contracts.naming import Name
from headwater.control.config_routes import ExportedManifest, Imported, bring_into_force, parsed
from headwater.control.export import manifest_of
from headwater.control.frame import API
from headwater.control.paging import ListQuery, Page, after_name, listing, token_of
from headwater.control.problems import not_found
from headwater.control.route import Answer, Call, Desk, NoQuery, Reply, Route
from headwater.store import snapshots

_ONE = f"{API}/config/save/{{snapshot}}"
_NAMED = ("destinations", "sources", "schedules", "calendars", "endpoints", "notifications")


class Save(Closed):
    """Under which name; what was kept under it is replaced."""

    name: Name
    note: Annotated[str | None, Field(max_length=1000, description="What for.")] = None


class Load(Closed):
    """Which one."""

    name: Name


class Snapshot(Answer):
    name: str
    note: str | None
    created_by: str
    created_at: datetime


class SnapshotDetail(Snapshot):
    """With its manifest; secrets are only named."""

    manifest: ExportedManifest


class Loaded(Imported):
    """`not_in_snapshot`: what is there and was not when it was saved, by kind; it stays as it is."""

    not_in_snapshot: dict[str, list[str]]


def _view(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in Snapshot.model_fields}


async def save_config(desk: Desk, call: Call[NoQuery, Save]) -> Reply:
    async with desk.acting(call) as connection:
        manifest = await manifest_of(connection, call.tenant)
        is_new = await snapshots.put(
            connection, call.tenant, call.body.name, manifest, note=call.body.note, actor=call.started_by
        )
        row = await snapshots.get(connection, call.tenant, call.body.name)
    assert row is not None
    headers = {"Location": f"{API}/config/save/{call.body.name}"} if is_new else {}
    return Reply(_view(row), status=201 if is_new else 200, headers=headers)


async def list_snapshots(desk: Desk, call: Call[ListQuery, None]) -> Reply:
    query = call.query
    after = after_name(query, "snapshots")
    async with desk.acting(call) as connection:
        rows = await snapshots.list_snapshots(connection, call.tenant, after=after, limit=query.limit + 1)
    return Reply(listing(rows, query.limit, _view, lambda row: token_of("snapshots", row["name"])))


async def show_snapshot(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    async with desk.acting(call) as connection:
        row = await snapshots.get(connection, call.tenant, call.path["snapshot"])
    if row is None:
        raise not_found("snapshot")
    return Reply({**_view(row), "manifest": row["definition"]})


async def delete_snapshot(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    async with desk.acting(call) as connection:
        if not await snapshots.delete(connection, call.tenant, call.path["snapshot"]):
            raise not_found("snapshot")
    return Reply()


async def load_config(desk: Desk, call: Call[NoQuery, Load]) -> Reply:
    """As an import of it: all or nothing, checked against what is there now."""
    async with desk.acting(call) as connection:
        row = await snapshots.get(connection, call.tenant, call.body.name)
    if row is None:
        raise not_found("snapshot")
    text = dumps({**row["definition"], "tenant": call.tenant}).decode()
    applied = await bring_into_force(desk, call, *await parsed(desk, call, text, is_json=True))
    async with desk.acting(call) as connection:
        now = await manifest_of(connection, call.tenant)
    saved = {kind: {each["name"] for each in row["definition"].get(kind, ())} for kind in _NAMED}
    beyond = {
        kind: [each["name"] for each in now[kind] if each["name"] not in saved[kind]] for kind in _NAMED
    }
    told = {name: getattr(applied, name) for name in Imported.model_fields}
    return Reply({**told, "not_in_snapshot": {kind: names for kind, names in beyond.items() if names}})


async def default_config(_: Desk, call: Call[NoQuery, None]) -> Reply:
    """What a tenant has in which nothing is configured: a manifest to begin with."""
    return Reply({"version": 1, "tenant": call.tenant, **{kind: [] for kind in _NAMED}})


def snapshot_rows() -> tuple[Route, ...]:
    """The routes."""
    return (
        Route("GET", f"{API}/config/default", default_config, "The manifest of a tenant without any configuration",
              "read", ExportedManifest, tag="config"),
        Route("POST", f"{API}/config/save", save_config, "Keep the configuration under a name", "write", Snapshot,
              body=Save, status=201, also=200, tag="config"),
        Route("GET", f"{API}/config/save", list_snapshots, "Configurations that were kept", "read", Page[Snapshot],
              query=ListQuery, tag="config"),
        Route("GET", _ONE, show_snapshot, "One of them, with its manifest", "read", SnapshotDetail, tag="config"),
        Route("DELETE", _ONE, delete_snapshot, "Forget one", "write", None, status=204, tag="config"),
        Route("POST", f"{API}/config/load", load_config, "Bring one into force again", "write", Loaded, body=Load,
              tag="config"),
    )  # fmt: skip
