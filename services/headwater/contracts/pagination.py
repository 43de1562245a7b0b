"""How the pages of a stream follow one another. Paths are JMESPath into the answer's body."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from headwater.contracts.base import Closed

Expression = Annotated[str, StringConstraints(min_length=1, max_length=2048)]  # JMESPath
ParameterName = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Size = Annotated[int, Field(ge=1, le=1_000_000)]
Status = Annotated[int, Field(ge=200, le=599)]
Place = Literal["query", "json", "header", "path"]


def _one_or_many(value: object) -> object:
    return (value,) if isinstance(value, int | str) else value


Statuses = Annotated[tuple[Status, ...], BeforeValidator(_one_or_many)]
Hosts = Annotated[tuple[str, ...], BeforeValidator(_one_or_many)]


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
    start: Annotated[int, Field(ge=0)] = 0


class PagePagination(Paged):
    """Numbered pages."""

    type: Literal["page"]
    page_param: ParameterName = "page"
    start: Annotated[int, Field(ge=0)] = 1


class CursorPagination(Paged):
    """The answer names the next page by a value, in the body or in a header."""

    type: Literal["cursor"]
    cursor_param: ParameterName = "cursor"
    cursor_path: Expression | None = None
    cursor_header: ParameterName | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.cursor_path is None) == (self.cursor_header is None):
            raise ValueError("say where the next cursor is: give one of `cursor_path` and `cursor_header`")
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


Pagination = Annotated[
    NoPagination | OffsetPagination | PagePagination | CursorPagination | NextUrlPagination | LinkPagination,
    Field(discriminator="type"),
]
