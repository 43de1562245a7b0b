"""Checks of how the parts of one stream go together: who sets a parameter, what fills a path, what a cursor can be."""

import re
from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

from headwater.contracts.pagination import Pagination, WindowPagination
from headwater.contracts.source import Stream
from headwater.control.finding import Finding, Path
from headwater.model.errors import ConfigError, SourceError
from headwater.plugins.paginators import Begin, paginator_for
from headwater.plugins.paginators.base import Parameter
from headwater.plugins.walk.cursor import CursorField
from headwater.plugins.walk.request import names_in_path, put

_ROWS = frozenset({"csv", "ndjson"})
_IN_BODY = ("cursor_path", "next_path", "page_info", "total", "total_pages", "has_more")
_INSTEAD = {
    "cursor_path": "give cursor_header, or page by offset, page or link",
    "next_path": "page by link, offset or page",
    "total": "give total_header, or leave it out",
    "total_pages": "give total_pages_header, or leave it out",
}
_OF_PAGES = (
    "offset_param",
    "page_param",
    "cursor_param",
    "key_param",
    "size_param",
    "start_param",
    "end_param",
)
_OF_CURSOR = ("param", "end_param", "id_param")
_MOST_SLICES = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parts_that_clash(path: Path, stream: Stream) -> Iterator[Finding]:
    """What is wrong between the parts of a stream whose expressions are right."""
    try:
        paginator = paginator_for(stream.pagination)
        asked = paginator.asked(paginator.first(Begin(_EPOCH))).parameters
    except (ConfigError, SourceError):
        return  # told where the stream is looked at as a whole
    yield from _parameters(path, stream, asked)
    yield from _path(path, stream, asked)
    yield from _cursor(path, stream)
    yield from _format(path, stream)
    yield from _variables(path, stream)
    yield from _bodies(path, stream)
    if stream.pagination.type == "window":
        yield from _slices((*path, "pagination"), stream.pagination)


def _parameters(path: Path, stream: Stream, asked: tuple[Parameter, ...]) -> Iterator[Finding]:
    """A parameter that two parts of the stream set."""
    named = stream.request.names
    in_query = {one.name for one in asked if one.place == "query" and one.name and not named(one.word)}
    for name in stream.request.params:
        if name in in_query:
            mend = "leave it out here, or name the pagination's parameter otherwise"
            yield Finding((*path, "request", "params", name), f"pagination sets {name!r} on every page", mend)
    if stream.incremental is None or stream.incremental.param is None:
        return
    name = stream.incremental.param
    if stream.incremental.place != "query":
        if (
            stream.incremental.place == "json"
            and stream.request.method == "GET"
            and stream.request.graphql is None
        ):
            yield Finding(
                (*path, "incremental", "in"), "a GET has no body to put it in", "set request.method: POST"
            )
        return
    if name in in_query:
        yield Finding(
            (*path, "incremental", "param"), f"pagination sets {name!r} too", "name one of them otherwise"
        )
    elif name in stream.request.params:
        yield Finding(
            (*path, "request", "params", name),
            f"incremental sets {name!r} from the second run on",
            "leave it out here, and give its first value as incremental.start",
        )


def _path(path: Path, stream: Stream, asked: tuple[Parameter, ...]) -> Iterator[Finding]:
    filled = {one.name for one in asked if one.place == "path" and one.name}
    for name in sorted(names_in_path(stream.request.path) - filled):
        yield Finding(
            (*path, "request", "path"),
            f"nothing fills {{{name}}}",
            "write the value, or let the pagination fill it (`in: path`)",
        )


def _format(path: Path, stream: Stream) -> Iterator[Finding]:
    """Paths into a body that is a list of rows, and a delimiter where there is none."""
    records = stream.records
    if records is None:
        return
    if records.format != "csv" and "delimiter" in records.model_fields_set:
        mend = "set records.format: csv, or leave it out"
        yield Finding((*path, "records", "delimiter"), f"{records.format} has no delimiter", mend)
    if records.format not in _ROWS:
        return
    if records.path is not None:
        what = f"a body of {records.format} is the list of records itself"
        yield Finding((*path, "records", "path"), what, "leave it out; `fields` choose within a record")
    pages, here = stream.pagination, (*path, "pagination")
    if pages.type == "window":
        pages, here = pages.pages, (*here, "pages")
    for name in _IN_BODY:
        if getattr(pages, name, None) is not None:
            what = f"a body of {records.format} has no place beside its records"
            yield Finding((*here, name), what, _INSTEAD.get(name, "leave it out"))


