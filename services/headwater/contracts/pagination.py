"""How the pages of a stream follow one another. Paths are JMESPath into the answer's body."""

from datetime import UTC, datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from headwater.contracts.base import Closed
from headwater.contracts.moments import MomentFormat
from headwater.contracts.naming import Expression

ParameterName = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Size = Annotated[int, Field(ge=1, le=1_000_000)]
Start = Annotated[int, Field(ge=0, le=10**15)]
Status = Annotated[int, Field(ge=200, le=599)]
Place = Literal["query", "json", "header", "path"]


def _aware(moment: datetime) -> datetime:
    """`moment` in UTC; without a zone it is UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def one_or_many(value: object) -> object:
    """A single number or text as a list of it."""
    return (value,) if isinstance(value, int | str) else value


Statuses = Annotated[
    tuple[Status, ...], BeforeValidator(one_or_many, json_schema_input_type=Status | tuple[Status, ...])
]
Replaced = Annotated[
    Literal["all"] | tuple[ParameterName, ...],
    BeforeValidator(lambda value: (value,) if isinstance(value, str) and value != "all" else value),
]
Hosts = Annotated[tuple[str, ...], BeforeValidator(one_or_many, json_schema_input_type=str | tuple[str, ...])]


class NoPagination(Closed):
    """One request is the whole walk. `stop_on_status`: answers that mean "nothing there"."""

    type: Literal["none"] = "none"
    stop_on_status: Statuses = ()


class Paged(Closed):
    """What all walks of many pages share.

    `in` says where the paginator's parameters go: the query, the JSON body (dotted names reach
    inside), headers, or the path (`{name}` in `request.path`). `total` (records), `total_pages` and
    `has_more` are paths into the body, their `_header` forms name headers. `stop_on_status`: answers
    that mean "past the end", from the second page on. `end_on_short_page`: the API promises full pages
    except the last, judged against the largest page seen, whatever was asked for. `max_empty_pages`
    in a row end a walk as a loop.
    """

    size: Size | None = None
    size_param: ParameterName | None = None
    place: Place = Field(default="query", alias="in")
    total: Expression | None = None
    total_header: ParameterName | None = None
    total_pages: Expression | None = None
    total_pages_header: ParameterName | None = None
    has_more: Expression | None = None
    stop_on_status: Statuses = ()
    end_on_short_page: bool = False
    max_empty_pages: Annotated[int, Field(ge=1)] = 1000
    delay_s: Annotated[float, Field(ge=0, le=3600)] = 0.0
    parallel: Annotated[int, Field(ge=1, le=256)] = 1


class OffsetPagination(Paged):
    """Position and size: the position steps by what was received."""

    type: Literal["offset"]
    offset_param: ParameterName = "offset"
    size_param: ParameterName | None = "limit"
    size: Size = 100
    start: Start = 0


class PagePagination(Paged):
    """Numbered pages."""

    type: Literal["page"]
    page_param: ParameterName = "page"
    start: Start = 1


class CursorPagination(Paged):
    """The answer names the next page by a value, in the body or in a header; or by several, each of which goes into a
    parameter of its own: `cursor_params: {marker: NextMarker, version: NextVersion}`.

    `replaces`: parameters (dotted names lead into `json`) that are not sent along with a cursor, or `all` of them, for
    APIs that want it alone. `continue_path`: where pages behind the first one are asked for, if that is elsewhere.
    `keeps_place`: the API keeps the place itself, so that the cursor may stay the same from page to page
    (Elasticsearch's scroll). An empty page is the end then. A page that may have been given and did not come ends the
    run's attempt, since the API would give the one behind it; `total` tells whether all came.
    """

    type: Literal["cursor"]
    cursor_param: ParameterName = "cursor"
    cursor_path: Expression | None = None
    cursor_header: ParameterName | None = None
    cursor_params: Annotated[dict[ParameterName, Expression], Field(min_length=1, max_length=20)] | None = (
        None
    )
    replaces: Replaced = ()
    continue_path: str | None = None
    keeps_place: bool = False

    @model_validator(mode="after")
    def _all_are_counted(self) -> Self:
        if self.keeps_place and self.total is None and self.total_header is None:
            raise ValueError(
                "with `keeps_place` give `total` or `total_header`: nothing else tells that a page is missing"
            )
        return self

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if sum(bool(one) for one in (self.cursor_path, self.cursor_header, self.cursor_params)) != 1:
            raise ValueError(
                "say where the next cursor is: give one of `cursor_path`, `cursor_header` and `cursor_params`"
            )
        return self


class NextUrlPagination(Paged):
    """The answer's body holds the next page's URL (absolute or relative).

    `hosts`: other hosts such a URL may name; credentials do not go there.
    """

    type: Literal["next_url"]
    next_path: Expression
    hosts: Hosts = ()


class LinkPagination(Paged):
    """RFC 8288 Link header. `hosts`: other hosts a link may name; credentials do not go there."""

    type: Literal["link"]
    rel: ParameterName = "next"
    hosts: Hosts = ()


class KeysetPagination(Paged):
    """The next page begins after the last record's key: `key_path` in the record; in the request `key_param`, or
    `{walk.key}`.
    """

    type: Literal["keyset"]
    key_path: Expression
    key_param: ParameterName | None = None
    start: str | int | None = None


class RelayPagination(Paged):
    """GraphQL connections: `page_info` leads to `{hasNextPage, endCursor}`; variables take cursor and size."""

    type: Literal["graphql_relay"]
    page_info: Expression
    cursor_param: ParameterName = "after"
    size_param: ParameterName | None = "first"
    size: Size | None = 100


Pages = Annotated[
    NoPagination
    | OffsetPagination
    | PagePagination
    | CursorPagination
    | NextUrlPagination
    | LinkPagination
    | KeysetPagination
    | RelayPagination,
    Field(discriminator="type"),
]


class WindowPagination(Closed):
    """Time slices of `step_s` seconds from `start` to now less `lag_s`, each walked by `pages`.

    `format` is how the bounds are written, by `start_param` and `end_param` or as `{walk.from}` and `{walk.to}`: one of
    `iso`, `date`, `epoch_s`, `epoch_ms`, or a pattern such as `%Y-%m-%d %H:%M` (in UTC). `end_before_s` is taken off a
    slice's end where the API includes both bounds. With an incremental cursor the first slice begins there.
    `parallel`: slices under way at once. `capped_at`: how many records of one request's time the API gives at most, as
    searches do; a slice that has as many, or more by its `total`, is asked for again in halves.
    """

    type: Literal["window"]
    start: Annotated[datetime, AfterValidator(_aware)]
    end: Annotated[datetime, AfterValidator(_aware)] | None = None
    step_s: Annotated[int, Field(ge=1, le=10 * 366 * 86_400)]
    lag_s: Annotated[int, Field(ge=0, le=366 * 86_400)] = 0
    end_before_s: Annotated[float, Field(ge=0, le=86_400)] = 0
    start_param: ParameterName | None = None
    end_param: ParameterName | None = None
    place: Place = Field(default="query", alias="in")
    format: MomentFormat = "iso"
    parallel: Annotated[int, Field(ge=1, le=256)] = 1
    capped_at: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    pages: Pages = NoPagination()


Pagination = Annotated[
    NoPagination
    | OffsetPagination
    | PagePagination
    | CursorPagination
    | NextUrlPagination
    | LinkPagination
    | KeysetPagination
    | RelayPagination
    | WindowPagination,
    Field(discriminator="type"),
]


def pages_of(pagination: Pagination) -> Pages:
    """How pages are asked for: of a window, within each of its slices."""
    return pagination.pages if isinstance(pagination, WindowPagination) else pagination
