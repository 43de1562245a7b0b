"""What a manifest would change: each part of it against what is in force, with nothing written."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from headwater.contracts.manifest import Manifest
from headwater.contracts.problem import Path, pointer
from headwater.control.export import lean, manifest_of
from headwater.control.route import Answer
from headwater.plugins.secret_text import SOUNDS_SECRET, names_in
from headwater.store import config
from headwater.store.keyring import Keyring

MAX_DIFFERENCES = 100  # of one part
HIDDEN = "(secret)"
_LOGIN = re.compile(r"[a-z]+://[^/\s@]+@")  # an address that holds a password


class Difference(Answer):
    """One place of a part. Null stands for what is not there; secrets are never shown."""

    pointer: str
    before: Any
    after: Any


class PlannedChange(Answer):
    """What becomes of one part of the configuration."""

    kind: Annotated[str, Field(description="The manifest's list, such as `schedules`.")]
    name: str
    action: Literal["create", "change", "keep"]
    differences: list[Difference]


class Plan(Answer):
    """`has_changes` is false when applying the manifest would change nothing."""

    tenant: str
    has_changes: bool
    changes: list[PlannedChange]


def kinds() -> tuple[str, ...]:
    """The lists of a manifest."""
    return tuple(name for name, field in Manifest.model_fields.items() if field.default == ())


async def plan_of(connection: Any, keyring: Keyring, manifest: Manifest) -> dict[str, Any]:
    """The plan of the manifest for its tenant, in a transaction of role `api`."""
    stored = await manifest_of(connection, manifest.tenant, beside=manifest)
    changes = []
    for kind in kinds():
        before = {part["name"]: part for part in stored.get(kind, ())}
        for part in getattr(manifest, kind):
            after = lean(part)
            old = before.get(part.name)
            found: list[dict[str, Any]] = []
            if old is not None:
                for path, was, becomes in _differences((), old, after):
                    if not await _is_same_secret(connection, keyring, manifest.tenant, was, becomes):
                        found.append(_shown(path, was, becomes))
            action = "create" if old is None else "change" if found else "keep"
            changes.append(
                {"kind": kind, "name": part.name, "action": action, "differences": found[:MAX_DIFFERENCES]}
            )
    has_changes = any(change["action"] != "keep" for change in changes)
    return {"tenant": manifest.tenant, "has_changes": has_changes, "changes": changes}


def _differences(path: Path, was: Any, becomes: Any) -> Iterator[tuple[Path, Any, Any]]:
    """The places that differ; things with a name are told apart by it, wherever they stand in their list."""
    if isinstance(was, Mapping) and isinstance(becomes, Mapping):
        for key in dict.fromkeys((*was, *becomes)):
            yield from _differences((*path, key), was.get(key), becomes.get(key))
    elif _are_named(was) and _are_named(becomes):
        old, new = ({each["name"]: each for each in things} for things in (was, becomes))
        for name in dict.fromkeys((*old, *new)):
            yield from _differences((*path, name), old.get(name), new.get(name))
    elif isinstance(was, list) and isinstance(becomes, list) and len(was) == len(becomes):
        for index, (one, other) in enumerate(zip(was, becomes, strict=True)):
            yield from _differences((*path, index), one, other)
    elif was != becomes:
        yield path, was, becomes


def _are_named(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, Mapping) and "name" in each for each in value)


async def _is_same_secret(connection: Any, keyring: Keyring, tenant: str, was: Any, becomes: Any) -> bool:
    """Whether a value written in place is the one that is sealed under the name that stands there now."""
    if not isinstance(was, str) or not isinstance(becomes, str) or names_in(becomes):
        return False
    names = names_in(was)
    if len(names) != 1 or was != f"${{secret:{next(iter(names))}}}":
        return False
    found = await config.get_secrets(connection, keyring, [(tenant, name) for name in names])
    return any(secret.text() == becomes for secret in found.values())


def _shown(path: Path, was: Any, becomes: Any) -> dict[str, Any]:
    # chat webhooks and mail servers have their secrets in their addresses
    hides = path[:1] in {("target",), ("targets",)} or any(
        isinstance(part, str) and SOUNDS_SECRET.search(part) for part in path
    )
    hides = hides or any(isinstance(value, str) and _LOGIN.match(value) for value in (was, becomes))
    return {
        "pointer": pointer(path),
        "before": _hidden(was) if hides else was,
        "after": _hidden(becomes) if hides else becomes,
    }


def _hidden(value: Any) -> Any:
    """The value without texts that are no mere names of secrets: below here, each may be one."""
    if isinstance(value, Mapping):
        return {key: item if key == "type" else _hidden(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_hidden(item) for item in value]
    return HIDDEN if isinstance(value, str) and not names_in(value) else value