def _variables(path: Path, stream: Stream) -> Iterator[Finding]:
    """A GraphQL query that does not take the cursor, so that every page is the first one."""
    pages, here = stream.pagination, (*path, "pagination")
    if pages.type == "window":
        pages, here = pages.pages, (*here, "pages")
    graphql = stream.request.graphql
    if graphql is None or pages.type != "graphql_relay":
        return
    if not re.search(rf"\${re.escape(pages.cursor_param)}\b", graphql.query):
        yield Finding(
            (*path, "request", "graphql", "query"),
            f"has no variable ${pages.cursor_param}, by which pages are asked for",
            f"declare it and pass it on: query(${pages.cursor_param}: String) {{ …(after: ${pages.cursor_param}) … }}",
        )


def _bodies(path: Path, stream: Stream) -> Iterator[Finding]:
    """Parameters that have no place in the JSON body; some are sent from the second page or run on only."""
    pages, here = stream.pagination, (*path, "pagination")
    request, rule = stream.request, stream.incremental
    body: Any = request.body if isinstance(request.body, list) else dict(request.body or {})
    if request.graphql is not None:
        body = {"query": request.graphql.query, "variables": request.graphql.variables}
    named = [((*here, name), getattr(pages, name, None)) for name in _OF_PAGES if _is_in_body(pages)]
    if pages.type == "window" and _is_in_body(pages.pages):
        named += [((*here, "pages", name), getattr(pages.pages, name, None)) for name in _OF_PAGES]
    if rule is not None and rule.place == "json":
        named += [((*path, "incremental", name), getattr(rule, name)) for name in _OF_CURSOR]
    for place, name in named:
        if name is None:
            continue
        try:
            put(deepcopy(body), name.split("."), "")
        except SourceError as error:
            what = f"{name!r} leads nowhere in the body: {error.message.removeprefix('request.json: ')}"
            mend = (
                "dots lead into objects and numbers into lists (filters.0.value): correct it, or request.json"
            )
            yield Finding(place, what, mend)


def _is_in_body(pages: Pagination) -> bool:
    return getattr(pages, "place", None) == "json" and pages.type != "graphql_relay"


def _slices(path: Path, pagination: WindowPagination) -> Iterator[Finding]:
    """Slices that cannot be, or are far too many."""
    if pagination.end is not None and pagination.end <= pagination.start:
        yield Finding(
            (*path, "end"), "must be after `start`", "give a later instant, or leave it out for now"
        )
        return
    if pagination.end_param is not None and pagination.end_param == pagination.start_param:
        what = "is the parameter of the beginning too"
        yield Finding((*path, "end_param"), what, "name the parameter that asks for what is older")
    until = pagination.end or max(datetime.now(UTC), pagination.start)
    count = int((until - pagination.start).total_seconds()) // pagination.step_s
    if count > _MOST_SLICES:
        what = f"from `start` on that makes {count:,} slices"
        yield Finding((*path, "step_s"), what, "make them longer, or begin later")


def _cursor(path: Path, stream: Stream) -> Iterator[Finding]:
    config = stream.incremental
    if config is None:
        return
    here = (*path, "incremental")
    if config.lookback_s and config.format == "integer":
        what = "a look-back in seconds means nothing for a cursor that is a number"
        yield Finding((*here, "lookback_s"), what, "use format epoch_s or epoch_ms, or leave it out")
    key = () if stream.destination is None else stream.destination.key
    if config.id_param is not None and config.id is None and len(key) != 1:
        what = "nothing says which field tells records apart, so that it would never be sent"
        yield Finding((*here, "id_param"), what, "name that field: incremental.id")
    if config.start is None or config.param is None:
        return
    try:
        CursorField(config).parameters(config.start)
    except (SourceError, ValueError):
        yield Finding(
            (*here, "start"),
            f"{str(config.start)[:60]!r} cannot be written in the format {config.format}",
            "write an instant such as 2024-01-01T00:00:00Z, or a number for format integer",
        )
    except ConfigError:
        return
