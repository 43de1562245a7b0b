"""What a stream asks for and what it makes of the answers: request, records, errors, limits, cursor."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from headwater.contracts.base import Closed
from headwater.contracts.pagination import Expression, ParameterName

Scalar = str | int | float | bool
StatusText = Annotated[str, StringConstraints(pattern=r"^[2-5][0-9]{2}$")]
CursorFormat = Literal["as_is", "iso", "date", "epoch_s", "epoch_ms", "integer"]


class Graphql(Closed):
    """A GraphQL query; the paginator's parameters go into its variables."""

    query: Annotated[str, StringConstraints(min_length=1, max_length=100_000)]
    variables: dict[str, Any] = Field(default={})


class Request(Closed):
    """What one page is asked by. `path` is appended to `base_url`; `json` is the body of a POST.

    `weight` is how many requests of the source's rate limit one of these counts.
    """

    method: Literal["GET", "POST"] = "GET"
    path: str = ""
    params: dict[str, Scalar | tuple[Scalar, ...]] = Field(default={})
    headers: dict[str, str] = Field(default={})
    body: dict[str, Any] | None = Field(default=None, alias="json")
    graphql: Graphql | None = None
    weight: Annotated[int, Field(ge=1, le=1000)] = 1

    @model_validator(mode="after")
    def _bodies_fit(self) -> Self:
        if self.body is not None and self.method != "POST":
            raise ValueError("`json` needs `method: POST`")
        if self.body is not None and self.graphql is not None:
            raise ValueError("give one of `json` and `graphql`: a GraphQL request has a body of its own")
        return self


class Records(Closed):
    """Where the records are in the answer (JMESPath); without a path the body itself is the list.

    `format` is what the body is written in; CSV has a header line, XML becomes objects (`@name` for attributes).
    `filter`: an expression over a record; those for which it is not true are left out.
    """

    path: Expression | None = None
    filter: Expression | None = None
    format: Literal["json", "ndjson", "csv", "xml"] = "json"
    delimiter: Annotated[str, StringConstraints(min_length=1, max_length=1)] = ","


class Errors(Closed):
    """Errors that look like success, and statuses that mean something of their own.

    `if`: an expression over the body that is true when a 200 answer is an error; `message`: where its text
    is; `retry`: whether such errors are tried again. `status`: what a status means here: `retry`, `fail`,
    `end` (the walk is complete) or `skip` (this page is empty).
    """

    when: Expression | None = Field(default=None, alias="if")
    message: Expression | None = None
    retry: bool = False
    status: dict[StatusText, Literal["retry", "fail", "end", "skip"]] = Field(default={})


class Limits(Closed):
    """Built-in limits always apply: a walk that meets one ends `partial` with the warning `limit_reached`.

    `request_seconds` is how long an API may put off one page (429, Retry-After) before the run fails.
    """

    max_pages: Annotated[int, Field(ge=1)] = 100_000
    max_records: Annotated[int, Field(ge=1)] = 100_000_000
    max_seconds: Annotated[int, Field(ge=1, le=7 * 86_400)] = 86_400
    request_seconds: Annotated[int, Field(ge=1, le=7 * 86_400)] = 21_600


class Incremental(Closed):
    """The field whose highest value is kept as the cursor, and the parameter that asks for what is newer.

    `format` is how the parameter is written (default: as the field is). `lookback_s` asks again for the last
    seconds, for APIs that publish late. `order: desc` says that the newest come first: the walk ends where
    the known begins. Values further ahead than `future_s` are never taken as the cursor.
    """

    field: Expression
    param: ParameterName | None = None
    start: str | int | None = None
    format: CursorFormat = "as_is"
    lookback_s: Annotated[float, Field(ge=0, le=366 * 86_400)] = 0.0
    order: Literal["any", "asc", "desc"] = "any"
    future_s: Annotated[float, Field(ge=0)] = 86_400.0
