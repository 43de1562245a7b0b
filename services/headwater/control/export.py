"""The configuration of a tenant as a manifest: importing it again changes nothing. Secrets are only named."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from pydantic import BaseModel

from headwater.contracts.calendars import Calendar
from headwater.contracts.destinations import NamedDestination
from headwater.contracts.endpoint import Endpoint
from headwater.contracts.notifications import Notification
from headwater.contracts.schedules import Schedule
from headwater.contracts.source import Source, Stream
from headwater.store import calendars, catalogue, config, destinations, notifications, schedules


async def manifest_of(connection: Any, tenant: str) -> dict[str, Any]:
    """The manifest as plain values, without what is default anyway."""
    streams: dict[str, list[Any]] = {}
    for row in await catalogue.all_streams(connection, tenant):
        streams.setdefault(row["source"], []).append(lean(Stream.model_validate(row["definition"]["stream"])))
    sources = []
    for row in await config.list_sources(connection, tenant):
        source = lean(Source.model_validate(row["definition"]))
        sources.append({**source, "streams": streams.get(row["name"], [])})
    return {
        "version": 1,
        "tenant": tenant,
        "destinations": _lean_all(NamedDestination, await destinations.every(connection, tenant)),
        "sources": sources,
        "schedules": _lean_all(Schedule, await schedules.list_schedules(connection, tenant)),
        "calendars": _lean_all(Calendar, await calendars.all_of(connection, tenant)),
        "endpoints": _lean_all(Endpoint, await config.list_endpoints(connection, tenant)),
        "notifications": _lean_all(
            Notification, await notifications.list_rules(connection, tenant, after=None, limit=100_000)
        ),
    }


def _lean_all(kind: type[BaseModel], rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [lean(kind.model_validate(row["definition"])) for row in rows]


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
