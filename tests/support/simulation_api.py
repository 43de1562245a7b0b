"""The API of the simulation: not our code, so it may be a stand-in, with the manners of real ones.

It pages by offset, by page number, by cursor and by URL; sizes of pages and texts of cursors may differ each time
the same page is asked for; records come and change while they are walked; it is slow, busy, cut and down at times.

Every answer has a number, and the records of append streams carry it, so that a table tells which answers it is
made of. The log of answers is what the tables are held against.
"""

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from tests.support.simulation_bus import Process
from tests.support.simulation_database import Mishap
from tests.support.simulation_time import Turns

from headwater.model.errors import SourceError
from headwater.model.http import HttpRequest, Response

BASE = "http://api.test"
END = None


@dataclass(frozen=True, slots=True)
class Served:
    """One answer with records. `asked` and `following` name places; `following` is None at the end."""

    number: int
    stream: str
    asked: str
    since: str | None
    following: str | None
    good: tuple[int, ...]  # ids of records that can become rows, in order
    count: int


@dataclass(slots=True)
class Manners:
    """How the API behaves in one seed; shares of answers from 0 to 1."""

    varies_sizes: bool = False
    varies_cursors: bool = False
    loops: bool = False
    busy: float = 0.0  # 429 and 503, with and without Retry-After
    broken: float = 0.0  # 500, a cut body, a time-out
    refuses: float = 0.0  # what no repetition mends: 404, 401, a cursor no longer known
    slow: float = 0.0
    park: float = 0.0  # a wait longer than any delay queue

    @property
    def is_kind(self) -> bool:
        return not (self.busy or self.broken or self.refuses or self.park)


@dataclass(slots=True)
class Shelf:
    """The records of one stream, in the order of `updated`; what is changed goes to the end."""

    name: str
    paging: str  # offset, page, cursor, url
    has_bad: bool = False
    records: list[Any] = field(default_factory=list)
    clock: int = 0
    is_marked: bool = False  # records carry the number of their answer

    def add(self, count: int, text: str) -> None:
        for _ in range(count):
            self.clock += 1
            self.records.append({"id": self.clock, "updated": self.clock, "note": f"{text} {self.clock}"})

    def add_bad(self, record: Any) -> None:
        """A record that cannot be a row: what `record` lacks or holds."""
        self.clock += 1
        self.records.append({**record, "updated": self.clock} if isinstance(record, dict) else record)

    def change(self, draw: random.Random, text: str) -> None:
        """A record becomes a newer one: it moves to the end where the order is that of change."""
        places = [at for at, record in enumerate(self.records) if is_good(record)]
        if not places:
            return
        at = draw.choice(places)
        self.clock += 1
        newer = {**self.records[at], "updated": self.clock, "note": f"{text} {self.clock}"}
        if self.paging == "page":
            self.records[at] = newer
        else:
            del self.records[at]
            self.records.append(newer)

    def newest(self) -> dict[int, dict[str, Any]]:
        return {record["id"]: record for record in self.records if is_good(record)}


def is_good(record: Any) -> bool:
    """Whether a record can become a row."""
    return (
        isinstance(record, dict) and isinstance(record.get("id"), int) and "\0" not in str(record.get("note"))
    )


