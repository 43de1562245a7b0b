"""A few pages of a stream, asked for and shown. Nothing is written: no run, no row, no cursor, no token."""

from collections.abc import Mapping
from typing import Any

from headwater.contracts.manifest import StreamDefinition
from headwater.http.client import HttpClient
from headwater.model.clock import Clock
from headwater.model.errors import ConfigError, SourceError
from headwater.model.http import Response
from headwater.model.secret import Secret
from headwater.plugins.auth import ACCESS_TOKEN
from headwater.plugins.walk import Page, Walk, token_digest
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
from headwater.plugins.walk.suggest import Suggestion

MAX_PAGES = 20
MORE = "more"
ERROR = "error"


class _Look:
    """One preview under way."""

    def __init__(
        self, definition: StreamDefinition, secrets: Mapping[str, Secret], client: HttpClient, clock: Clock
    ) -> None:
        self.definition = definition
        self.walk = Walk(definition)
        self.secrets = dict(secrets)
        self.client = client
        self.clock = clock
        self.exchanges: list[Exchange] = []
        self.rows: list[Any] = []
        self.suggestion = Suggestion()

    @property
    def hidden(self) -> tuple[Secret, ...]:
        return (*self.secrets.values(), *hidden_values(self.definition))

    async def log_in(self) -> None:
        """A token for these few requests, which is forgotten with them."""
        auth = self.walk.tokens
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
        request = self.walk.request(token, self.secrets, now)
        hidden = (*self.hidden, *request.credentials.values())
        exchange = asked(len(self.exchanges) + 1, request, hidden)
        response: Response | None = None
        try:
            response = await self._send(request)
            page = self.walk.read(token, response, self.clock.now(), self.secrets)
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
        self.rows += page.records
        return page

    def _suggest(self, response: Response) -> None:
        if len(self.exchanges) <= 1 and not self.suggestion.pagination:
            self.suggestion = suggested(response)

    def told(self, ended: str) -> Preview:
        return Preview(
            tuple(self.exchanges),
            ended,
            columns_of_rows(self.rows),
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
    token: dict[str, Any] | None = look.walk.first(None, clock.now())
    seen: set[bytes] = set()
    for _ in range(pages):
        assert token is not None
        seen.add(token_digest(token))
        page = await look.page(token)
        if page is None:
            return look.told(ERROR)
        if page.stop_reason is not None:
            return look.told(page.stop_reason.value)
        token = page.next_token
        if token is not None and token_digest(token) in seen:
            return look.told("loop")
    return look.told(MORE)
