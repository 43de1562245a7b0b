"""Bring a manifest into force: one transaction, all or nothing.

What the manifest names is written; streams of a named source that it no longer lists go. Secrets written in place
are sealed into the table `secret`, and the definitions keep only their names.
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from headwater.contracts.auth import Auth, SessionAuth
from headwater.contracts.codec import dumps
from headwater.contracts.destinations import NamedDestination
from headwater.contracts.endpoint import Endpoint
from headwater.contracts.endpoints import SecretWindow
from headwater.contracts.manifest import Manifest
from headwater.contracts.pinning import pinned
from headwater.contracts.source import Source, Stream
from headwater.control.applying_notifications import put_notification
from headwater.control.schedule_writing import write_calendar, write_schedule
from headwater.model.errors import SecretError
from headwater.model.ids import derive_key_id
from headwater.model.secret import Secret
from headwater.plugins.secret_text import SOUNDS_SECRET, names_in
from headwater.store import calendars, config, destinations
from headwater.store.keyring import Keyring

_NO_NAME = re.compile(r"[^A-Za-z0-9_.-]")


@dataclass(slots=True)
class Applied:
    """What was written, by kind."""

    tenant: str
    destinations: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    streams: list[str] = field(default_factory=list)
    schedules: list[str] = field(default_factory=list)
    calendars: list[str] = field(default_factory=list)
    endpoints: list[str] = field(default_factory=list)
    notifications: list[str] = field(default_factory=list)


async def apply_manifest(connection: Any, keyring: Keyring, manifest: Manifest) -> Applied:
    """Write the manifest in the caller's transaction (role `api`, its tenant set).

    Raises: ConfigError; then nothing is written, since the caller's transaction ends.
    """
    applied = Applied(manifest.tenant)
    await config.ensure_tenant(connection, manifest.tenant)
    for destination in manifest.destinations:
        await put_destination(connection, keyring, manifest.tenant, destination)
        applied.destinations.append(destination.name)
    for source in manifest.sources:
        await _source(connection, keyring, manifest.tenant, source, applied)
    for calendar in manifest.calendars:
        await write_calendar(connection, manifest.tenant, calendar)
        applied.calendars.append(calendar.name)
    if manifest.schedules:
        known = await calendars.definitions(connection, manifest.tenant)
    for schedule in manifest.schedules:
        await write_schedule(connection, manifest.tenant, schedule, known)
        applied.schedules.append(schedule.name)
    for endpoint in manifest.endpoints:
        await _endpoint(connection, keyring, manifest.tenant, endpoint)
        applied.endpoints.append(endpoint.name)
    for notification in manifest.notifications:
        await put_notification(connection, keyring, manifest.tenant, notification)
        applied.notifications.append(notification.name)
    await config.announce_change(connection, manifest.tenant)
    return applied


async def put_destination(
    connection: Any, keyring: Keyring, tenant: str, destination: NamedDestination
) -> bool:
    """Write the destination, its url sealed; True when it is new."""
    name, sealed = f"destination/{destination.name}/url", destination
    if destination.url is not None:
        url = await _sealed(connection, keyring, tenant, name, destination.url)
        sealed = destination.model_copy(update={"url": url})
    if sealed.url != f"${{secret:{name}}}":
        await config.drop_secrets_except(connection, tenant, name, ())
    definition = sealed.model_dump(mode="json", by_alias=True)
    return await destinations.put(connection, tenant, destination.name, definition)


async def _source(connection: Any, keyring: Keyring, tenant: str, source: Source, applied: Applied) -> None:
    auth = await _sealed_auth(connection, keyring, tenant, source.name, source.auth)
    sealed = source.model_copy(update={"auth": auth})
    definition = sealed.model_dump(mode="json", by_alias=True, exclude={"streams"})
    await config.put_source(connection, tenant, source.name, definition)
    known = await config.versions_of(connection, tenant, source.name)
    for stream in source.streams:
        await _stream(connection, tenant, sealed, stream, known)
        applied.streams.append(f"{source.name}.{stream.name}")
    await config.delete_streams_except(
        connection, tenant, source.name, [stream.name for stream in source.streams]
    )
    applied.sources.append(source.name)


async def _stream(
    connection: Any, tenant: str, source: Source, stream: Stream, known: Mapping[str, UUID]
) -> None:
    """Write the stream, unless it is at this version already: a source may have thousands of which one is changed."""
    plain = pinned(tenant, source, stream).model_dump(mode="json", by_alias=True)
    version = derive_key_id("stream_version", tenant, source.name, stream.name, dumps(plain))
    if known.get(stream.name) != version:
        await config.put_stream(connection, tenant, source.name, stream.name, version, plain)


async def _sealed_auth(connection: Any, keyring: Keyring, tenant: str, source: str, auth: Auth) -> Auth:
    """The auth with its secrets replaced by their names; also passwords and the like within a login's fields."""
    changed: dict[str, Any] = {}
    for name, described in type(auth).model_fields.items():
        extra, value = described.json_schema_extra, getattr(auth, name)
        place = f"source/{source}/auth/{described.alias or name}"
        if isinstance(extra, Mapping) and extra.get("x-secret") and isinstance(value, str) and value:
            changed[name] = await _sealed(connection, keyring, tenant, place, value)
        elif isinstance(auth, SessionAuth) and isinstance(value, Mapping):
            changed[name] = await _sealed_fields(connection, keyring, tenant, place, value)
    return auth.model_copy(update=changed)