@dataclass(slots=True)
class Api:
    """All streams of the API, and the log of what was answered."""

    draw: random.Random
    manners: Manners
    shelves: dict[str, Shelf]
    served: dict[int, Served] = field(default_factory=dict)
    number: int = 0
    calm: bool = False

    def answer(self, request: HttpRequest) -> Response:
        """The answer to one request. Raises: SourceError for what a client sees of a broken network."""
        self.number += 1
        parts = urlsplit(request.url)
        stream = parts.path.strip("/")
        query = dict(parse_qsl(parts.query))
        trouble = (
            None
            if self.calm
            else self._trouble(request, has_token=bool(query.get("cursor") or query.get("u")))
        )
        if trouble is not None:
            return trouble
        return self._page(request, self.shelves[stream], query)

    def _trouble(self, request: HttpRequest, *, has_token: bool) -> Response | None:
        manners, drawn = self.manners, self.draw.random()
        if drawn < manners.busy:
            status = self.draw.choice((429, 503, 503))
            wait = self.draw.choice((None, "1", "3", "20"))
            return self._status(request, status, () if wait is None else (("Retry-After", wait),))
        drawn -= manners.busy
        if drawn < manners.broken:
            kind = self.draw.choice(("http_500", "cut_body", "timeout", "network"))
            if kind == "http_500":
                return self._status(request, 500)
            raise SourceError(kind, "the connection was cut", retryable=True)
        drawn -= manners.broken
        if drawn < manners.refuses:
            return self._status(request, 410 if has_token else self.draw.choice((404, 401)))
        drawn -= manners.refuses
        if drawn < manners.park:
            return self._status(request, 429, (("Retry-After", "400"),))
        return None

    def _status(
        self, request: HttpRequest, status: int, headers: tuple[tuple[str, str], ...] = ()
    ) -> Response:
        return Response(status, headers, b'{"error": "no"}', request.url)

    def _page(self, request: HttpRequest, shelf: Shelf, query: dict[str, str]) -> Response:
        since = query.get("since")
        records = shelf.records
        if since is not None:
            records = [r for r in records if isinstance(r, dict) and r["updated"] >= int(since)]
        asked, page, following, more = getattr(self, f"_by_{shelf.paging}")(shelf, records, query)
        rows = [{**r, "seen": self.number} if shelf.is_marked and isinstance(r, dict) else r for r in page]
        document = {"items": rows, **more}
        good = tuple(record["id"] for record in page if is_good(record))
        self.served[self.number] = Served(self.number, shelf.name, asked, since, following, good, len(page))
        body = json.dumps(document).encode()
        link = (
            (("Link", f'<{BASE}/{shelf.name}?{following}>; rel="next"'),)
            if shelf.paging == "link" and following
            else ()
        )
        return Response(200, (("Content-Type", "application/json"), *link), body, request.url)

    def _size(self, most: int) -> int:
        return self.draw.randint(1, most) if self.manners.varies_sizes else most

    def _nonce(self) -> str:
        return str(self.draw.randrange(1000)) if self.manners.varies_cursors else "0"

    def _by_offset(self, shelf: Shelf, records: list[Any], query: dict[str, str]) -> tuple[Any, ...]:
        """A position in the list; an empty page is the end."""
        at = int(query["offset"])
        page = records[at : at + self._size(int(query["limit"]))]
        return f"offset={at}", page, f"offset={at + len(page)}" if page else END, {}

    def _by_page(self, shelf: Shelf, records: list[Any], query: dict[str, str]) -> tuple[Any, ...]:
        """Numbered pages of a fixed size, and how many there are."""
        number, size = int(query["page"]), int(query["size"])
        page = records[(number - 1) * size : number * size]
        pages = max(1, -(-len(records) // size))
        following = f"page={number + 1}" if number < pages and page else END
        return f"page={number}", page, following, {"pages": pages}

    def _by_cursor(self, shelf: Shelf, records: list[Any], query: dict[str, str]) -> tuple[Any, ...]:
        """A text that names the last record shown; null at the end."""
        cursor = query.get("cursor")
        page, last = self._after(records, cursor)
        following = END if last is None else f"{last}~{self._nonce()}"
        return f"cursor={cursor}", page, following and f"cursor={following}", {"cursor": following}

    def _by_link(self, shelf: Shelf, records: list[Any], query: dict[str, str]) -> tuple[Any, ...]:
        """A Link header that names the next page; `since` travels in it."""
        token = query.get("u")
        page, last = self._after(records, token)
        kept = f"&since={query['since']}" if "since" in query else ""
        following = END if last is None else f"u={last}~{self._nonce()}{kept}"
        asked = "first" if token is None else f"u={token}{kept}"
        return asked, page, following, {}

    def _by_url(self, shelf: Shelf, records: list[Any], query: dict[str, str]) -> tuple[Any, ...]:
        """The next page's URL in the body. In some seeds the third page leads back to the second."""
        token = query.get("u")
        page, last = self._after(records, token)
        following = END if last is None else f"u={last}"
        shown = int(token or 0) + len(page)
        if self.manners.loops and shown >= 9 and following is not END and page:
            following = "u=3"
        url = None if following is END else f"{BASE}/{shelf.name}?{following}"
        return "first" if token is None else f"u={token}", page, following, {"next": url}

    def _after(self, records: list[Any], token: str | None) -> tuple[list[Any], int | None]:
        """The records after the one that `token` names by its `updated`, and the last one's, if more follow."""
        seen = 0 if token is None else int(token.partition("~")[0])
        rest = [record for record in records if isinstance(record, dict) and record["updated"] > seen]
        size = 3 if self.manners.loops else self._size(4)
        page = rest[:size]
        return page, page[-1]["updated"] if len(rest) > size else None


class ApiClient:
    """Stands where a fetcher has its HTTP client."""

    def __init__(self, api: Api, turns: Turns, process: Process) -> None:
        self._api = api
        self._turns = turns
        self._process = process

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def send(self, request: HttpRequest, **_: object) -> Response:
        """See `HttpClient.send`."""
        label = f"{self._process.name} asks {request.url.removeprefix(BASE)}"
        await self._turns.take(label)
        mishap = self._process.mishap(label, in_transaction=False)
        if mishap in {Mishap.CUT_BEFORE, Mishap.CUT_AFTER}:
            raise asyncio.CancelledError
        if mishap in {Mishap.KILLED_BEFORE, Mishap.KILLED_AFTER}:
            self._process.kill()
            await asyncio.Event().wait()
        if not self._api.calm and self._api.draw.random() < self._api.manners.slow:
            await asyncio.sleep(self._api.draw.choice((0.2, 1.0, 4.0)))
        response = self._api.answer(request)
        await self._turns.take(f"{self._process.name} hears answer {self._api.number}")
        return response


def client_for(api: Api, turns: Turns, process: Process) -> Callable[[object], ApiClient]:
    """What is called in place of `HttpClient(clock)`."""
    return lambda _clock: ApiClient(api, turns, process)
