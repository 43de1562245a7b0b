"""What an answer looks like: where its records may be, how its pages may follow one another. A suggestion, no more."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from headwater.model.http import Response

_DEPTH = 4
_NEXT_URLS = frozenset(
    {
        "next",
        "next_url",
        "nexturl",
        "nextlink",
        "next_link",
        "@odata.nextlink",
        "next_page_url",
        "next_page",
        "href",
    }
)
_CURSORS = {
    "next_cursor": "cursor", "nextcursor": "cursor", "cursor": "cursor", "end_cursor": "after", "endcursor": "after",
    "after": "after", "nextpagetoken": "pageToken", "next_page_token": "page_token", "nexttoken": "nextToken",
    "next_token": "next_token", "continuation": "continuation", "continuationtoken": "continuationToken",
}  # fmt: skip
_HAS_MORE = frozenset({"has_more", "hasmore", "has_next", "hasnext", "hasnextpage", "more"})
_TOTALS = frozenset(
    {"total", "total_count", "totalcount", "count", "total_results", "totalresults", "total_records"}
)
_TOTAL_PAGES = frozenset({"total_pages", "totalpages", "page_count", "pagecount", "last_page", "pages"})
_PAGES = frozenset({"page", "current_page", "currentpage", "page_number"})
_OFFSETS = frozenset({"offset", "skip", "start"})
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LINK_NEXT = re.compile(r'rel\s*=\s*"?[^",]*\bnext\b', re.IGNORECASE)
Names = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Parts of a manifest that may fit, and what they were seen by. Empty where nothing was recognised."""

    records: Mapping[str, Any] = field(default_factory=dict)
    pagination: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""


def suggest(response: Response, document: Any) -> Suggestion:
    """What `response`, whose body is `document`, may be."""
    values = dict(_values(document))
    lists = {path: value for path, value in values.items() if isinstance(value, list) and _is_records(value)}
    longest = max(lists, key=lambda path: (len(lists[path]), -len(path)), default=None)
    records = {} if longest in {None, ()} else {"path": _path(longest or ())}
    rows = [] if longest is None else lists[longest]
    pagination, why = _pagination(response, values, rows)
    return Suggestion(records, pagination, why)


def _values(node: Any, path: Names = ()) -> Iterator[tuple[Names, Any]]:
    yield path, node
    if isinstance(node, dict) and len(path) < _DEPTH:
        for name, value in list(node.items())[:200]:
            yield from _values(value, (*path, name))


def _is_records(value: list[Any]) -> bool:
    return bool(value) and all(isinstance(item, dict) for item in value[:20])


def _path(names: Names) -> str:
    return ".".join(
        name if _PLAIN.fullmatch(name) else '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
        for name in names
    )


def _pagination(
    response: Response, values: Mapping[Names, Any], rows: list[Any]
) -> tuple[dict[str, Any], str]:
    link = response.header("link")
    if link is not None and _LINK_NEXT.search(link):
        return {"type": "link"}, 'the header Link names rel="next"'
    scalars = {path: value for path, value in values.items() if path and not isinstance(value, dict | list)}
    for way in (_relay, _next_url, _cursor, _keyset, _counted):
        found = way(scalars, rows)
        if found is not None:
            return found
    return {}, ""


def _of(scalars: Mapping[Names, Any], names: frozenset[str], kinds: type | tuple[type, ...]) -> Names | None:
    for path, value in scalars.items():
        is_bool = isinstance(value, bool) and kinds is not bool
        if path[-1].lower() in names and isinstance(value, kinds) and not is_bool:
            return path
    return None


_Found = tuple[dict[str, Any], str] | None


def _relay(scalars: Mapping[Names, Any], _: list[Any]) -> _Found:
    for path in scalars:
        if path[-1] == "hasNextPage" and (*path[:-1], "endCursor") in scalars:
            where = _path(path[:-1])
            return {"type": "graphql_relay", "page_info": where}, f"{where} holds hasNextPage and endCursor"
    return None


def _next_url(scalars: Mapping[Names, Any], _: list[Any]) -> _Found:
    for path, value in scalars.items():
        is_next = path[-1].lower() in _NEXT_URLS and (path[-1].lower() != "href" or "next" in path)
        if is_next and isinstance(value, str) and value.startswith(("http://", "https://", "/", "?")):
            return {"type": "next_url", "next_path": _path(path)}, f"{_path(path)} holds a URL"
    return None


def _cursor(scalars: Mapping[Names, Any], _: list[Any]) -> _Found:
    for path, value in scalars.items():
        name = path[-1].lower()
        if name == "next" and isinstance(value, str) and value:
            return {
                "type": "cursor",
                "cursor_path": _path(path),
            }, f"{_path(path)} holds a value for the next page"
        if name in _CURSORS and isinstance(value, str | int) and not isinstance(value, bool) and value != "":
            found = {"type": "cursor", "cursor_path": _path(path), "cursor_param": _CURSORS[name]}
            return found, f"{_path(path)} holds a value for the next page"
    return None


def _keyset(scalars: Mapping[Names, Any], rows: list[Any]) -> _Found:
    more = _of(scalars, _HAS_MORE, bool)
    if more is None or not rows or "id" not in rows[-1] or _of(scalars, _PAGES | _OFFSETS, int) is not None:
        return None
    found = {"type": "keyset", "key_path": "id", "key_param": "starting_after", "has_more": _path(more)}
    return found, f"{_path(more)} says whether there is more, and records have an id"


def _counted(scalars: Mapping[Names, Any], rows: list[Any]) -> _Found:
    total, pages = _of(scalars, _TOTALS, (int, str)), _of(scalars, _TOTAL_PAGES, int)
    more = _of(scalars, _HAS_MORE, bool)
    known: dict[str, Any] = {}
    if total is not None:
        known["total"] = _path(total)
    if more is not None:
        known["has_more"] = _path(more)
    page = _of(scalars, _PAGES, int)
    if page is not None or pages is not None:
        if pages is not None:
            known["total_pages"] = _path(pages)
        return {"type": "page", **known}, "the answer counts pages"
    offset = _of(scalars, _OFFSETS, int)
    if offset is not None or (total is not None and rows and str(scalars[total]) != str(len(rows))):
        return {"type": "offset", "size": max(1, len(rows)), **known}, "the answer counts records"
    return None
