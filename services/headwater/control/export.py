"""The configuration of a tenant as a manifest: importing it again changes nothing. Secrets are only named."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import yaml
from pydantic import BaseModel

from headwater.contracts.calendars import Calendar
from headwater.contracts.destinations import NamedDestination
from headwater.contracts.endpoint import Endpoint
from headwater.contracts.manifest import Manifest
from headwater.contracts.notifications import Notification
from headwater.contracts.schedules import Schedule
from headwater.contracts.source import Source, Stream
from headwater.store import calendars, catalogue, config, destinations, notifications, schedules


async def manifest_of(connection: Any, tenant: str, beside: Manifest | None = None) -> dict[str, Any]:
    """The manifest as plain values, without what is default anyway.

    `beside`: only the kinds that it has parts of, and of schedules, which may be a million, only those that it names.
    """
    readers: Mapping[str, Callable[[], Awaitable[list[dict[str, Any]]]]] = {
        "destinations": lambda: _lean_all(NamedDestination, destinations.every(connection, tenant)),
        "sources": lambda: _sources(connection, tenant),
        "schedules": lambda: _schedules(connection, tenant, beside),
        "calendars": lambda: _lean_all(Calendar, calendars.all_of(connection, tenant)),
        "endpoints": lambda: _lean_all(Endpoint, config.list_endpoints(connection, tenant)),
        "notifications": lambda: _lean_all(
            Notification, notifications.list_rules(connection, tenant, after=None, limit=100_000)
        ),
    }
    found: dict[str, Any] = {"version": 1, "tenant": tenant}
    for kind, read in readers.items():
        found[kind] = await read() if beside is None or getattr(beside, kind) else []
    return found


async def _sources(connection: Any, tenant: str) -> list[dict[str, Any]]:
    streams: dict[str, list[Any]] = {}
    for row in await catalogue.all_streams(connection, tenant):
        streams.setdefault(row["source"], []).append(lean(Stream.model_validate(row["definition"]["stream"])))
    return [
        {**lean(Source.model_validate(row["definition"])), "streams": streams.get(row["name"], [])}
        for row in await config.list_sources(connection, tenant)
    ]


async def _schedules(connection: Any, tenant: str, beside: Manifest | None) -> list[dict[str, Any]]:
    if beside is None:
        return await _lean_all(Schedule, schedules.list_schedules(connection, tenant))
    names = [schedule.name for schedule in beside.schedules]
    known = await schedules.definitions(connection, tenant, names)
    return [lean(Schedule.model_validate(definition)) for definition in known.values()]


async def _lean_all(
    kind: type[BaseModel], reading: Awaitable[Sequence[Mapping[str, Any]]]
) -> list[dict[str, Any]]:
    return [lean(kind.model_validate(row["definition"])) for row in await reading]


def lean(model: BaseModel) -> dict[str, Any]:
    """The model's values by their names in the manifest, without defaults; what tells unions apart stays."""
    plain: dict[str, Any] = {}
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if value == field.get_default(call_default_factory=True, validated_data={}) and name != "type":
            continue
        plain[field.alias or name] = _plain(value)
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return lean(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def as_yaml(manifest: Mapping[str, Any] | list[Any], *, is_ascii: bool = False) -> bytes:
    """A manifest, or a part of one, as YAML. Texts of several lines stand as such; `is_ascii` escapes all else."""
    written = yaml.dump(manifest, Dumper=_Readable, sort_keys=False, allow_unicode=not is_ascii, width=100)
    return str(written).encode("utf-8")


class _Readable(yaml.SafeDumper):
    """Writes what stands in several places in each of them, and texts of several lines by their lines."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - of the base class
        return True


def _text(dumper: _Readable, value: str) -> yaml.Node:
    style = "|" if "\n" in value.rstrip("\n") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Readable.add_representer(str, _text)
