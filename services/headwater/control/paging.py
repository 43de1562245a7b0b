"""Lists: a page of items and the token of the next. A token is opaque and belongs to its list."""

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

from pydantic import BeforeValidator, Field

from headwater.contracts.base import Closed
from headwater.control.problems import Refusal, invalid
from headwater.control.route import Answer, Listing
from headwater.model.errors import ContractError
from headwater.model.ids import time_of

Item = TypeVar("Item")
Row = Mapping[str, Any]
MAX_LIMIT = 500
DEFAULT_LIMIT = 50


def _instant(value: Any) -> Any:
    """In a query a plus sign arrives as a blank: 2026-01-01T00:00:00 02:00."""
    if isinstance(value, str) and len(value) > 6 and value[-6] == " ":
        value = value[:-6] + "+" + value[-5:]
    return value


def _utc(moment: datetime) -> datetime:
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:
        raise ValueError("is out of the range of time") from None


Instant = Annotated[
    datetime,
    BeforeValidator(_instant),
    Field(description="ISO 8601; without a zone it is UTC. Also epoch seconds."),
]


class ListQuery(Closed):
    """Which part of a list."""

    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT, description="How many items at most.")] = DEFAULT_LIMIT
    cursor: Annotated[str | None, Field(max_length=1024, description="`next` of the page before.")] = None


class Page(Answer, Generic[Item]):
    """One page of a list; `next` is null at its end."""

    items: list[Item]
    next: str | None

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        return f"{params[0].__name__}List"


def in_utc(moment: datetime | None) -> datetime | None:
    """A query's moment as the database takes it. Raises: Refusal."""
    try:
        return None if moment is None else _utc(moment)
    except ValueError as error:
        raise invalid("A parameter is not valid", [{"parameter": "since", "detail": str(error)}]) from None


def token_of(kind: str, *values: object) -> str:
    text = json.dumps([kind, *(str(value) for value in values)], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def values_of(token: str, kind: str, count: int) -> list[str]:
    """What `token_of` was given. Raises: Refusal when it is no token of this list."""
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        values = json.loads(raw)
    except (binascii.Error, ValueError, RecursionError):
        raise _no_token() from None
    if (
        not isinstance(values, list)
        or len(values) != count + 1
        or values[0] != kind
        or not all(isinstance(value, str) and "\0" not in value and value.isprintable() for value in values)
    ):
        raise _no_token()
    return values[1:]


def _no_token() -> Refusal:
    return invalid(
        "A parameter is not valid", [{"parameter": "cursor", "detail": "is no `next` of this list"}]
    )


def after_name(query: ListQuery, kind: str) -> str | None:
    """The last name of the page before; None for the first page."""
    return None if query.cursor is None else values_of(query.cursor, kind, 1)[0]


def after_moment(query: ListQuery, kind: str) -> tuple[datetime, UUID] | None:
    """The last (moment, id) of the page before; None for the first page."""
    if query.cursor is None:
        return None
    moment, identifier = values_of(query.cursor, kind, 2)
    try:
        return _utc(datetime.fromisoformat(moment)), UUID(identifier)
    except ValueError:
        raise _no_token() from None


def after_run(query: ListQuery) -> UUID | None:
    """The last run of the page before; None for the first page."""
    if query.cursor is None:
        return None
    try:
        return run_id(values_of(query.cursor, "runs", 1)[0])
    except ContractError:
        raise _no_token() from None


def after_numbers(query: ListQuery, kind: str, first: tuple[int, ...]) -> tuple[int, ...]:
    """The last numbers of the page before; `first` for the first page."""
    if query.cursor is None:
        return first
    texts = values_of(query.cursor, kind, len(first))
    if not all(text.isascii() and text.isdigit() and len(text) < 10 for text in texts):
        raise _no_token()
    return tuple(int(text) for text in texts)


def run_id(text: str) -> UUID:
    """The id of a run. Raises: ContractError when no run can have it (its time is out of range)."""
    try:
        found = UUID(text)
        time_of(found)
    except (ValueError, OverflowError):
        raise ContractError(f"{text[:40]!r} is no run's id") from None
    return found


def listing(
    rows: Sequence[Row], limit: int, view: Callable[[Row], Any], token: Callable[[Row], str]
) -> Listing:
    """A page of `rows`, of which one more than `limit` was asked for to see whether there is more."""
    shown = rows[:limit]
    return Listing([view(row) for row in shown], token(shown[-1]) if len(rows) > limit else None)