async def _sealed_fields(
    connection: Any, keyring: Keyring, tenant: str, place: str, fields: Mapping[str, Any]
) -> dict[str, Any]:
    """`fields` with the texts whose names sound secret replaced by the names of secrets."""
    sealed: dict[str, Any] = {}
    for key, value in fields.items():
        here = f"{place}/{_NO_NAME.sub('_', key)[:60]}"
        if isinstance(value, Mapping):
            sealed[key] = await _sealed_fields(connection, keyring, tenant, here, value)
        elif isinstance(value, str) and value and SOUNDS_SECRET.search(key):
            sealed[key] = await _sealed(connection, keyring, tenant, here, value)
        else:
            sealed[key] = value
    return sealed


async def _sealed(connection: Any, keyring: Keyring, tenant: str, name: str, value: str) -> str:
    """`${secret:NAME}` for a value written in place; a text that already names a secret stays as it is."""
    if names_in(value):
        return value
    await config.put_secret(connection, keyring, tenant, name, Secret.of(value))
    return f"${{secret:{name}}}"


async def _places(
    connection: Any, keyring: Keyring, tenant: str, prefix: str, texts: Sequence[str]
) -> list[str]:
    """A name for each of the texts: a value that has one keeps it, so that its use stays known; a new value takes a
    free one, so that none is written over that still counts.
    """
    known: dict[str, Secret | None] = {}
    for row in await config.list_secrets(connection, tenant):
        if row["name"].startswith(prefix):
            known[row["name"]] = await _value(connection, keyring, tenant, row["name"])
    names = {secret.text(): name for name, secret in known.items() if secret is not None}
    free = (place for number in itertools.count() if (place := f"{prefix}{number}") not in known)
    places: list[str] = []
    for text in texts:
        is_named = bool(names_in(text))
        places.append(names.pop(text, "") or ("" if is_named else next(free)))
    return places


async def _value(connection: Any, keyring: Keyring, tenant: str, name: str) -> Secret | None:
    """The secret's value; None when it does not open: then nothing can be equal to it."""
    try:
        return (await config.get_secrets(connection, keyring, [(tenant, name)])).get((tenant, name))
    except SecretError:
        return None


async def _endpoint(connection: Any, keyring: Keyring, tenant: str, endpoint: Endpoint) -> None:
    prefix = f"endpoint/{endpoint.name}/secrets/"
    texts = [given.value if isinstance(given, SecretWindow) else given for given in endpoint.secrets]
    places = await _places(connection, keyring, tenant, prefix, texts)
    kept: list[str] = []
    sealed: list[str | SecretWindow] = []
    for given, text, place in zip(endpoint.secrets, texts, places, strict=True):
        named = await _sealed(connection, keyring, tenant, place, text)
        kept.append(named.removeprefix("${secret:").removesuffix("}"))
        sealed.append(given.model_copy(update={"value": named}) if isinstance(given, SecretWindow) else named)
    await config.drop_secrets_except(connection, tenant, prefix, kept)
    stored = endpoint.model_copy(update={"secrets": tuple(sealed)})
    await config.put_endpoint(
        connection, tenant, endpoint.name, stored.model_dump(mode="json", by_alias=True)
    )
