"""Endpoints made, replaced, merged, switched and removed: by the same checks and the same writing as a manifest's."""

import asyncio
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from headwater.contracts.codec import dumps
from headwater.contracts.manifest import Manifest
from headwater.contracts.manifest_text import ManifestError, Problem, parse_manifest
from headwater.control.apply import apply_manifest
from headwater.control.endpoints import definition_of, endpoint_of, shown, version_of
from headwater.control.etag import check_if_match
from headwater.control.export import lean
from headwater.control.frame import API
from headwater.control.problems import Refusal, conflict, invalid, invalid_at
from headwater.control.route import Call, Desk, NoQuery, Reply
from headwater.control.validation import check, surroundings
from headwater.store import catalogue, config, endpoints

_BEGINNING = "/endpoints/0"


class EndpointDocument(BaseModel):
    """An endpoint as a manifest has it (schemas/config/manifest.v1.json, `Endpoint`). For PATCH a JSON merge patch
    (RFC 7396): null takes a part away.
    """

    model_config = ConfigDict(extra="allow", frozen=True)


def merged(target: Any, patch: Any) -> Any:
    """RFC 7396 §2."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def _given(call: Call[NoQuery, EndpointDocument]) -> dict[str, Any]:
    return dict(call.body.model_extra or {})


def _named(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The document under the path's name. Raises: Refusal 422 for another one."""
    if document.get("name", name) != name:
        raise invalid_at("/name", "is not the name in the address; an endpoint keeps its name")
    return {**document, "name": name}


async def create_endpoint(desk: Desk, call: Call[NoQuery, EndpointDocument]) -> Reply:
    document = _given(call)
    async with desk.acting(call) as connection:
        name = document.get("name")
        manifest = await _checked(desk, connection, call.tenant, document)
        if isinstance(name, str) and await catalogue.get_endpoint(connection, call.tenant, name) is not None:
            raise conflict(f"There is an endpoint {name} already: replace it with PUT")
        return await _written(desk, connection, call, manifest, status=201)


async def put_endpoint(desk: Desk, call: Call[NoQuery, EndpointDocument]) -> Reply:
    name = call.path["endpoint"]
    async with desk.acting(call) as connection:
        known = await _locked(connection, call)
        check_if_match(call.headers, None if known is None else version_of(known))
        manifest = await _checked(desk, connection, call.tenant, _named(_given(call), name))
        return await _written(desk, connection, call, manifest, status=201 if known is None else 200)


async def patch_endpoint(desk: Desk, call: Call[NoQuery, EndpointDocument]) -> Reply:
    name = call.path["endpoint"]
    async with desk.acting(call) as connection:
        await _locked(connection, call)
        row = await endpoint_of(connection, call)
        check_if_match(call.headers, version_of(row))
        document = merged(lean(definition_of(row)), _given(call))
        manifest = await _checked(desk, connection, call.tenant, _named(document, name))
        return await _written(desk, connection, call, manifest, status=200)


async def delete_endpoint(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    """What it received stays for as long as it is kept."""
    async with desk.acting(call) as connection:
        await _locked(connection, call)
        row = await endpoint_of(connection, call)
        check_if_match(call.headers, version_of(row))
        await endpoints.remove(connection, call.tenant, row["name"])
        await endpoints.forget(connection, call.tenant, row["name"])
        await config.announce_change(connection, call.tenant)
    return Reply()


async def enable_endpoint(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    return await _switched(desk, call, is_on=True)


async def disable_endpoint(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    """Senders get 404 until it is enabled; what was accepted goes its way."""
    return await _switched(desk, call, is_on=False)


async def _switched(desk: Desk, call: Call[NoQuery, None], *, is_on: bool) -> Reply:
    async with desk.acting(call) as connection:
        row = await endpoint_of(connection, call)
        check_if_match(call.headers, version_of(row))
        if row["enabled"] != is_on:
            await endpoints.switch(connection, call.tenant, row["name"], is_on=is_on)
            await config.announce_change(connection, call.tenant)
        return await shown(connection, call)


async def _locked(connection: Any, call: Call[Any, Any]) -> Mapping[str, Any] | None:
    """The row, so that nobody else changes it until the transaction ends; None where there is none."""
    await endpoints.lock(connection, call.tenant, call.path["endpoint"])
    return await catalogue.get_endpoint(connection, call.tenant, call.path["endpoint"])


async def _checked(desk: Desk, connection: Any, tenant: str, document: Mapping[str, Any]) -> Manifest:
    """The manifest that has this endpoint alone. Raises: Refusal 422 with the places in the document."""
    text = dumps({"version": 1, "tenant": tenant, "endpoints": [document]}).decode()
    around = await surroundings(connection, tenant)
    try:
        async with desk.parsing:
            manifest, parsed = await asyncio.to_thread(parse_manifest, text, "body", {})
            problems = await asyncio.to_thread(check, manifest, parsed, around, desk.clock.now())
    except ManifestError as error:
        raise _refused(error.problems) from error
    if problems:
        raise _refused(problems)
    return manifest


def _refused(problems: Any) -> Refusal:
    return invalid("The endpoint is not valid", [_fault(problem) for problem in problems])


def _fault(problem: Problem) -> dict[str, Any]:
    detail = f"{problem.what}; {problem.mend}" if problem.mend else problem.what
    place = problem.pointer.removeprefix(_BEGINNING)
    return {"pointer": place, "detail": detail, "what": problem.what, "mend": problem.mend}


async def _written(
    desk: Desk, connection: Any, call: Call[Any, Any], manifest: Manifest, *, status: int
) -> Reply:
    await apply_manifest(connection, desk.keyring, manifest)
    name = manifest.endpoints[0].name
    named = Call(call.caller, call.tenant, {"endpoint": name}, None, None, call.headers)
    reply = await shown(connection, named, status)
    location = {"Location": f"{API}/endpoints/{name}"} if status == 201 else {}
    return Reply(reply.value, status, {**reply.headers, **location})
