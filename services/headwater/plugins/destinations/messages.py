"""Records as messages of an exchange: routing keys, ids, CloudEvents headers. Pure.

A record that is sent again as it was has the same message id: subscribers that remember ids see each record once.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from headwater.contracts.codec import dumps
from headwater.contracts.destinations import NamedDestination
from headwater.model.errors import ConfigError, ContractError
from headwater.model.ids import derive_id, derive_key_id
from headwater.model.topics import word

MAX_MESSAGE_BYTES = 1024 * 1024  # what headwater sends in one message; brokers take 16 MiB at most
MAX_KEY_BYTES = 255  # AMQP 0-9-1: a routing key is a short string
RECORD_TYPE = "headwater.record"
PAGE_TYPE = "headwater.records"
_HOLE = re.compile(r"\{([^{}]*)\}")
_PATH = re.compile(r"[^.{}\s]+(?:\.[^.{}\s]+)*")
_OUR_NAMES = frozenset({"tenant", "source", "stream", "endpoint"})


@dataclass(frozen=True, slots=True)
class Origin:
    """Where records come from. `identity` tells their page or delivery from all others; `subject` is its address.

    `words` are what `{_.name}` stands for. `key` are the fields that make out a record, where it has such.
    """

    words: Mapping[str, str]
    source: str
    subject: str
    at: datetime
    identity: tuple[object, ...]
    key: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message, ready to be sent."""

    id: UUID
    routing_key: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Rendered:
    """The messages of some records, and those that could not be one: index and reason."""

    messages: list[Outgoing] = field(default_factory=list)
    rejected: list[tuple[int, str]] = field(default_factory=list)


def template_fault(definition: NamedDestination) -> tuple[str, str] | None:
    """What is wrong with the routing key, and the mend."""
    template = definition.routing_key
    if template is None:
        return None
    left = _HOLE.sub("", template)
    if "{" in left or "}" in left:
        return f"{template!r} has a brace without its other half", "write {field} for a field of the record"
    for name in _HOLE.findall(template):
        if not _PATH.fullmatch(name):
            return f"{{{name}}} names no field", "write {field}, or {outer.inner} for one within another"
        first, _, rest = name.partition(".")
        if first == "_" and rest not in _OUR_NAMES:
            known = ", ".join(f"{{_.{each}}}" for each in sorted(_OUR_NAMES))
            return f"{{{name}}} is not known", f"use one of {known}"
        if first != "_" and definition.message == "page":
            return (
                f"a page has many records, so {{{name}}} says nothing",
                "use {_.…} only, or `message: record`",
            )
    if not left.isascii() or any(letter.isspace() or not letter.isprintable() for letter in left):
        return f"{template!r} holds blanks or letters that are not ASCII", "use A-Z a-z 0-9 _ - and dots"
    return None


def render(definition: NamedDestination, origin: Origin, records: Sequence[Any]) -> Rendered:
    """The messages of `records`, which are those of one page or delivery, in order."""
    made = Rendered()
    bodies: list[tuple[int, bytes]] = []
    for index, record in enumerate(records):
        try:
            body = dumps(record)
        except ContractError as error:
            made.rejected.append((index, str(error)))
            continue
        if len(body) > MAX_MESSAGE_BYTES - 2:
            what = f"has {len(body)} bytes as JSON; a message has {MAX_MESSAGE_BYTES} at most"
            made.rejected.append((index, what))
        else:
            bodies.append((index, body))
    if definition.message == "page":
        made.messages.extend(_pages(definition, origin, bodies))
    else:
        for index, body in bodies:
            _add_record(made, definition, origin, index, records[index], body)
    return made


def _add_record(
    made: Rendered, definition: NamedDestination, origin: Origin, index: int, record: Any, body: bytes
) -> None:
    key = routing_key(definition, origin, record)
    if len(key) > MAX_KEY_BYTES:
        made.rejected.append((index, f"its routing key has {len(key)} bytes; {MAX_KEY_BYTES} is the most"))
        return
    lacks = [name for name in origin.key if not isinstance(record, Mapping) or record.get(name) is None]
    if lacks:
        made.rejected.append((index, f"has no {lacks[0]!r}, which is its key"))
        return
    digest = hashlib.sha256(body).digest()
    if origin.key:
        identity = [dumps(record[name]) for name in origin.key]
        identifier = derive_key_id("record", *_scope(origin), *identity, digest)
    else:
        identifier = derive_id(origin.at, "record", *origin.identity, index, digest)
    subject = f"{origin.subject}/records/{index}"
    made.messages.append(Outgoing(identifier, key, _headers(identifier, RECORD_TYPE, origin, subject), body))


def _scope(origin: Origin) -> tuple[str, ...]:
    return tuple(value for _, value in sorted(origin.words.items()))


def _pages(
    definition: NamedDestination, origin: Origin, bodies: Sequence[tuple[int, bytes]]
) -> list[Outgoing]:
    """One message for all, or as many as their size makes necessary."""
    key = routing_key(definition, origin, None)[:MAX_KEY_BYTES]
    made: list[Outgoing] = []
    part: list[tuple[int, bytes]] = []
    size = 2
    for index, body in bodies:
        if part and size + len(body) + 1 > MAX_MESSAGE_BYTES:
            made.append(_page(key, origin, part))
            part, size = [], 2
        part.append((index, body))
        size += len(body) + 1
    if part:
        made.append(_page(key, origin, part))
    return made


def _page(key: str, origin: Origin, part: Sequence[tuple[int, bytes]]) -> Outgoing:
    body = b"[" + b",".join(one for _, one in part) + b"]"
    first = part[0][0]
    identifier = derive_id(origin.at, "records", *origin.identity, first, hashlib.sha256(body).digest())
    subject = origin.subject if not first else f"{origin.subject}/records/{first}"
    headers = {**_headers(identifier, PAGE_TYPE, origin, subject), "headwater-records": str(len(part))}
    return Outgoing(identifier, key, headers, body)


def _headers(identifier: UUID, kind: str, origin: Origin, subject: str) -> dict[str, str]:
    return {
        "tenant": origin.words["tenant"],
        "cloudEvents:specversion": "1.0",
        "cloudEvents:id": str(identifier),
        "cloudEvents:type": kind,
        "cloudEvents:source": origin.source,
        "cloudEvents:subject": subject,
        "cloudEvents:time": origin.at.isoformat(),
        "cloudEvents:datacontenttype": "application/json",
    }


def routing_key(definition: NamedDestination, origin: Origin, record: Any) -> str:
    """The routing key of a record (None: of a page). Raises: ConfigError for a template that cannot be."""
    if definition.routing_key is None:
        names = ("tenant", "source", "stream", "endpoint")
        return ".".join(word(origin.words[name]) for name in names if name in origin.words)
    fault = template_fault(definition)
    if fault is not None:
        raise ConfigError(f"destination {definition.name}: routing_key: {fault[0]}; {fault[1]}")

    def filled(match: re.Match[str]) -> str:
        first, _, rest = match[1].partition(".")
        if first == "_":
            return word(origin.words.get(rest, "_"))
        return _value(record, match[1])

    return _HOLE.sub(filled, definition.routing_key)


def _value(record: Any, path: str) -> str:
    """The field as a word; `_` for what is missing or no plain value."""
    value = record
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float | Decimal):
        return word(str(value))
    return "_"
