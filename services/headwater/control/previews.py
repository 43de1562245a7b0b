"""A stream's first pages by the API: asked for, shown, forgotten."""

import asyncio
from dataclasses import asdict
from typing import Annotated, Any

from pydantic import Field

from headwater.contracts.base import Closed
from headwater.contracts.codec import dumps
from headwater.contracts.source import StreamDefinition
from headwater.control.previewing import MAX_PAGES, preview
from headwater.control.problems import invalid
from headwater.control.route import Answer, Call, Desk, Reply
from headwater.control.streams import stream_of
from headwater.http.client import HttpClient
from headwater.model.errors import SecretError, SourceError
from headwater.model.secret import Secret
from headwater.plugins.secret_text import names_in
from headwater.store import config

MAX_S = 60.0  # for all pages together


class PreviewQuery(Closed):
    """How far to look."""

    pages: Annotated[int, Field(ge=1, le=MAX_PAGES, description="How many pages at most.")] = 3


class SeenExchange(Answer):
    """One request and what came of it; secrets are starred out."""

    number: int
    method: str
    url: str
    headers: list[tuple[str, str]]
    body: str | None
    status: int | None
    answer_headers: list[tuple[str, str]]
    answer_bytes: int
    answer: str
    received: int
    taken: int
    rejected: list[str]
    warnings: list[str]
    error: str | None


class SeenSuggestion(Answer):
    """Parts of a manifest that may fit, by the look of the first answer."""

    records: dict[str, Any]
    pagination: dict[str, Any]
    why: str


class StreamPreview(Answer):
    """What a walk would do. `ended`: a stop reason, `error`, or `more`. `columns`: name, type and field."""

    exchanges: list[SeenExchange]
    ended: str
    columns: list[tuple[str, str, str]]
    rows: list[Any]
    suggestion: SeenSuggestion


async def preview_stream(desk: Desk, call: Call[PreviewQuery, None]) -> Reply:
    """The API's own errors are part of the answer; what keeps a request from being made is a problem."""
    async with desk.acting(call) as connection:
        row = await stream_of(connection, call)
        names = names_in(dumps(row["definition"]).decode())
        found = await config.get_secrets(connection, desk.keyring, [(call.tenant, name) for name in names])
    secrets: dict[str, Secret] = {name: secret for (_, name), secret in found.items()}
    definition = StreamDefinition.model_validate(row["definition"])
    try:
        async with asyncio.timeout(MAX_S), HttpClient(desk.clock) as client:
            seen = await preview(definition, secrets, client, desk.clock, pages=call.query.pages)
    except (SecretError, SourceError) as error:
        raise invalid(str(error)) from error
    except TimeoutError as error:
        raise invalid(f"the pages took longer than {MAX_S:g} s: ask for fewer") from error
    return Reply(asdict(seen))
