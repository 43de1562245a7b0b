"""Checks of sources and streams that need more than their form."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from headwater.contracts.destination import Destination
from headwater.contracts.fields import RecordField
from headwater.contracts.manifest import Manifest
from headwater.contracts.pagination import Pagination
from headwater.contracts.pinning import pinned
from headwater.contracts.source import Source, Stream
from headwater.control.finding import Finding, Path, header_fault, split_sentence
from headwater.control.validation_parents import in_lineage
from headwater.control.validation_streams import parts_that_clash
from headwater.http.addresses import parse_ranges
from headwater.model.errors import ConfigError, SourceError
from headwater.model.http import parse_url
from headwater.model.names import DEFAULT_TENANT
from headwater.plugins.expression_advice import mend_of
from headwater.plugins.expressions import compile_path
from headwater.plugins.mapping import Mapper
from headwater.plugins.secret_text import names_in
from headwater.plugins.walk.family import Family

_PLACE = re.compile(r"([a-z_]+(?:\.[a-z0-9_]+)*): ")
_REFERENCE = re.compile(r"\$\{(?!env:|secret:[^}\s]{1,200}\})[^}]{0,200}\}")
_EXPRESSIONS = ("cursor_path", "next_path", "total", "total_pages", "has_more", "key_path", "page_info")


def in_sources(manifest: Manifest) -> Iterator[Finding]:
    """What is wrong with the sources of the manifest and their streams."""
    yield from twice(("sources",), [source.name for source in manifest.sources], "source")
    for index, source in enumerate(manifest.sources):
        yield from _in_source(manifest.tenant, ("sources", index), source)


def twice(path: Path, names: Iterable[str], what: str) -> Iterator[Finding]:
    """Names that are given more than once, at each place but the first."""
    seen: Counter[str] = Counter()
    for index, name in enumerate(names):
        if seen[name]:
            yield Finding((*path, index, "name"), f"a {what} {name} is given twice", "rename one of them")
        seen[name] += 1


def _in_source(tenant: str, path: Path, source: Source) -> Iterator[Finding]:
    found = [*_base_url(path, source), *_ranges(path, source), *_auth(path, source)]
    found += _headers((*path, "headers"), source.headers)
    found += _references(path, source)
    found += twice((*path, "streams"), [stream.name for stream in source.streams], "stream")
    yield from found
    for index, stream in enumerate(source.streams):
        here = (*path, "streams", index)
        faults = [*_in_stream(here, stream), *in_lineage(here, source, stream)]
        yield from faults
        if faults or found:
            continue
        clashes = list(parts_that_clash(here, stream))
        yield from clashes or _as_a_whole(tenant, here, source, stream)


def _base_url(path: Path, source: Source) -> Iterator[Finding]:
    here = (*path, "base_url")
    try:
        if parse_url(source.base_url).raw_fragment:
            yield Finding(here, "has a fragment (#…), which is never sent", "leave it out")
    except SourceError as error:
        yield Finding(here, error.message, "write for example https://api.example.com/v1")


def _ranges(path: Path, source: Source) -> Iterator[Finding]:
    for index, text in enumerate(source.network.allow):
        try:
            parse_ranges([text])
        except ConfigError:
            mend = "write for example 10.0.0.0/8 or 192.168.1.7 (no bits set behind the mask)"
            yield Finding((*path, "network", "allow", index), f"{text[:60]!r} is no address range", mend)


def _auth(path: Path, source: Source) -> Iterator[Finding]:
    auth: Any = source.auth
    if auth.type == "bearer":
        yield from _header((*path, "auth", "token"), "Authorization", auth.token.strip())
    elif auth.type == "api_key" and auth.place == "header":
        yield from _header((*path, "auth", "name"), auth.name, "")
        yield from _header((*path, "auth", "value"), "X-API-Key", auth.value)
    elif auth.type == "api_key" and auth.place == "cookie":
        yield from _header((*path, "auth", "name"), auth.name, "")
        yield from _header((*path, "auth", "value"), "Cookie", auth.value)


def _header(path: Path, name: str, value: str) -> Iterator[Finding]:
    fault = header_fault(name, value)
    if fault is not None:
        yield Finding(path, *fault)


def _references(path: Path, source: Source) -> Iterator[Finding]:
    """What looks like a reference in the places where secrets stand, and is none."""
    shown = source.model_dump(mode="json", by_alias=True, include={"base_url", "auth", "headers"})
    for place, text in texts_of(shown):
        for reference in _REFERENCE.findall(text):
            yield Finding(
                (*path, *place),
                f"{reference[:60]!r} is sent as it stands",
                "write ${env:NAME} or ${secret:NAME}",
            )


def _headers(path: Path, headers: dict[str, str]) -> Iterator[Finding]:
    seen: set[str] = set()
    for name, value in headers.items():
        yield from _header((*path, name), name, value)
        if name.lower() in seen:
            yield Finding((*path, name), f"{name} is given twice: headers know no upper case", "keep one")
        seen.add(name.lower())


def _in_stream(path: Path, stream: Stream) -> Iterator[Finding]:
    yield from _headers((*path, "request", "headers"), stream.request.headers)
    if stream.records is not None:
        for name in ("path", "filter"):
            text = getattr(stream.records, name)
            if text is not None:
                yield from wrong_expression((*path, "records", name), text)
    yield from _fields(path, stream)
    yield from _pages((*path, "pagination"), stream.pagination)
    errors = stream.errors
    for name, text in (("if", errors.when), ("message", errors.message), ("pending", errors.pending)):
        if text is not None:
            yield from wrong_expression((*path, "errors", name), text)
    if stream.destination is not None:
        yield from _in_destination((*path, "destination"), stream)
    if stream.incremental is not None:
        for name in ("field", "token_path", "id"):
            text = getattr(stream.incremental, name)
            if text is not None:
                yield from wrong_expression((*path, "incremental", name), text)


def _fields(path: Path, stream: Stream) -> Iterator[Finding]:
    """Fields that cannot be, and a destination that names one which its rows do not have."""
    try:
        Mapper(stream.fields, keep_rest=stream.rest == "keep")
    except ConfigError as error:
        match = _PLACE.match(str(error))
        what, mend = split_sentence(str(error)[match.end() if match else 0 :])
        place = (
            [int(part) if part.isdigit() else part for part in match[1].split(".")] if match else ["fields"]
        )
        yield Finding((*path, *place), what, mend or "see https://jmespath.org for its rules")
        return
    destination = stream.destination
    if destination is None:
        return
    yield from hidden_fields(path, destination, stream.fields)
    if not stream.fields or stream.rest == "keep":
        return
    there = {rule.name for rule in stream.fields}
    if stream.parent is not None:
        there |= {field.name for field in stream.parent.include}
    yield from unknown_fields((*path, "destination"), destination, there)


def unknown_fields(path: Path, destination: Destination, there: AbstractSet[str]) -> Iterator[Finding]:
    """Fields that the destination names and its rows do not have; `there` are all that they have."""
    named: list[tuple[str, str | None]] = [("key", name) for name in destination.key]
    named += [("children", name) for name in destination.children]
    named += [("order_by", destination.order_by), ("deleted_field", destination.deleted_field)]
    for option, name in named:
        if name is not None and name not in there:
            yield Finding((*path, option), f"no field {name!r} is in `fields`", "add it, or correct the name")


def hidden_fields(path: Path, destination: Destination, fields: Sequence[RecordField]) -> Iterator[Finding]:
    """Fields that the destination goes by and that are hidden, so that all records look alike, or without order; `path`
    is where `fields` stand.
    """
    for index, rule in enumerate(fields):
        how = "mask" if rule.mask else "hash" if rule.hash else None
        if how == "mask" and rule.name in destination.key:
            what = "the key is masked, so that all records would be one row"
            yield Finding((*path, "fields", index, how), what, "use `hash`, which keeps them apart")
        elif how is not None and rule.name in {destination.order_by, destination.deleted_field}:
            what = f"the destination goes by {rule.name!r}, which is hidden here"
            yield Finding(
                (*path, "fields", index, how), what, "leave it as it is, or name another field there"
            )


def _in_destination(path: Path, stream: Stream) -> Iterator[Finding]:
    if (
        stream.destination is not None
        and stream.destination.mode == "replace"
        and stream.cursor_rule is not None
    ):
        yield Finding(
            (*path, "mode"),
            "mode replace keeps only what a run brings, and an incremental run brings only what is new",
            "use mode merge, or leave out incremental",
        )


def _pages(path: Path, pagination: Pagination) -> Iterator[Finding]:
    if pagination.type == "window":
        yield from _pages((*path, "pages"), pagination.pages)
    for name in _EXPRESSIONS:
        text = getattr(pagination, name, None)
        if text is not None:
            yield from wrong_expression((*path, name), text)
    for name, text in (getattr(pagination, "cursor_params", None) or {}).items():
        yield from wrong_expression((*path, "cursor_params", name), text)


def wrong_expression(path: Path, text: str) -> Iterator[Finding]:
    """What is wrong with a JMESPath expression."""
    try:
        compile_path(text)
    except ConfigError as error:
        what = " ".join(str(error).split())[:300]
        is_syntax = "is no JMESPath" in what
        yield Finding(path, what, mend_of(text)) if is_syntax else Finding(path, *split_sentence(what))


def _as_a_whole(tenant: str, path: Path, source: Source, stream: Stream) -> Iterator[Finding]:
    """What only shows when the stream is put together as for a run."""
    try:
        Family(pinned(tenant, source, stream))
    except (ConfigError, SourceError) as error:
        text = str(error)
        place = next((place for word, place in _SPOKEN_OF if text.startswith(word)), ())
        yield Finding((*path, *place), *split_sentence(text))


_SPOKEN_OF: tuple[tuple[str, Path], ...] = (
    ("request.path", ("request", "path")),
    ("pagination", ("pagination",)),
    ("incremental", ("incremental",)),
    ("request", ("request",)),
)


def destinations_of(manifest: Manifest) -> Iterator[tuple[Path, str, Destination]]:
    """Every use of a destination: its place, whose it is, and what it says."""
    for i, source in enumerate(manifest.sources):
        for j, stream in enumerate(source.streams):
            path = ("sources", i, "streams", j, "destination")
            if stream.destination is not None:
                yield path, f"{source.name}.{stream.name}", stream.destination
    for i, endpoint in enumerate(manifest.endpoints):
        if endpoint.destination is not None:
            yield ("endpoints", i, "destination"), f"endpoint {endpoint.name}", endpoint.destination
        for j, table in enumerate(endpoint.tables):
            path = ("endpoints", i, "tables", j, "destination")
            yield path, f"endpoint {endpoint.name}", table.destination


def texts_of(value: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Every text in a document, with its path."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from texts_of(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from texts_of(item, (*path, index))


def unknown_secrets(document: Any, tenant: str, known: frozenset[str]) -> Iterator[Finding]:
    """References to secrets that the tenant does not have."""
    whose = "" if tenant == DEFAULT_TENANT else f" --tenant {tenant}"
    for path, text in texts_of(document):
        for name in names_in(text):
            if name not in known:
                yield Finding(
                    path,
                    f"secret {name!r} is not there",
                    f"set it (headwater secrets set {name}{whose}), or correct the name",
                )
