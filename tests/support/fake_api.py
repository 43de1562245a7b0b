"""A paged API that misbehaves in the ways real ones do, over real HTTP, with its behaviours as data.

In tests: `async with FakeApi(behaviours) as api` and walk `api.url("name")`. By hand:
`python -m tests.support.fake_api --port 8099` serves every case of `hostile_cases.py` under `/{name}/items`.
"""

import argparse
import asyncio
import base64
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Fault:
    """Answers that come instead of page `page` (from 1), the first `times` times it is asked for.

    `kind` is a status, or `cut` (the body ends early) or `reset` (the connection ends without an answer).
    """

    page: int
    kind: int | str
    times: int = 1
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = "{}"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One way of being an API. The words of each field are explained where they are read, in `Pages`."""

    style: str = "offset"  # offset, page, cursor, next_url, link, none, keyset, relay
    count: int = 230
    cap: int = 100  # the largest page the server gives, whatever it is asked for
    past_end: str = "empty"  # empty, null, absent, 404, 204, last, first
    total: str = ""  # number, text, float, zero, minus, null, first_page, grows, shrinks, high
    total_pages: str = ""  # number, text, first_page
    has_more: str = ""  # bool, text, number, always
    totals_in_headers: bool = False
    next: str = "plain"  # plain, absent, empty, false, zero, number, object, self, cycle, foreign, relative, plain_http
    next_in_header: bool = False
    holes: tuple[int, ...] = ()  # pages that come empty in the middle
    thin: tuple[int, ...] = ()  # pages whose rows were filtered after paging
    same_page: bool = False  # the position is ignored
    envelope: str = "items"  # a dotted path; "" = the body is the list
    last_alone: bool = False  # a page of one record comes as the record itself, not as a list
    body: str = "plain"  # plain, bom, text, latin1, latin1_label, utf16, false_gzip
    records: str = "plain"  # plain, big, mixed
    faults: tuple[Fault, ...] = ()
    needs: str = ""  # the exact value of Authorization, else 401
    other: str = ""  # base URL of another origin, for foreign links


def record(number: int, kind: str = "plain") -> Any:
    """Record `number` of the collection, the same whenever it is asked for."""
    if kind == "mixed" and number % 50 == 7:
        return f"record {number} is no object"
    made: Record = {
        "id": number,
        "name": f"Zoë {number}",
        "updated_at": f"2024-03-{1 + number % 28:02}T00:00:00Z",
    }
    if kind == "big":
        made |= {"big": 2**63 + number, "price": json.loads(f"{number}.25")}
    return made


class Pages:
    """The pages of one behaviour: a position and size in, status, headers and document out."""

    def __init__(self, behaviour: Behaviour, base: str) -> None:
        self.behaviour = behaviour
        self.base = base
        self.seen: Counter[int] = Counter()

    def answer(self, query: Mapping[str, str]) -> web.Response | str:
        style = self.behaviour
        if style.style == "window" and (refusal := self._outside(query)) is not None:
            return refusal
        start, size, page = self._position(query)
        self.seen[page] += 1
        for fault in style.faults:
            if fault.page == page and self.seen[page] <= fault.times:
                return _fault(fault)
        rows = [record(n, style.records) for n in range(start, min(start + size, style.count))]
        if style.style == "window":
            there = self._between(query)
            rows = there[start : start + size]
        if page in style.holes:
            rows = []
        if page in style.thin:
            rows = rows[: len(rows) // 2]
        if start >= style.count and page > 1 and (refusal := self._past_end(query)) is not None:
            if not isinstance(refusal, list):
                return refusal
            rows = refusal
        return self._respond(rows, start, size, page)

    def _position(self, query: Mapping[str, str]) -> tuple[int, int, int]:
        style = self.behaviour
        size = min(int(query.get("limit") or style.cap), style.cap)
        if style.same_page:
            return 0, size, 1
        if style.style in {"offset", "none"}:
            start = int(query.get("offset") or 0)
        elif style.style == "keyset":
            start = int(query.get("after") or -1) + 1
        elif style.style == "window":
            start = int(query.get("offset") or 0)
        elif style.style == "page":
            start = (int(query.get("page") or 1) - 1) * size
        else:
            start = _uncursor(query.get("cursor") or "") + (
                100 if style.next == "zero" and "cursor" in query else 0
            )
        return start, size, start // size + 1

    def _between(self, query: Mapping[str, str]) -> list[Any]:
        """The records changed in the slice that is asked for: its beginning belongs to it, its end does not."""
        every = [record(n) for n in range(self.behaviour.count)]
        return [one for one in every if query["from"] <= one["updated_at"] < query["to"]]

    def _outside(self, query: Mapping[str, str]) -> web.Response | None:
        if self.behaviour.past_end == "404" and not self._between(query):
            return web.json_response({"detail": "nothing in there"}, status=404)
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

    def _respond(self, rows: list[Any], start: int, size: int, page: int) -> web.Response:
        style = self.behaviour
        headers: dict[str, str] = {}
        document: dict[str, Any] = {}
        is_last = start + size >= style.count
        facts = {
            "total": _told(style.total, style.count, page),
            "pages": _told(style.total_pages, -(-style.count // size), page),
        }
        for name, value in facts.items():
            if value is not None and style.totals_in_headers:
                headers[f"X-{name}"] = str(value)
            elif value is not None:
                document[name] = None if value == "null" else value
        if style.has_more:
            more = not is_last or style.has_more == "always"
            document["has_more"] = {"text": str(more).lower(), "number": int(more)}.get(style.has_more, more)
        self._point(document, headers, start, size, is_last=is_last)
        list_ = rows[0] if style.last_alone and len(rows) == 1 else rows
        if not rows and page > 1 and style.past_end == "null":
            list_ = None
        if style.style == "relay":
            return _relay(rows, start + size, is_last=is_last)
        whole = _enveloped(document, style, list_, drop=not rows and page > 1 and style.past_end == "absent")
        return _encoded(whole, headers, style.body)

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
        if is_last and style.next not in {"cycle", "self"}:
            value: Any = {"absent": ..., "empty": "", "false": False}.get(style.next)
        elif style.style == "cursor":
            value = _cursor(following, style.next)
        else:
            value = self._url(following, size)
        if style.style == "link":
            if isinstance(value, str) and value:
                headers["Link"] = f'<{self.base}?a=1,2>; rel="first", <{value}>; title="a,b"; REL="last Next"'
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
            case "foreign":
                return f"{self.behaviour.other}/items?{query}"
        return f"{self.base}?{query}"


def _relay(rows: list[Any], following: int, *, is_last: bool) -> web.Response:
    """A GraphQL connection."""
    edges = [{"node": row, "cursor": _cursor(row["id"], "plain")} for row in rows]
    page_info = {"hasNextPage": not is_last, "endCursor": _cursor(following, "plain")}
    return web.json_response({"data": {"shop": {"items": {"edges": edges, "pageInfo": page_info}}}})


def _told(form: str, true: int, page: int) -> Any:
    forms: dict[str, Any] = {
        "": None, "number": true, "text": str(true), "float": float(true), "zero": 0, "minus": -1, "null": "null",
        "first_page": true if page == 1 else None, "grows": true - max(30 - 10 * page, 0) if page < 3 else true,
        "shrinks": true + max(30 - 10 * page, 0), "high": true + 1000,
    }  # fmt: skip
    return forms[form]


def _cursor(start: int, form: str) -> Any:
    if form in {"number", "zero"}:  # with zero the second page is at cursor 0
        return start - (100 if form == "zero" else 0)
    if form == "object":
        return {"after": start}
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


def _encoded(document: Any, headers: dict[str, str], form: str) -> web.Response:
    text = json.dumps(document, ensure_ascii=False)
    body, kind = text.encode(), "application/json"
    match form:
        case "bom":
            body = b"\xef\xbb\xbf" + body
        case "text":
            kind = "text/plain"
        case "latin1":
            body, kind = text.encode("latin-1"), "application/json; charset=ISO-8859-1"
        case "latin1_label":
            kind = "application/json; charset=ISO-8859-1"
        case "utf16":
            body = text.encode("utf-16")
        case "false_gzip":
            headers = headers | {"Content-Encoding": "gzip"}
    return web.Response(body=body, headers=headers | {"Content-Type": kind})


def _fault(fault: Fault) -> web.Response | str:
    if isinstance(fault.kind, str):
        return fault.kind
    return web.Response(
        status=fault.kind, headers=dict(fault.headers), text=fault.body, content_type="application/json"
    )


class FakeApi:
    """The behaviours by name, served on 127.0.0.1. `requests` keeps what was asked, in order."""

    def __init__(self, behaviours: Mapping[str, Behaviour], port: int = 0) -> None:
        self._behaviours = behaviours
        self._pages: dict[str, Pages] = {}
        self._wanted_port = port
        self.port = 0
        self.requests: list[tuple[str, str, dict[str, str]]] = []

    def url(self, name: str = "") -> str:
        """The base URL of the API called `name`; its stream is `items` below it."""
        return f"http://127.0.0.1:{self.port}" + (f"/{name}" if name else "")

    def asked_of(self, name: str) -> list[dict[str, str]]:
        """The headers of every request to the API called `name`."""
        return [headers for asked, _, headers in self.requests if asked == name]

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{name}/items", self._handle)
        app.router.add_route("*", "/items", self._handle)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._wanted_port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info.get("name", "")
        self.requests.append((name, str(request.rel_url), dict(request.headers)))
        behaviour = self._behaviours.get(name, Behaviour())
        if behaviour.needs and request.headers.get("Authorization") != behaviour.needs:
            return web.json_response({"error": "who are you?"}, status=401)
        pages = self._pages.setdefault(name, Pages(behaviour, f"{self.url(name)}/items"))
        answer = pages.answer(await _asked(request))
        if isinstance(answer, web.Response):
            return answer
        return await _broken(request, answer)


async def _asked(request: web.Request) -> dict[str, str]:
    """What is asked for, wherever it stands: query, JSON body (GraphQL variables too), headers."""
    asked = dict(request.query)
    if request.can_read_body:
        document = await request.json()
        inner = document.get("variables") or document.get("page") or document
        names = {"first": "limit", "after": "cursor"}
        asked |= {
            names.get(name, name): json.dumps(value) if isinstance(value, dict) else str(value)
            for name, value in inner.items()
        }
    asked |= {name[2:].lower(): value for name, value in request.headers.items() if name.startswith("X-")}
    return asked


async def _broken(request: web.Request, kind: str) -> web.StreamResponse:
    """An answer that ends early, or none at all."""
    assert request.transport is not None
    if kind == "cut":
        answer = web.StreamResponse(headers={"Content-Length": "1000", "Content-Type": "application/json"})
        await answer.prepare(request)
        await answer.write(b'{"items": [')
        request.transport.close()
        return answer
    request.transport.abort()
    return web.Response()


async def _serve(port: int) -> None:
    from tests.support.hostile_cases import CASES

    async with FakeApi({name: case.behaviour for name, case in CASES.items()}, port) as api:
        for name in CASES:
            print(f"{api.url(name)}/items")
        await asyncio.Event().wait()


if __name__ == "__main__":
    options = argparse.ArgumentParser(description="A paged API that misbehaves.")
    options.add_argument("--port", type=int, default=8099)
    asyncio.run(_serve(options.parse_args().port))
