"""Configuration as code: what a manifest would change, bringing it into force, and getting it back."""

import argparse
import asyncio
import sys
from contextlib import AsyncExitStack
from typing import Any

from headwater.app.ground import has_broker, keyring_for
from headwater.cli.exits import Exit
from headwater.cli.faults import NotFound
from headwater.cli.opening import asker, open_api
from headwater.cli.printing import print_fields, print_json
from headwater.contracts.manifest import Manifest
from headwater.contracts.manifest_text import Document
from headwater.contracts.problem import ManifestError
from headwater.control.apply import apply_manifest
from headwater.control.export import as_yaml, manifest_of
from headwater.control.planning import plan_of
from headwater.control.validation import check, surroundings
from headwater.settings import Settings
from headwater.store import config

_SIGNS = {"create": "+", "change": "~", "keep": " "}


async def apply(chosen: argparse.Namespace, settings: Settings, read: tuple[Manifest, Document]) -> int:
    """Write the manifest, all or nothing."""
    manifest, document = read
    async with AsyncExitStack() as stack:
        means, api = await open_api(settings, stack, sets_up=True)
        keyring = keyring_for(settings, means)
        async with api.as_tenant(manifest.tenant, admin=True, actor=asker().actor) as connection:
            await config.ensure_tenant(connection, manifest.tenant)
            await config.lock(connection, manifest.tenant)
            await _check_within(connection, manifest, document, settings)
            applied = await apply_manifest(connection, keyring, manifest)
    told = {name: getattr(applied, name) for name in applied.__dataclass_fields__}
    if chosen.json:
        print_json(told)
    else:
        print_fields({name: value or "-" for name, value in told.items()})
    return Exit.OK


async def plan(chosen: argparse.Namespace, settings: Settings, read: tuple[Manifest, Document]) -> int:
    """Tell what the manifest would change; exit 4 when it would."""
    manifest, document = read
    async with AsyncExitStack() as stack:
        means, api = await open_api(settings, stack)
        keyring = keyring_for(settings, means)
        async with api.as_tenant(manifest.tenant, admin=True) as connection:
            await _check_within(connection, manifest, document, settings)
            found = await plan_of(connection, keyring, manifest)
    if chosen.json:
        print_json(found)
    else:
        _tell(found)
    return Exit.CONFLICT if found["has_changes"] else Exit.OK


def _tell(found: dict[str, Any]) -> None:
    counts = {"create": 0, "change": 0, "keep": 0}
    for change in found["changes"]:
        counts[change["action"]] += 1
        if change["action"] == "keep":
            continue
        print(f"{_SIGNS[change['action']]} {change['kind']} {change['name']}")
        for each in change["differences"]:
            print(f"    {each['pointer'] or '/'}: {_short(each['before'])} -> {_short(each['after'])}")
    print(f"{counts['create']} to create, {counts['change']} to change, {counts['keep']} as they are")


def _short(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 80 else text[:79] + "…"


async def _check_within(connection: Any, manifest: Manifest, document: Document, settings: Settings) -> None:
    """Raises: ManifestError for what only shows beside the tenant's configuration."""
    around = await surroundings(connection, manifest.tenant, manifest, has_broker=has_broker(settings))
    problems = await asyncio.to_thread(check, manifest, document, around)
    if problems:
        raise ManifestError(problems)


async def export(chosen: argparse.Namespace, settings: Settings) -> int:
    """The tenant's configuration as a manifest, to standard output."""
    async with AsyncExitStack() as stack:
        _, api = await open_api(settings, stack)
        async with api.as_tenant(chosen.tenant) as connection:
            if not await config.has_tenant(connection, chosen.tenant):
                raise NotFound(f"there is no tenant {chosen.tenant!r}")
            found = await manifest_of(connection, chosen.tenant)
    if chosen.json:
        print_json(found)
    else:
        sys.stdout.write(as_yaml(found).decode())
    return Exit.OK
