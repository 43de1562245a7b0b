"""A few pages of a stream, asked for and shown. Nothing is written: no run, no row, no cursor, no token."""

from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from headwater.contracts.codec import dumps
from headwater.contracts.source import StreamDefinition
from headwater.http.client import HttpClient
from headwater.model.clock import Clock
from headwater.model.errors import ConfigError, SourceError
from headwater.model.http import Response
from headwater.model.secret import Secret
from headwater.plugins.auth import ACCESS_TOKEN
from headwater.plugins.mapping import kinds_of
from headwater.plugins.walk.family import Family, level_of
from headwater.plugins.walk.page import Page
from headwater.plugins.walk.preview import (
    ROWS_SHOWN,
    Exchange,
    Preview,
    answered,
    asked,
    columns_of_rows,
    hidden_values,
    masked_rows,
    suggested,
    understood,
)
from headwater.plugins.walk.reading import given_answer
from headwater.plugins.walk.suggest import Suggestion
from headwater.plugins.walk.token import token_digest

MAX_PAGES = 20
MORE = "more"
ERROR = "error"


class _Look:
    """One preview under way."""

    def __init__(
        self, definition: StreamDefinition, secrets: Mapping[str, Secret], client: HttpClient, clock: Clock
    ) -> None:
        self.definition = definition
        self.family = Family(definition)
        self.secrets = dict(secrets)
        self.client = client
        self.clock = clock
        self.exchanges: list[Exchange] = []
        self.rows: list[Any] = []
        self.suggestion = Suggestion()
        self.sent: dict[Secret, None] = {}  # credentials as they were sent

    @property
    def hidden(self) -> tuple[Secret, ...]:
        return (*self.secrets.values(), *hidden_values(self.definition), *self.sent)

    async def log_in(self) -> None:
        """A token for these few requests, which is forgotten with them."""
        auth = self.family.top.tokens
        if auth is None:
            return
        if getattr(self.definition.auth, "grant", None) == "refresh_token":
            raise ConfigError(
                "this source's refresh token may be good for one use, and a preview keeps nothing; "
                "start a run of mode dry_run instead"
            )
        now = self.clock.now()
        request = auth.token_request(self.secrets, None, now)
        response = await self._send(request)
        self.secrets[ACCESS_TOKEN] = auth.token_of(response, None, now).access

    async def _send(self, request: Any) -> Response:
        definition = self.definition
        return await self.client.send(request, allow=definition.network.allow, timeout_s=definition.timeout_s)

    async def page(self, token: Mapping[str, Any]) -> Page | None:
        """One page; None when it ended in an error, which its exchange tells."""
        now = self.clock.now()
        walk = self.family.walks[level_of(token)]
        request = walk.request(token, self.secrets, now)
        self.sent |= dict.fromkeys(request.credentials.values())
        hidden = self.hidden
        exchange = asked(len(self.exchanges) + 1, request, hidden)
        response = given_answer(self.family.definitions[level_of(token)])
        if response is not None:
            exchange = replace(exchange, method="values", url="(of the manifest)", headers=())
        try:
            response = response or await self._send(request)
            page = walk.read(token, response, self.clock.now(), self.secrets, hidden=hidden)
        except SourceError as error:
            told = f"{error.kind}: {error.message}"
            if response is None:
                exchange = Exchange(
                    exchange.number,
                    exchange.method,
                    exchange.url,
                    exchange.headers,
                    exchange.body,
                    error=told,
                )
            else:
                exchange = answered(exchange, response, hidden, error=told)
                self._suggest(response)
            self.exchanges.append(exchange)
            return None
        self.exchanges.append(answered(exchange, response, hidden, **understood(page)))
        self._suggest(response)
        if level_of(token) == self.family.leaf:
            self.rows += page.records
        return page

    def children(self, token: Mapping[str, Any], page: Page, most: int) -> list[dict[str, Any]]:
        """The first tokens of the walks that are asked for by a page of parents, at most so many."""
        level = level_of(token) + 1
        if level > self.family.leaf:
            return []
        walk, now = self.family.walks[level], self.clock.now()
        return [walk.first(None, now, parent=values, level=level) for values in page.records[:most]]

    def _suggest(self, response: Response) -> None:
        if len(self.exchanges) <= 1 and not self.suggestion.pagination:
            self.suggestion = suggested(response)

    def told(self, ended: str) -> Preview:
        return Preview(
            tuple(self.exchanges),
            ended,
            columns_of_rows(self.rows, kinds_of(self.definition.stream.fields)),
            masked_rows(self.rows[:ROWS_SHOWN], self.hidden),
            self.suggestion,
        )


async def preview(
    definition: StreamDefinition,
    secrets: Mapping[str, Secret],
    client: HttpClient,
    clock: Clock,
    *,
    pages: int = 3,
) -> Preview:
    """The first `pages` pages (at most 20) of the stream, from its start.

    Nothing is tried again: an error of the API is part of what is shown. Raises: ConfigError, SecretError; SourceError
    when there is no token to be had.
    """
    if not 1 <= pages <= MAX_PAGES:
        raise ConfigError(f"a preview has from 1 to {MAX_PAGES} pages, not {pages}")
    look = _Look(definition, secrets, client, clock)
    await look.log_in()
    return await _first_pages(look, pages)


async def _first_pages(look: _Look, pages: int) -> Preview:
    """A page of parents is followed by those of its first children, and these by the pages that follow them."""
    waiting = deque([look.family.top.first(None, look.clock.now(), parent=look.family.values({}))])
    seen: set[tuple[str, bytes]] = set()
    ended = MORE
    for _ in range(pages):
        token = waiting.popleft()
        walk = dumps(token.get("parent")).decode()
        seen.add((walk, token_digest(token)))
        page = await look.page(token)
        if page is None:
            return look.told(ERROR)
        following = page.next_token
        if following is not None and (walk, token_digest(following)) in seen:
            return look.told("loop")
        waiting.extendleft(reversed(look.children(token, page, pages)))
        if following is not None:
            waiting.append(following)
        elif level_of(token) == 0 and page.stop_reason is not None:
            ended = page.stop_reason.value
        if not waiting:
            return look.told(ended)
    return look.told(MORE)
