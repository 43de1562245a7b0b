"""What is wrong with a manifest beyond its form: the same checks for the API, the CLI and the import."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from headwater.contracts.destination import Destination
from headwater.contracts.destinations import NamedDestination
from headwater.contracts.manifest import Manifest
from headwater.contracts.manifest_text import MAX_PROBLEMS, Document
from headwater.contracts.problem import Problem
from headwater.control.finding import Finding, Path, Surroundings
from headwater.control.reading import faults_in
from headwater.control.validation_chains import in_chains
from headwater.control.validation_destinations import in_destinations
from headwater.control.validation_doubts import in_doubt
from headwater.control.validation_endpoints import in_endpoints
from headwater.control.validation_notifications import in_notifications
from headwater.control.validation_schedules import in_calendars, in_schedules
from headwater.control.validation_sources import destinations_of, in_sources, unknown_secrets
from headwater.control.validation_tables import in_tables, named_with
from headwater.store import calendars, catalogue, config, destinations, notifications, schedules

MINIMUM_INTERVAL_S = 60
ALONE = Surroundings()


def check(
    manifest: Manifest, document: Document, around: Surroundings = ALONE, now: datetime | None = None
) -> list[Problem]:
    """Every problem of a manifest that was read from `document`, at its place; empty when it can be applied.

    Without `around` nothing is said about what only a database knows. `now` defaults to the machine's clock.
    It may take seconds for large manifests: keep it off the event loop.
    """
    moment = now or datetime.now(UTC)
    # a lone surrogate in a text makes later checks meaningless
    found = [Finding(path, fault, "write it anew") for path, fault in faults_in(document.value)]
    if not found:
        found = [
            *in_destinations(manifest, around),
            *in_sources(manifest),
            *in_tables(manifest, around),
            *in_calendars(manifest),
            *in_schedules(manifest, around, moment),
            *in_endpoints(manifest),
            *in_chains(manifest, around),
            *in_notifications(manifest, around),
            *_unknown_streams(manifest, around),
        ]
        if around.secrets is not None:
            found += unknown_secrets(document.value, manifest.tenant, around.secrets)
    return _placed(found, document)


def doubts(manifest: Manifest, document: Document, around: Surroundings = ALONE) -> list[Problem]:
    """What may well be wrong with a manifest that can be applied, at its place."""
    return _placed(list(in_doubt(manifest, around)), document)


def _placed(found: list[Finding], document: Document) -> list[Problem]:
    problems = [
        document.problem(_as_written(each.path, document.value), each.what, each.mend, each.part)
        for each in found[:MAX_PROBLEMS]
    ]
    return sorted(problems, key=lambda problem: (problem.line, problem.column))


def _as_written(path: Path, node: Any) -> Path:
    """The path in the document: the items of a list may be written as a mapping of their names."""
    written: Path = ()
    for part in path:
        if isinstance(node, dict) and isinstance(part, int) and 0 <= part < len(node):
            part = list(node)[part]  # noqa: PLW2901 - the same part, by its name
        written = (*written, part)
        try:
            node = node[part]
        except (KeyError, IndexError, TypeError):
            node = None
    return written


async def surroundings(
    connection: Any, tenant: str, manifest: Manifest | None = None, *, has_broker: bool | None = None
) -> Surroundings:
    """What the database knows of the tenant and of the manifest's schedules; `has_broker` is known to the caller."""
    row = await catalogue.get_tenant(connection, tenant)
    settings = row["settings"] if row is not None else {}
    known = {
        row["name"]: NamedDestination.model_validate(row["definition"])
        for row in await destinations.every(connection, tenant)
    }
    names = frozenset(secret["name"] for secret in await config.list_secrets(connection, tenant))
    return Surroundings(
        streams=await catalogue.stream_names(connection, tenant),
        secrets=names,
        notifications=await notifications.rule_names(connection, tenant),
        minimum_interval_s=settings.get("minimum_interval_s", MINIMUM_INTERVAL_S),
        after=await catalogue.schedules_after(connection, tenant),
        with_cursor=await catalogue.streams_with_cursor(connection, tenant),
        destinations=known,
        has_broker=has_broker,
        calendars=await calendars.definitions(connection, tenant),
        loading=await _loading(connection, tenant, manifest),
        turned=await _turned(connection, tenant, manifest, known),
        stored=await schedules.definitions(
            connection, tenant, [schedule.name for schedule in manifest.schedules] if manifest else []
        ),
    )


async def _turned(
    connection: Any, tenant: str, manifest: Manifest | None, known: Mapping[str, NamedDestination]
) -> dict[str, list[str]]:
    """The users of those destinations that the manifest makes something else of."""
    found = {}
    for one in manifest.destinations if manifest else ():
        before = known.get(one.name)
        if before is not None and (before.kind, before.is_far) != (one.kind, one.is_far):
            found[one.name] = await destinations.users(connection, tenant, one.name)
    return found


async def _loading(connection: Any, tenant: str, manifest: Manifest | None) -> list[tuple[str, Destination]]:
    """What loads the tables of the manifest besides what it defines."""
    if manifest is None:
        return []
    used = [(each.table, each.children) for _, _, each in destinations_of(manifest) if each.table is not None]
    if not used:
        return []
    tables = named_with(
        [table for table, _ in used], [(table, field) for table, fields in used for field in fields]
    )
    sources = [source.name for source in manifest.sources]
    endpoints = [endpoint.name for endpoint in manifest.endpoints]
    rows = await catalogue.loading(connection, tenant, tables, sources, endpoints)
    return [(holder, Destination.model_validate(destination)) for holder, destination in rows]


def _unknown_streams(manifest: Manifest, around: Surroundings) -> Iterator[Finding]:
    """Streams that schedules and endpoints name and nobody defines."""
    # a source that the manifest names keeps only the streams it lists: what the database has of it does not count
    listed = frozenset(
        f"{source.name}.{stream.name}" for source in manifest.sources for stream in source.streams
    )
    named = frozenset(source.name for source in manifest.sources)
    for path, stream in _named_streams(manifest):
        is_elsewhere = stream.partition(".")[0] not in named
        if stream not in listed and not (
            is_elsewhere and (around.streams is None or stream in around.streams)
        ):
            mend = "define it under its source, or correct the name"
            yield Finding(path, f"there is no stream {stream}", mend)


def _named_streams(manifest: Manifest) -> Iterator[tuple[Path, str]]:
    for i, schedule in enumerate(manifest.schedules):
        for j, stream in enumerate(schedule.streams):
            yield ("schedules", i, "streams", j), stream
    for i, endpoint in enumerate(manifest.endpoints):
        for j, start in enumerate(endpoint.starts):
            yield ("endpoints", i, "starts", j, "stream"), start.stream
