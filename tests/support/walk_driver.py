"""Walks an API to its end by the pure core and the real client, as fetcher and ledger would, in one function."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

from headwater.contracts.codec import dumps, loads
from headwater.contracts.source import StreamDefinition
from headwater.http.client import HttpClient
from headwater.model.errors import SourceError
from headwater.model.secret import Secret
from headwater.plugins.walk.page import Page
from headwater.plugins.walk.token import token_digest
from headwater.plugins.walk.walk import Walk

LOOPBACK = ("127.0.0.0/8",)
ATTEMPTS = 4


class SettableClock:
    """A clock whose `now` stands still until it is moved; `monotonic` is the real one."""

    def __init__(self, now: datetime = datetime(2024, 5, 1, 12, 0, tzinfo=UTC)) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return monotonic()

    def move(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


@dataclass(slots=True)
class Walked:
    """What a walk came to. `waits_s` are the delays between attempts that an API asked for (None: own back-off)."""

    records: list[Any] = field(default_factory=list)
    pages: list[Page] = field(default_factory=list)
    warnings: set[str] = field(default_factory=set)
    rejected_count: int = 0
    request_count: int = 0
    waits_s: list[float | None] = field(default_factory=list)
    stop_reason: str | None = None
    error: SourceError | None = None

    @property
    def is_complete(self) -> bool:
        return self.error is None and bool(self.pages) and self.pages[-1].stop_reason.is_complete

    @property
    def ids(self) -> list[int]:
        return [int(record["id"]) for record in self.records]


def definition(
    base_url: str,
    *,
    pagination: Mapping[str, Any] | None = None,
    records: str | None = "items",
    request: Mapping[str, Any] | None = None,
    source: Mapping[str, Any] | None = None,
    **stream: Any,
) -> StreamDefinition:
    """A stream `items` below `base_url`, as `apply` would pin it."""
    return StreamDefinition.model_validate(
        {
            "tenant": "default",
            "source": "api",
            "base_url": base_url,
            "network": {"allow": LOOPBACK},
            **(source or {}),
            "stream": {
                "name": "items",
                "request": {"path": "items", **(request or {})},
                "pagination": pagination or {"type": "none"},
                "records": {"path": records},
                "destination": {"table": "items"},
                **stream,
            },
        }
    )


async def walk_all(
    client: HttpClient,
    stream: StreamDefinition,
    *,
    secrets: Mapping[str, Secret] | None = None,
    cursor: Any = None,
    clock: SettableClock | None = None,
) -> Walked:
    """Every page of `stream`. Tokens go over the wire as JSON between the pages; the seen ones end the walk."""
    walk, clock, secrets = Walk(stream), clock or SettableClock(), secrets or {}
    walked, seen = Walked(), set()
    token: dict[str, Any] | None = walk.first(cursor, clock.now())
    while token is not None:
        token = loads(dumps(token))
        if token_digest(token) in seen:
            walked.stop_reason = "loop"
            walked.warnings.add("pagination_loop")
            walked.error = SourceError("loop", "the ledger has seen this token")
            return walked
        seen.add(token_digest(token))
        try:
            page = await _page(client, walk, token, secrets, clock, walked, stream.timeout_s)
        except SourceError as error:
            walked.error, walked.stop_reason = error, "error"
            return walked
        assert (page.next_token is None) == (page.stop_reason is not None)
        walked.pages.append(page)
        walked.records += page.records
        walked.rejected_count += len(page.rejected)
        walked.warnings |= set(page.warnings)
        walked.stop_reason = page.stop_reason
        token = page.next_token
    return walked


async def walk_planned(
    client: HttpClient, stream: StreamDefinition, order: Callable[[list[int]], list[int]]
) -> dict[int, Page]:
    """The first page, then the planned ones in the `order` given, then what follows the last: pages by number."""
    walk, clock = Walk(stream), SettableClock()
    pages: dict[int, Page] = {}

    async def read(token: dict[str, Any]) -> Page:
        page = await _page(client, walk, loads(dumps(token)), {}, clock, Walked())
        pages[page.number] = page
        return page

    first = await read(walk.first(None, clock.now()))
    token = first.next_token
    if token is None or not token["planned"]:
        return pages
    for number in order(list(range(2, token["planned"] + 1))):
        await read(walk.token_at(token, number))
    following = pages[token["planned"]].next_token
    while following is not None:
        following = (await read(following)).next_token
    return pages


async def _page(
    client: HttpClient,
    walk: Walk,
    token: dict[str, Any],
    secrets: Mapping[str, Secret],
    clock: SettableClock,
    walked: Walked,
    timeout_s: float = 5.0,
) -> Page:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            walked.request_count += 1
            response = await client.send(
                walk.request(token, secrets), allow=LOOPBACK, timeout_s=min(5.0, timeout_s)
            )
            return walk.read(token, response, clock.now(), secrets)
        except SourceError as error:
            if not error.retryable or attempt == ATTEMPTS:
                raise
            walked.waits_s.append(error.delay_s)
            clock.move(error.delay_s or 0.5)
    raise AssertionError("unreachable")
