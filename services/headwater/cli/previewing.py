"""`preview`: the first pages of a stream, on the screen."""

import argparse
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict
from typing import Any

from headwater.app.clock import SystemClock
from headwater.app.ground import keyring_for
from headwater.cli.exits import Exit
from headwater.cli.faults import NotFound
from headwater.cli.opening import open_means
from headwater.cli.printing import print_fields, print_json, print_table
from headwater.contracts.codec import dumps
from headwater.contracts.manifest import Manifest
from headwater.contracts.pinning import pinned
from headwater.contracts.source import StreamDefinition
from headwater.control.previewing import ERROR, MAX_PAGES, MORE, preview
from headwater.http.client import HttpClient
from headwater.model.errors import ConfigError
from headwater.model.run import StopReason
from headwater.model.secret import Secret
from headwater.plugins.secret_text import names_in
from headwater.plugins.walk.preview import Exchange, Preview
from headwater.settings import Settings
from headwater.store import config
from headwater.store.database import Database


async def preview_stream(chosen: argparse.Namespace, settings: Settings, manifest: Manifest | None) -> int:
    """Ask, show, forget. The database is only asked for what the manifest does not say."""
    if not 1 <= chosen.pages <= MAX_PAGES:
        raise ConfigError(f"--pages {chosen.pages}: give a number from 1 to {MAX_PAGES}")
    given = None if manifest is None else _definition_in(manifest, chosen.stream)
    definition, secrets = await _with_secrets(chosen, settings, given)
    clock = SystemClock()
    async with HttpClient(clock) as client:
        seen = await preview(definition, secrets, client, clock, pages=chosen.pages)
    if chosen.json:
        print_json(asdict(seen))
    else:
        _show(seen)
    return Exit.FAILURE if seen.ended == ERROR else Exit.OK


def _definition_in(manifest: Manifest, name: str) -> StreamDefinition:
    for source in manifest.sources:
        for stream in source.streams:
            if f"{source.name}.{stream.name}" == name:
                return pinned(manifest.tenant, source, stream)
    raise NotFound(f"the manifest has no stream {name!r} (write source.stream)")


async def _with_secrets(
    chosen: argparse.Namespace, settings: Settings, given: StreamDefinition | None
) -> tuple[StreamDefinition, Mapping[str, Secret]]:
    if given is not None and not _names(given):
        return given, {}
    async with AsyncExitStack() as stack:
        means = await stack.enter_async_context(open_means(settings))
        worker = Database(means.database_url, "headwater_worker", size=1)
        await worker.open()
        stack.push_async_callback(worker.close)
        definition = given or await _definition_of(worker, chosen.tenant, chosen.stream)
        names = _names(definition)
        if not names:
            return definition, {}
        keyring = keyring_for(settings, means)
        async with worker.connection() as connection:
            found = await config.get_secrets(
                connection, keyring, [(definition.tenant, name) for name in names]
            )
    return definition, {name: secret for (_, name), secret in found.items()}


def _names(definition: StreamDefinition) -> tuple[str, ...]:
    return names_in(dumps(definition.model_dump(mode="json", by_alias=True)).decode())


async def _definition_of(worker: Database, tenant: str, name: str) -> StreamDefinition:
    async with worker.connection() as connection:
        for row in await config.list_streams(connection, tenant):
            if f"{row['source']}.{row['name']}" == name:
                stored = await config.get_version(connection, row["version_id"])
                return StreamDefinition.model_validate(stored)
    raise NotFound(f"there is no stream {name!r} (write source.stream), or name its file with --manifest")


def _show(seen: Preview) -> None:
    for exchange in seen.exchanges:
        _show_exchange(exchange)
    if seen.columns:
        print("Columns")
        print_table(("column", "type", "field"), seen.columns, empty="")
        print("\nFirst rows")
        names = [name for _, _, name in seen.columns][:8]
        rows = [[row.get(name) for name in names] for row in seen.rows if isinstance(row, dict)]
        print_table(names, rows, empty="none")
        print()
    print(f"Ended       {_ended(seen.ended)}")
    if seen.suggestion.records or seen.suggestion.pagination:
        parts: dict[str, Any] = {}
        if seen.suggestion.records:
            parts["records"] = dict(seen.suggestion.records)
        if seen.suggestion.pagination:
            parts["pagination"] = dict(seen.suggestion.pagination)
        print("Suggestion  by the look of the first answer; try it before you trust it")
        for name, value in parts.items():
            print(f"  {name}: {dumps(value).decode()}")
        if seen.suggestion.why:
            print(f"  ({seen.suggestion.why})")
    print("Nothing was written.")


def _ended(reason: str) -> str:
    if reason == MORE:
        return "not ended: there is more"
    return reason if reason == ERROR else f"{reason}: {StopReason(reason).words}"


def _show_exchange(exchange: Exchange) -> None:
    print(f"Page {exchange.number}: {exchange.method} {exchange.url}")
    shown: dict[str, Any] = {f"> {name}": value for name, value in exchange.headers}
    if exchange.body:
        shown["> body"] = exchange.body
    if exchange.status is not None:
        shown["status"] = exchange.status
        shown |= {f"< {name}": value for name, value in exchange.answer_headers}
        shown["answer"] = f"{exchange.answer_bytes} bytes: {exchange.answer[:300]}"
        shown["records"] = (
            f"{exchange.received} received, {exchange.taken} taken, {len(exchange.rejected)} rejected"
        )
    if exchange.rejected:
        shown["rejected"] = "; ".join(exchange.rejected)
    if exchange.warnings:
        shown["warnings"] = ", ".join(exchange.warnings)
    if exchange.error:
        shown["error"] = exchange.error
    print_fields(shown)
    print()
