"""`import crontab|cronjob`: schedules of other systems as a manifest, on standard output or brought into force."""

import argparse
import sys
from typing import Any

import yaml

from headwater.cli import configuring
from headwater.cli.cronjobs import read_cronjobs
from headwater.cli.crontab import read_crontab
from headwater.cli.exits import Exit
from headwater.cli.foreign import Note, manifest_of
from headwater.cli.reading import read_text
from headwater.contracts.manifest_text import parse_manifest
from headwater.contracts.problem import ManifestError
from headwater.control.validation import check
from headwater.model.schedule import find_zone
from headwater.settings import Settings

_SYSTEM = ("/etc/crontab", "/etc/cron.d/")


async def execute_import(chosen: argparse.Namespace, settings: Settings) -> int:
    """Read, tell what was not taken (standard error), and print the manifest or apply it."""
    text = read_text(chosen.file)
    if chosen.timezone is not None:
        find_zone(chosen.timezone)
    if chosen.kind == "crontab":
        has_users = True if chosen.system is None and chosen.file.startswith(_SYSTEM) else chosen.system
        jobs, notes = read_crontab(text, timezone=chosen.timezone, has_users=has_users)
    else:
        jobs, notes = read_cronjobs(text, timezone=chosen.timezone)
    made = manifest_of(
        jobs,
        notes,
        source=chosen.source,
        base_url=chosen.base_url,
        tenant=chosen.tenant,
        applies=chosen.apply,
    )
    notes.sort(key=lambda note: note.line)
    for note in notes:
        print(f"{chosen.file}:{note.line}: {note.text}", file=sys.stderr)
    if not jobs:
        print(f"{chosen.file}: no schedule was found", file=sys.stderr)
        return Exit.FAILURE
    written = as_yaml(made, notes)
    if not chosen.apply:
        sys.stdout.write(written)
        return Exit.OK
    manifest, document = parse_manifest(written, "imported manifest", {})
    problems = check(manifest, document)
    if problems:
        raise ManifestError(problems)
    chosen.json = False
    return await configuring.apply(chosen, settings, (manifest, document))


def as_yaml(manifest: dict[str, Any], notes: list[Note]) -> str:
    """The manifest, with the notes before it."""
    comments = "".join(f"# line {note.line}: {' '.join(note.text.split())}\n" for note in notes)
    return comments + yaml.dump(manifest, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=100)


class _Plain(yaml.SafeDumper):
    """Writes what stands in several places in each of them, for people to change."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - of the base class
        return True
