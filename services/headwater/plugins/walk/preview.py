"""A walk as people look at it before it is real: requests and answers with secrets starred out, columns, first rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headwater.contracts.codec import loads
from headwater.contracts.source import StreamDefinition
from headwater.model.errors import ContractError
from headwater.model.http import HttpRequest, Response
from headwater.model.infer import Kind, infer, widen
from headwater.model.names import assign_columns
from headwater.model.secret import Secret
from headwater.plugins.mapping import Kinds
from headwater.plugins.secret_text import masked, names_in
from headwater.plugins.walk.body import sample_of, utf8
from headwater.plugins.walk.page import Page
from headwater.plugins.walk.suggest import Suggestion, suggest

ROWS_SHOWN = 5
_SAMPLE = 600
_HEADERS_SHOWN = frozenset(
    {
        "content-type",
        "content-length",
        "link",
        "retry-after",
        "ratelimit",
        "ratelimit-policy",
        "etag",
        "date",
        "server",
    }
)
_OPEN = frozenset({"type", "in", "place", "scheme", "grant", "algorithm", "client_in"})
_STARS = "***"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and what came of it; secrets are starred out in all of it."""

    number: int
    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: str | None
    status: int | None = None
    answer_headers: tuple[tuple[str, str], ...] = ()
    answer_bytes: int = 0
    answer: str = ""
    received: int = 0
    taken: int = 0
    rejected: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Preview:
    """What a walk would do. `ended` says why its pages ended here, or that they did not: `more`."""

    exchanges: tuple[Exchange, ...]
    ended: str
    columns: tuple[tuple[str, str, str], ...] = ()  # column, type, field
    rows: tuple[Any, ...] = ()
    suggestion: Suggestion = field(default_factory=Suggestion)


def hidden_values(definition: StreamDefinition) -> tuple[Secret, ...]:
    """What stands in the definition's auth itself and must not be shown."""
    auth = definition.auth.model_dump(mode="json", by_alias=True)
    texts = {text for name, value in auth.items() if name not in _OPEN for text in _texts(value)}
    return tuple(Secret.of(text) for text in sorted(texts) if not names_in(text))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def asked(number: int, request: HttpRequest, hidden: tuple[Secret, ...]) -> Exchange:
    """The exchange as far as it is asked."""
    secret = request.credentials
    names = [name for name, _ in (*secret.headers, *(("Cookie", one) for one in secret.cookies[:1]))]
    query = "".join(f"{'&' if '?' in request.url else '?'}{name}={_STARS}" for name, _ in secret.query)
    if secret.body is not None:
        body: str | None = _STARS
    else:
        body = None if request.body is None else sample_of(request.body, hidden, _SAMPLE)
    return Exchange(
        number,
        request.method,
        masked(request.url, hidden) + query,
        tuple((name, masked(value, hidden)) for name, value in request.headers)
        + tuple((name, _STARS) for name in names),
        body,
    )


def answered(exchange: Exchange, response: Response, hidden: tuple[Secret, ...], **more: Any) -> Exchange:
    """The exchange with its answer; `more`: what was made of it."""
    told = {name: getattr(exchange, name) for name in ("number", "method", "url", "headers", "body")}
    shown = tuple(
        (name, masked(value, hidden)[:300])
        for name, value in response.headers
        if name.lower() in _HEADERS_SHOWN or name.lower().startswith("x-ratelimit")
    )
    return Exchange(
        **told,
        status=response.status,
        answer_headers=shown,
        answer_bytes=len(response.body),
        answer=sample_of(response.body, hidden, _SAMPLE),
        **more,
    )


def understood(page: Page) -> dict[str, Any]:
    """What a page adds to its exchange."""
    return {
        "received": page.received_count,
        "taken": len(page.records),
        "rejected": tuple(item.reason for item in page.rejected[:5]),
        "warnings": page.warnings,
    }


def masked_rows(rows: Sequence[Any], hidden: tuple[Secret, ...]) -> tuple[Any, ...]:
    """The rows with secrets starred out, since APIs may repeat what they were sent."""

    def of(value: Any) -> Any:
        if isinstance(value, str):
            return masked(value, hidden)
        if isinstance(value, dict):
            return {name: of(item) for name, item in value.items()}
        return [of(item) for item in value] if isinstance(value, list) else value

    return tuple(of(row) for row in rows)


def columns_of_rows(rows: Sequence[Any], least: Kinds = ()) -> tuple[tuple[str, str, str], ...]:
    """Column, type and field of each field of `rows`, as a new table has them; `least`: what they are at least."""
    kinds = infer([row for row in rows if isinstance(row, dict)], {})
    kinds |= {
        name: widen(kinds[name], kind) for name, kind in least if kinds.get(name, Kind.NULL) is not Kind.NULL
    }
    names = assign_columns([name for name, kind in kinds.items() if kind is not Kind.NULL], {})
    return tuple((names[name], kinds[name].sql_type, name) for name in kinds if name in names)


def suggested(response: Response) -> Suggestion:
    """What the answer looks like, if it is JSON."""
    try:
        document = loads(utf8(response.body, response.header("content-type") or ""))
    except ContractError:
        return Suggestion()
    return suggest(response, document)
