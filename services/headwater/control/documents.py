"""Parts of a configuration that come one by one: checked and written as if a manifest held them alone."""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ConfigDict

from headwater.contracts.codec import dumps
from headwater.contracts.json_text import json_as_yaml
from headwater.contracts.manifest import Manifest
from headwater.contracts.manifest_text import parse_manifest
from headwater.contracts.problem import ManifestError, Problem
from headwater.control.problems import Refusal, invalid, invalid_at
from headwater.control.route import Call, Desk
from headwater.control.validation import check, surroundings
from headwater.store import config


class Part(BaseModel):
    """A part as a manifest has it (schemas/config/manifest.v1.json). For PATCH a JSON merge patch (RFC 7396): null
    takes something away.
    """

    model_config = ConfigDict(extra="allow", frozen=True)


def given(call: Call[Any, Part]) -> dict[str, Any]:
    return dict(call.body.model_extra or {})


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


def named(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The document under the address's name. Raises: Refusal 422 when it gives another one."""
    if document.get("name", name) != name:
        raise invalid_at("/name", "is not the name in the address; a name stays as it is")
    return {**document, "name": name}


def version_of(document: Any) -> str:
    """What tells one state of a part from another."""
    return hashlib.sha256(dumps(document)).hexdigest()[:24]


async def checked(
    desk: Desk, connection: Any, tenant: str, kind: str, document: Mapping[str, Any], beginning: str = ""
) -> Manifest:
    """The manifest whose list `kind` has this document alone. Raises: Refusal 422 with the places in the document.

    `beginning` is the pointer in it below which the caller's own document lies.
    """
    text = json_as_yaml(dumps({"version": 1, "tenant": tenant, kind: [document]}).decode())
    await config.ensure_tenant(connection, tenant)
    try:
        async with desk.parsing:
            manifest, parsed = await asyncio.to_thread(parse_manifest, text, "body", None)
        around = await surroundings(connection, tenant, manifest, has_broker=desk.has_broker)
        around = replace(around, turned={})  # the API has an answer of its own for what is in use
        async with desk.parsing:
            problems = await asyncio.to_thread(check, manifest, parsed, around, desk.clock.now())
    except ManifestError as error:
        raise _refused(error.problems, f"/{kind}/0{beginning}") from error
    if problems:
        raise _refused(problems, f"/{kind}/0{beginning}")
    return manifest


def _refused(problems: Sequence[Problem], beginning: str) -> Refusal:
    return invalid("The document is not valid", [_fault(problem, beginning) for problem in problems])


def _fault(problem: Problem, beginning: str) -> dict[str, Any]:
    detail = f"{problem.what}; {problem.mend}" if problem.mend else problem.what
    place = problem.pointer.removeprefix(beginning)
    told = {"pointer": place, "detail": detail, "what": problem.what, "mend": problem.mend}
    return {**told, **problem.of_part}
