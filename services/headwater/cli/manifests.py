"""Commands that read a manifest: whether it is right, and what it changes."""

import argparse
import os
import sys

from headwater.app.ground import has_broker
from headwater.cli import configuring, looking
from headwater.cli.exits import Exit
from headwater.cli.printing import print_json
from headwater.cli.reading import read_text
from headwater.contracts.json_text import manifest_as_yaml
from headwater.contracts.manifest import Manifest
from headwater.contracts.manifest_text import Document, parse_manifest
from headwater.contracts.problem import ManifestError, Problem
from headwater.control.finding import Surroundings
from headwater.control.validation import MINIMUM_INTERVAL_S, check, doubts
from headwater.settings import Settings, read_settings


def checked(chosen: argparse.Namespace) -> tuple[Manifest, Document]:
    """The manifest of a command. Raises: ManifestError with everything that is wrong with it.

    How often schedules may be due is the tenant's to say, and asked where its configuration is at hand.
    """
    text = manifest_as_yaml(read_text(chosen.file, "manifest"))
    manifest, document = parse_manifest(text, chosen.file, os.environ)
    problems = _problems(manifest, document, minimum_interval_s=0)
    if problems:
        raise ManifestError(problems)
    return manifest, document


def _problems(manifest: Manifest, document: Document, minimum_interval_s: float) -> list[Problem]:
    around = Surroundings(
        has_broker=has_broker(read_settings()), minimum_interval_s=minimum_interval_s, knows_minimum=False
    )
    return check(manifest, document, around)


async def _validate(chosen: argparse.Namespace, _: Settings) -> int:
    try:
        manifest, document = checked(chosen)
    except ManifestError as error:
        if not chosen.json:
            raise
        print_json({"valid": False, "errors": [looking.problem(item) for item in error.problems]})
        return Exit.USAGE
    streams = sum(len(source.streams) for source in manifest.sources)
    too_often = _problems(manifest, document, MINIMUM_INTERVAL_S)  # all else was found to be right
    warnings = [*too_often, *doubts(manifest, document)]
    if chosen.json:
        print_json({"valid": True, "errors": [], "warnings": [looking.problem(item) for item in warnings]})
    else:
        for item in warnings:
            print(f"warning: {item}", file=sys.stderr)
        counted = f"{len(manifest.sources)} sources, {streams} streams, {len(manifest.schedules)} schedules"
        print(f"{chosen.file}: valid ({counted}, {len(manifest.endpoints)} endpoints)")
    return Exit.OK


async def _apply(chosen: argparse.Namespace, settings: Settings) -> int:
    return await configuring.apply(chosen, settings, checked(chosen))


async def _plan(chosen: argparse.Namespace, settings: Settings) -> int:
    return await configuring.plan(chosen, settings, checked(chosen))


async def _export(chosen: argparse.Namespace, settings: Settings) -> int:
    return await configuring.export(chosen, settings)


MANIFEST_COMMANDS = {"validate": _validate, "apply": _apply, "plan": _plan, "export": _export}
