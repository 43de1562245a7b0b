"""The pages of a behaviour: a position and a size in, status, headers and document out."""

import base64
import json
import time
from collections import Counter
from collections.abc import Mapping
from email.utils import formatdate
from typing import Any

from aiohttp import web

from headwater.app.hostile.behaviour import Behaviour, Fault, Record, record
from headwater.app.hostile.writing import written

_ENDS: Mapping[str, Any] = {
    "absent": ..., "empty": "", "false": False, "text_null": "null", "text_false": "False",
}  # fmt: skip


class Pages:
    """The pages of one behaviour: a position and size in, status, headers and document out."""

    def __init__(self, behaviour: Behaviour, base: str) -> None:
        self.behaviour = behaviour
        self.base = base
        self.seen: Counter[int] = Counter()
        self.kept = 0  # the place, where it is the API that keeps it

    def answer(self, query: Mapping[str, str]) -> web.Response | str:
        style = self.behaviour
        if style.style == "window" and (refusal := self._outside(query)) is not None:
            return refusal
        if style.next == "pair" and query.get("cursor") and query.get("mark") != query["cursor"][::-1]:
            return web.json_response({"error": "which of them?"}, status=400)
        if style.alone and "cursor" in query and len(query) > 1:
            return web.json_response({"error": "a cursor goes without other parameters"}, status=400)
        start, size, page = self._position(query)
        self.seen[page] += 1
        for fault in style.faults:
            if fault.page == page and self.seen[page] <= fault.times:
                return _fault(fault)
        self.kept = start + size
        rows = [record(n, style.records) for n in range(start, min(start + size, style.count))]
        there = style.count
        if style.style == "window":
            within = self._between(query)
            there, rows = len(within), within[start : start + size]
        if page in style.holes:
            rows = []
        if page in style.thin:
            rows = rows[: len(rows) // 2]
        if start >= style.count and page > 1:
            beyond = self._past_end(query)
            if isinstance(beyond, web.Response):
                return beyond
            rows = rows if beyond is None else beyond
        return self._respond(rows, start, size, page, there)

    def _position(self, query: Mapping[str, str]) -> tuple[int, int, int]:
        style = self.behaviour
        size = min(int(query.get("limit") or style.cap), style.cap)
        if style.same_page:
            return 0, size, 1
        if style.style in {"offset", "none"}:
            start = int(query.get("offset") or style.base) - style.base
        elif style.style == "keyset":
            start = self._after(query.get("after"))
        elif style.style == "window":
            start = int(query.get("offset") or 0)
        elif style.next == "same":
            start = self.kept if "cursor" in query else 0
        elif style.style == "page":
            start = (int(query.get("page") or 1) - 1) * size
        else:
            start = _uncursor(query.get("cursor") or "") + (
                100 if style.next == "zero" and "cursor" in query else 0
            )
        return start, size, start // size + 1

    def _after(self, key: str | None) -> int:
        """The position behind a key; with twins the key is that of two records."""
        if key is None:
            return 0
        if self.behaviour.twins:
            return 2 * int(key) + 2
        return int(key) + (0 if self.behaviour.inclusive else 1)

    def _between(self, query: Mapping[str, str]) -> list[Any]:
        """The records changed in the slice that is asked for: its beginning belongs to it, its end does not."""
        every = [record(n) for n in range(self.behaviour.count)]
        return [one for one in every if query["from"] <= one["updated_at"] < query["to"]]

    def _outside(self, query: Mapping[str, str]) -> web.Response | None:
        if self.behaviour.past_end == "404" and not self._between(query):
            return web.json_response({"detail": "nothing in there"}, status=404)
        start, size, _ = self._position(query)
        if 0 < self.behaviour.most < start + size:
            text = f"Only the first {self.behaviour.most} results are available"
            return web.json_response({"message": text}, status=422)
        return None

    def _past_end(self, query: Mapping[str, str]) -> web.Response | list[Any] | None:
        style = self.behaviour
        size = min(int(query.get("limit") or style.cap), style.cap)
        match style.past_end:
            case "404":
                return web.json_response({"detail": "Invalid page."}, status=404)
            case "204":
                return web.Response(status=204)
            case "last":
                begin = (style.count - 1) // size * size
                return [record(n) for n in range(begin, style.count)]
            case "first":
                return [record(n) for n in range(size)]
        return None

    def _respond(self, rows: list[Any], start: int, size: int, page: int, there: int) -> web.Response:
        style = self.behaviour
        headers: dict[str, str] = {}
        document: dict[str, Any] = {}
        is_last = start + size >= style.count
        own = {
            "own": len(rows),
            "left": max(style.count - start, 0),
            "slice": there,
        }  # the first two are none
        facts = {
            "total": own[style.total] if style.total in own else _told(style.total, style.count, page),
            "pages": _told(style.total_pages, -(-style.count // size), page),
        }
        for name, value in facts.items():
            if value is not None and style.totals_in_headers:
                headers[f"X-{name}"] = str(value)
            elif value is not None:
                document[name] = None if value == "null" else value
        if style.has_more:
            more = not is_last or style.has_more == "always"
            document["has_more"] = {"text": str(more).lower(), "number": int(more), "null": None}.get(
                style.has_more, more
            )
        self._point(document, headers, start, size, is_last=is_last)
        list_ = rows[0] if style.last_alone and len(rows) == 1 else rows
        if not rows and page > 1 and style.past_end == "null":
            list_ = None
        if not rows and page > 1 and style.past_end == "false":
            list_ = False
        if style.style == "relay":
            return _relay(rows, start + size, is_last=is_last, has_errors=page in style.errors_on)
        whole = _enveloped(document, style, list_, drop=not rows and page > 1 and style.past_end == "absent")
        return written(whole, {**style.headers, **headers}, style, page)

    def _point(
        self, document: Record, headers: dict[str, str], start: int, size: int, *, is_last: bool
    ) -> None:
        """The way to the next page, for the styles in which the answer names it."""
        style = self.behaviour
        if style.style not in {"cursor", "next_url", "link"}:
            return
        following = start if style.next == "self" and start > 0 else start + size
        if style.next == "cycle" and start >= 2 * size:
            following = size
        if style.next == "same":
            following, is_last = 0, False
        if is_last and style.next not in {"cycle", "self"}:
            value: Any = _ENDS.get(style.next)
        elif style.style == "cursor":
            value = _cursor(following, style.next)
        else:
            value = self._url(following, size)
        if style.next == "pair":  # two values lead on, each in a parameter of its own
            document["mark"] = None if value is None else value[::-1]
        if style.style == "link":
            if style.next == "no_results":  # there is always a link, which says what is behind it
                headers["Link"] = (
                    f'<{self._url(following, size)}>; rel="next"; results="{str(not is_last).lower()}"'
                )
            elif isinstance(value, str) and value:
                if style.next == "no_brackets":
                    headers["Link"] = f'{value}; rel="next"'
                    return
                rel = "rel='next'" if style.next == "single_quotes" else 'REL="last Next"'
                headers["Link"] = f'<{self.base}?a=1,2>; rel="first", <{value}>; title="a,b"; {rel}'
        elif style.next_in_header:
            if isinstance(value, str):
                headers["X-Next"] = value
        elif value is not ...:
            document["next"] = value

    def _url(self, start: int, size: int) -> str:
        query = f"cursor={_cursor(start, 'plain')}&limit={size}"
        match self.behaviour.next:
            case "relative":
                return f"?{query}"
            case "templated":  # as HAL has it (RFC 6570)
                return f"{self.base}?{query}{{&size,sort*}}"
            case "foreign":
                return f"{self.behaviour.other}/items?{query}"
        return f"{self.base}?{query}"


def _relay(rows: list[Any], following: int, *, is_last: bool, has_errors: bool) -> web.Response:
    """A GraphQL connection, on some pages with errors beside it (GraphQL §7.1.2)."""
    edges = [{"node": row, "cursor": _cursor(row["id"], "plain")} for row in rows]
    page_info = {"hasNextPage": not is_last, "endCursor": _cursor(following, "plain")}
    errors = {"errors": [{"message": "no stock", "path": ["shop", "items", "edges", 0, "node", "stock"]}]}
    data = {"shop": {"items": {"edges": edges, "pageInfo": page_info}}}
    return web.json_response({"data": data, **(errors if has_errors else {})})


def _told(form: str, true: int, page: int) -> Any:
    forms: dict[str, Any] = {
        "": None, "number": true, "text": str(true), "float": float(true), "zero": 0, "minus": -1, "null": "null",
        "words": "many", "low": 50, "commas": f"{true:,}", "range": f"items 0-9/{true}",
        "first_page": true if page == 1 else None, "grows": true - max(30 - 10 * page, 0) if page < 3 else true,
        "shrinks": true + max(30 - 10 * page, 0), "high": true + 1000,
    }  # fmt: skip
    return forms[form]


def _cursor(start: int, form: str) -> Any:
    if form in {"number", "zero"}:  # with zero the second page is at cursor 0
        return start - (100 if form == "zero" else 0)
    if form == "object":
        return {"after": start}
    if form == "nul":
        return f"at\0{start}"
    return base64.urlsafe_b64encode(f"at {start}".encode()).decode()


def _uncursor(text: str) -> int:
    if not text:
        return 0
    if text.isdigit():
        return int(text)
    if text.startswith("{"):
        return int(json.loads(text)["after"])
    return int(base64.urlsafe_b64decode(text).decode().removeprefix("at "))


def _enveloped(document: Record, style: Behaviour, rows: Any, *, drop: bool) -> Any:
    if not style.envelope:
        return rows
    inner = document
    *outer, name = style.envelope.split(".")
    for key in outer:
        inner = inner.setdefault(key, {})
    if not drop:
        inner[name] = rows
    return document


def _fault(fault: Fault) -> web.Response | str:
    if isinstance(fault.kind, str):
        return fault.kind
    headers = {name: _timed(value) for name, value in fault.headers.items()}
    if any(value.startswith("@") for value in fault.headers.values()):
        headers["Date"] = _timed("@date+0")
    return web.Response(status=fault.kind, headers=headers, text=fault.body, content_type="application/json")


def _timed(value: str) -> str:
    """A time from now on in the form that is asked for."""
    form, _, seconds = value.partition("+")
    moment = int(time.time()) + int(seconds or 0)
    forms = {
        "@date": formatdate(moment, usegmt=True),
        "@epoch": str(moment),
        "@epoch_ms": str(moment * 1000),
    }
    return forms.get(form, value)
