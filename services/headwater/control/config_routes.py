"""Configuration as code over HTTP: validate, import, export."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

from pydantic import ValidationError

from headwater.contracts.base import Closed
from headwater.contracts.json_text import json_as_yaml
from headwater.contracts.manifest import Manifest
from headwater.contracts.manifest_text import Document, parse_manifest
from headwater.contracts.problem import ManifestError
from headwater.control.apply import Applied, apply_manifest
from headwater.control.export import as_yaml, manifest_of
from headwater.control.finding import Surroundings
from headwater.control.planning import plan_of
from headwater.control.problems import Refusal, invalid, invalid_at, manifest_faults, unreadable
from headwater.control.route import Answer, Call, Desk, NoQuery, Reply
from headwater.control.validation import check, doubts, surroundings
from headwater.model.errors import ContractError
from headwater.store import config

Result = TypeVar("Result")


class Doubt(Answer):
    """What is likely not meant so, at its place. `detail` is `what` and `mend` in one sentence."""

    pointer: str
    detail: str
    line: int
    column: int
    what: str
    mend: str


class Valid(Answer):
    """The manifest can be applied; this is what it holds, and what it may be wrong in."""

    valid: Literal[True] = True
    tenant: str
    destinations: int
    sources: int
    streams: int
    schedules: int
    calendars: int
    endpoints: int
    notifications: int
    warnings: list[Doubt]


class Imported(Answer):
    """What was written, by kind."""

    tenant: str
    destinations: list[str]
    sources: list[str]
    streams: list[str]
    schedules: list[str]
    calendars: list[str]
    endpoints: list[str]
    notifications: list[str]


class ExportQuery(Closed):
    format: Literal["json", "yaml"] = "json"


class ExportedManifest(Answer):
    """A manifest; its schema is schemas/config/manifest.v1.json."""

    version: Literal[1]
    tenant: str
    destinations: list[dict[str, Any]]
    sources: list[dict[str, Any]]
    schedules: list[dict[str, Any]]
    calendars: list[dict[str, Any]]
    endpoints: list[dict[str, Any]]
    notifications: list[dict[str, Any]]


async def validate_config(desk: Desk, call: Call[NoQuery, str]) -> Reply:
    manifest, document, around = await _checked(desk, call)
    found = await _off_the_loop(desk, doubts, manifest, document, around)
    return Reply(
        {
            "warnings": manifest_faults(found),
            "tenant": manifest.tenant,
            "destinations": len(manifest.destinations),
            "sources": len(manifest.sources),
            "streams": sum(len(source.streams) for source in manifest.sources),
            "schedules": len(manifest.schedules),
            "calendars": len(manifest.calendars),
            "endpoints": len(manifest.endpoints),
            "notifications": len(manifest.notifications),
        }
    )


async def import_config(desk: Desk, call: Call[NoQuery, str]) -> Reply:
    applied = await bring_into_force(
        desk, call, *await parsed(desk, call, call.body, is_json=_is_json(call.headers))
    )
    return Reply({name: getattr(applied, name) for name in Imported.model_fields})


async def bring_into_force(
    desk: Desk, call: Call[Any, Any], manifest: Manifest, document: Document
) -> Applied:
    """Check the manifest and write it, all or nothing. Raises: Refusal 422."""
    async with desk.database.as_tenant(
        manifest.tenant, admin=call.caller.is_global, actor=call.started_by
    ) as connection:
        await config.lock(connection, manifest.tenant)  # before the check: what it relies on stays as it is
        await _check(desk, connection, manifest, document)
        applied = await apply_manifest(connection, desk.keyring, manifest)
    desk.bell.ring()
    return applied


async def plan_config(desk: Desk, call: Call[NoQuery, str]) -> Reply:
    manifest, _, _ = await _checked(desk, call)
    async with desk.database.as_tenant(manifest.tenant, admin=call.caller.is_global) as connection:
        return Reply(await plan_of(connection, desk.keyring, manifest))


async def export_config(desk: Desk, call: Call[ExportQuery, None]) -> Reply:
    async with desk.acting(call) as connection:
        manifest = await manifest_of(connection, call.tenant)
    if call.query.format == "yaml":
        disposition = f'attachment; filename="{call.tenant}.yml"'
        return Reply(
            raw=as_yaml(manifest),
            content_type="application/yaml",
            headers={"Content-Disposition": disposition},
        )
    return Reply(manifest)


async def _checked(desk: Desk, call: Call[NoQuery, str]) -> tuple[Manifest, Document, Surroundings]:
    """The manifest of the body, checked, and what it was checked against. Raises: Refusal 400, 422."""
    manifest, document = await parsed(desk, call, call.body, is_json=_is_json(call.headers))
    async with desk.database.as_tenant(manifest.tenant, admin=call.caller.is_global) as connection:
        return manifest, document, await _check(desk, connection, manifest, document)


async def _check(desk: Desk, connection: Any, manifest: Manifest, document: Document) -> Surroundings:
    """What the database has beside the manifest. Raises: Refusal 422 with everything that is wrong with it there."""
    around = await surroundings(connection, manifest.tenant, manifest, has_broker=desk.has_broker)
    problems = await _off_the_loop(desk, check, manifest, document, around, desk.clock.now())
    if problems:
        raise invalid("The manifest is not valid", manifest_faults(problems))
    return around


async def _off_the_loop(desk: Desk, work: Callable[..., Result], *arguments: Any) -> Result:
    async with desk.parsing:
        return await asyncio.to_thread(work, *arguments)


def _is_json(headers: Mapping[str, str]) -> bool:
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return kind == "application/json" or kind.endswith("+json")


async def parsed(desk: Desk, call: Call[Any, Any], text: str, *, is_json: bool) -> tuple[Manifest, Document]:
    """The manifest of a text, for the tenant in which the call acts. Raises: Refusal 400, 422."""
    try:
        if is_json:
            text = await _off_the_loop(desk, json_as_yaml, text)
        manifest, document = await _off_the_loop(desk, parse_manifest, text, "body", None)
    except ManifestError as error:
        raise _refused(error) from error
    except ContractError as error:
        raise unreadable(f"The body is {error}") from error
    except RecursionError as error:
        raise unreadable("The manifest is nested too deeply, or refers to itself") from error
    return _for_tenant(manifest, call), document


def _refused(error: ManifestError) -> Refusal:
    faults = manifest_faults(error.problems)
    if error.__cause__ is not None and not isinstance(error.__cause__, ValidationError):
        return unreadable("The manifest cannot be read", faults=faults)
    return invalid("The manifest is not valid", faults)


def _for_tenant(manifest: Manifest, call: Call[NoQuery, str]) -> Manifest:
    """A manifest that names no tenant is for the caller's; a key acts in no other. A global key that names none
    by X-Tenant acts in the manifest's.
    """
    if "tenant" not in manifest.model_fields_set:
        return manifest.model_copy(update={"tenant": call.tenant})
    if manifest.tenant == call.tenant or (call.caller.is_global and not call.names_tenant):
        return manifest
    raise invalid_at("/tenant", f"is not the tenant of this request, {call.tenant}")
