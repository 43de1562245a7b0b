"""Checks of streams that are asked for once for each record of another stream."""

import re
from collections.abc import Iterator
from typing import Any

from headwater.contracts.pinning import LineageError, lineage_of
from headwater.contracts.source import Source, Stream
from headwater.control.finding import Finding, Path
from headwater.model.errors import ConfigError
from headwater.plugins.expressions import compile_path
from headwater.plugins.walk.templates import TEMPLATE, expressions_of

_MEND = "write for example {parent.id}: a field of the parent's records (JMESPath) behind `parent.`"
_LIKE_ONE = re.compile(r"\{\s*_?parent\b[^}]*\}?")


def in_lineage(path: Path, source: Source, stream: Stream) -> Iterator[Finding]:
    """What is wrong between a stream and its parent."""
    if stream.parent is None:
        for place, text in _texts(stream):
            if _LIKE_ONE.search(text):
                what = f"{_LIKE_ONE.findall(text)[0][:60]} names a parent, and the stream has none"
                yield Finding((*path, *place), what, "give `parent: {stream: …}`, or leave it out")
        return
    try:
        lineage_of(source, stream)
    except LineageError as error:
        yield Finding((*path, "parent", "stream"), error.what, error.mend)
        return
    yield from _templates(path, stream)
    yield from _included(path, stream)


def _templates(path: Path, stream: Stream) -> Iterator[Finding]:
    is_wrong = False
    for place, text in _texts(stream):
        for expression in TEMPLATE.findall(text):
            for fault in _fault(expression):
                is_wrong = True
                yield Finding((*path, *place), fault, "see https://jmespath.org for its rules")
        rest = _LIKE_ONE.search(TEMPLATE.sub("", text))
        if rest is not None:
            is_wrong = True
            yield Finding((*path, *place), f"{rest[0][:60]} is no field of the parent", _MEND)
    query = stream.request.graphql.query if stream.request.graphql is not None else ""
    if TEMPLATE.search(query):
        is_wrong = True
        what = "the query's text is sent as it is, a parent's field is none of it"
        mend = 'give it as a variable: variables: {id: "{parent.id}"}'
        yield Finding((*path, "request", "graphql", "query"), what, mend)
    if not is_wrong and not expressions_of(stream.request):
        what = "nothing in the request names the parent, so that it would be the same for each of its records"
        yield Finding(
            (*path, "parent"),
            what,
            "name one of its fields in request.path, params, headers or json: {parent.id}",
        )


def _included(path: Path, stream: Stream) -> Iterator[Finding]:
    assert stream.parent is not None
    named = {rule.name for rule in stream.fields}
    for index, field in enumerate(stream.parent.include):
        here = (*path, "parent", "include", index)
        for fault in _fault(field.path):
            yield Finding(here, fault, "see https://jmespath.org for its rules")
        if field.name in named:
            what = f"{field.name!r} is a field of `fields` too"
            yield Finding(here, what, "name one of them otherwise: include: {another_name: path}")
    if stream.parent.include and stream.destination is None:
        yield Finding(
            (*path, "parent", "include"),
            "what is included goes into a table",
            "give a `destination`, or leave it out",
        )


def _fault(expression: str) -> Iterator[str]:
    try:
        compile_path(expression)
    except ConfigError as error:
        yield " ".join(str(error).split())[:300]


def _texts(stream: Stream) -> Iterator[tuple[Path, str]]:
    """The texts of a request that may hold templates."""
    request = stream.request
    yield ("request", "path"), request.path
    if request.url is not None:
        yield ("request", "url"), request.url
    places: list[tuple[Path, Any]] = [
        (("request", "params"), request.params),
        (("request", "headers"), request.headers),
        (("request", "json"), request.body),
        (("request", "form"), request.form),
        (("request", "text"), request.text),
    ]
    if request.graphql is not None:
        places.append((("request", "graphql", "variables"), request.graphql.variables))
    for place, value in places:
        yield from _within(place, value)


def _within(place: Path, value: Any) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _within((*place, name), item)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _within((*place, index), item)
