"""What goes by a name: signature schemes, handshakes, time specifications."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from headwater.contracts.base import Closed
from headwater.control.paging import ListQuery, after_name, listing, token_of
from headwater.control.problems import not_found
from headwater.control.route import Answer, Call, Desk, Reply
from headwater.model.schedule import PRESETS, describe, parse_timetable
from headwater.plugins.signatures.handshakes import compile_handshake, handshake_names
from headwater.plugins.signatures.presets import preset_names, preset_row

Kind = Literal["signature", "handshake", "schedule"]


class PresetsQuery(ListQuery):
    """Presets by kind and name."""

    kind: Kind | None = None
    q: Annotated[str | None, Field(max_length=64, description="A part of name or description.")] = None


class PresetQuery(Closed):
    """Where a name stands for several things, which of them."""

    kind: Kind | None = None


class Preset(Answer):
    """A signature scheme, a handshake or a time specification that goes by a name."""

    kind: Kind
    name: str
    description: str
    definition: dict[str, Any]


def _signature(name: str) -> Mapping[str, Any]:
    row = preset_row(name)
    description = str(row.get("provider") or name)
    return {"kind": "signature", "name": name, "description": description, "definition": dict(row)}


def _schedule(name: str) -> Mapping[str, Any]:
    found = PRESETS[name]
    definition: dict[str, Any] = (
        {"interval": found.interval} if found.interval else {"crons": list(found.crons)}
    )
    description = describe(parse_timetable(preset=name))
    return {"kind": "schedule", "name": name, "description": description, "definition": definition}


def _handshake(name: str) -> Mapping[str, Any]:
    found = compile_handshake(name)
    methods = sorted(found.methods)
    how = "after its signature is verified" if found.signed else "as it comes, unsigned"
    return {
        "kind": "handshake",
        "name": name,
        "description": f"{', '.join(methods)}, answered {how}",
        "definition": {"methods": methods, "signed": found.signed},
    }


_MAKERS: Mapping[str, Any] = {"signature": _signature, "schedule": _schedule, "handshake": _handshake}


def _names() -> list[tuple[str, str]]:
    return sorted(
        [("handshake", name) for name in handshake_names()]
        + [("schedule", name) for name in PRESETS]
        + [("signature", name) for name in preset_names()]
    )


async def list_presets(_: Desk, call: Call[PresetsQuery, None]) -> Reply:
    query = call.query
    after = after_name(query, "presets") or ""
    rows: list[Mapping[str, Any]] = []
    for kind, name in _names():
        if len(rows) > query.limit:
            break
        if f"{kind} {name}" <= after or query.kind not in (None, kind):
            continue
        row = _MAKERS[kind](name)
        if query.q is None or query.q.lower() in f"{name} {row['description']}".lower():
            rows.append(row)
    return Reply(
        listing(rows, query.limit, dict, lambda row: token_of("presets", f"{row['kind']} {row['name']}"))
    )


async def show_preset(_: Desk, call: Call[PresetQuery, None]) -> Reply:
    """By its name; signature schemes come before handshakes, these before times."""
    name, wanted = call.path["preset"], call.query.kind
    there = {kind for kind, each in _names() if each == name}
    for kind in ("signature", "handshake", "schedule"):
        if kind in there and wanted in (None, kind):
            return Reply(_MAKERS[kind](name))
    raise not_found("preset")
