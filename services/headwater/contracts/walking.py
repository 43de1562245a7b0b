"""What a stream asks for and what it makes of the answers: request, records, errors, limits, cursor."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from headwater.contracts.base import Closed
from headwater.contracts.moments import CursorFormat, Pattern
from headwater.contracts.naming import Expression
from headwater.contracts.pagination import Hosts, ParameterName, Replaced, Statuses

Scalar = str | int | float | bool
StatusText = Annotated[str, StringConstraints(pattern=r"^[2-5][0-9]{2}$")]


class Graphql(Closed):
    """A GraphQL query; the paginator's parameters go into its variables.

    `partial` is what becomes of an answer with `errors` beside its data: `fail` the run, or `keep` the records, with
    the warning `graphql_partial` and a run that is never complete. Throttling is waited for either way.
    """

    query: Annotated[str, StringConstraints(min_length=1, max_length=100_000)]
    variables: dict[str, Any] = Field(default={})
    partial: Literal["fail", "keep"] = "fail"


class Request(Closed):
    """What one page is asked by. `path` is appended to `base_url`; `json` is the body of a POST, or `form`, or `text`
    (XML such as SOAP, or what else an API reads; `headers` name its Content-Type where it is neither XML nor plain).

    `url` stands in the place of `path` where a stream is asked for at an address of its own, such as a file that a
    parent names: `{parent.url}`. It may lead to the source's own host or to one of `hosts`, where no credentials go.

    `{walk.NAME}` in any of them is what the page is asked by: `offset`, `last` (the position of the page's last
    record), `page`, `cursor`, `key`, `size`; `from` and `to` of a slice of time; `since`, `until` and `since_id` of
    `incremental`. What is named so is sent nowhere else. A parameter, header or member of JSON that names what is not
    there (the first page has no cursor) is left out.

    `weight` is how many requests of the source's rate limit one of these counts.
    """

    method: Literal["GET", "POST"] = "GET"
    path: str = ""
    url: Annotated[str, StringConstraints(min_length=1, max_length=2048)] | None = None
    hosts: Hosts = ()
    params: dict[str, Scalar | tuple[Scalar, ...]] = Field(default={})
    headers: dict[str, str] = Field(default={})
    body: dict[str, Any] | list[Any] | None = Field(default=None, alias="json")
    form: dict[str, Scalar | tuple[Scalar, ...]] | None = None
    text: Annotated[str, StringConstraints(min_length=1, max_length=100_000)] | None = None
    graphql: Graphql | None = None
    weight: Annotated[int, Field(ge=1, le=1000)] = 1

    @model_validator(mode="after")
    def _bodies_fit(self) -> Self:
        bodies = {"json": self.body, "form": self.form, "text": self.text}
        given = [name for name, body in bodies.items() if body is not None]
        if given and self.method != "POST":
            raise ValueError(f"`{given[0]}` needs `method: POST`")
        if self.url is not None and self.path:
            raise ValueError(
                "give one of `path` and `url`: the one is below base_url, the other a whole address"
            )
        if self.url is not None and not self.url.startswith(("http://", "https://", "{")):
            raise ValueError(
                "`url` is a whole address, such as https://files.example.com/x or {parent.url}: write path"
            )
        if self.hosts and self.url is None:
            raise ValueError("`hosts` says where `url` may lead: give it, or leave this out")
        if given and self.graphql is not None:
            raise ValueError(
                f"give one of `{given[0]}` and `graphql`: a GraphQL request has a body of its own"
            )
        if len(given) > 1:
            raise ValueError(
                f"give one of {' and '.join(f'`{name}`' for name in given)}: a request has one body"
            )
        return self

    def names(self, word: str) -> bool:
        """Whether `{walk.<word>}` stands in it."""
        return f"{{walk.{word}}}" in self.model_dump_json(exclude={"method", "weight"})


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
    `end` (the walk is complete) or `skip` (this page is passed over). `pending`: an expression that is true while what
    is asked for is not ready, a report or an export: it is asked for again after `pending_s`, up to
    `limits.request_seconds`.
    """

    when: Expression | None = Field(default=None, alias="if")
    message: Expression | None = None
    retry: bool = False
    pending: Expression | None = None
    pending_s: Annotated[float, Field(ge=0.1, le=86_400)] = 10.0
    status: dict[StatusText, Literal["retry", "fail", "end", "skip"]] = Field(default={})


class Limits(Closed):
    """Built-in limits always apply: a walk that meets one ends `partial` with the warning `limit_reached`.

    `request_seconds` is how long one page may be put off (429, Retry-After) or tried again after faults before its run
    fails.
    """

    max_pages: Annotated[int, Field(ge=1)] = 100_000
    max_records: Annotated[int, Field(ge=1)] = 100_000_000
    max_seconds: Annotated[int, Field(ge=1, le=7 * 86_400)] = 86_400
    request_seconds: Annotated[int, Field(ge=1, le=7 * 86_400)] = 21_600


_OF_TOKEN = frozenset({"token_of", "reset_on_status"})
_OF_FIELD = frozenset(
    {"field_format", "end_param", "id", "id_param", "start", "format", "lookback_s", "order", "future_s"}
)


class Incremental(Closed):
    """The field whose highest value is kept as the cursor, and the parameter that asks for what is newer; or the token
    by which an API itself says where to go on.

    `in` says where it and the other parameters go: the query, the JSON body (dotted names reach inside; GraphQL:
    `variables.name`) or headers. Instead of parameters the request may name `{walk.since}`, `{walk.until}` (the end of
    the window that a run is for, else when the walk began) and `{walk.since_id}`. `format` is how it is written
    (default: as the field is): a name, or a pattern such as `%Y-%m-%d %H:%M`, in UTC. `field_format`: the pattern that
    the field is written in where that is not ISO 8601. `lookback_s` asks again
    for the last seconds, for APIs that publish late. `order: desc` says that the newest come first: the walk ends where
    the known begins. Instants further ahead than `future_s` are never taken as the cursor: ISO 8601, and numbers where
    `format` is one of time (elsewhere a number has no clock, and the highest is taken). `end_param` asks for what is
    older than the end of the window that a run is for; `enabled: false` reads everything every time. `id` is the
    field that tells records of the same value apart (default: the destination's only key); the last one's is kept with
    the cursor, and asked for by `id_param`.

    `token_path` (JMESPath) or `token_header` stand in the place of `field` where the answer to the last page (to the
    first one with `token_of: first`, the default for ETag and Last-Modified) says what the next run goes on from: a
    sync token, a delta link. The next run sends it by `param` with each page. Without one it begins there as if that
    was its next page: pagination `cursor` has it as its cursor, `next_url` and `link` as their URL. `replaces`:
    parameters (dotted names lead into `json`) that are not sent along with it, or `all` that the request has. A token
    that is answered with `reset_on_status` is over: the same run reads everything, with the warning `cursor_expired`.
    """

    field: Expression | None = None
    field_format: Pattern | None = None
    token_path: Expression | None = None
    token_header: ParameterName | None = None
    token_of: Literal["first", "last"] | None = None
    reset_on_status: Statuses = (410,)
    replaces: Replaced = ()
    param: ParameterName | None = None
    place: Literal["query", "json", "header"] = Field(default="query", alias="in")
    end_param: ParameterName | None = None
    id: Expression | None = None
    id_param: ParameterName | None = None
    enabled: bool = True
    start: str | int | None = None
    format: CursorFormat = "as_is"
    lookback_s: Annotated[float, Field(ge=0, le=366 * 86_400)] = 0.0
    order: Literal["any", "asc", "desc"] = "any"
    future_s: Annotated[float, Field(ge=0)] = 86_400.0

    @property
    def is_token(self) -> bool:
        """Whether the cursor is what the API says to go on from, and no value of a record."""
        return self.field is None

    @model_validator(mode="after")
    def _one_cursor(self) -> Self:
        places = (self.field, self.token_path, self.token_header)
        if sum(place is not None for place in places) != 1:
            raise ValueError(
                "`field` is missing; add it, or where an API itself says what to go on from, `token_path` or "
                "`token_header`"
                if not any(places)
                else "one of `field`, `token_path` and `token_header` says what is kept: leave out the others"
            )
        told = type(self).model_fields
        others = _OF_FIELD if self.is_token else _OF_TOKEN
        named = sorted(name for name in others if getattr(self, name) != told[name].default)
        if named:
            what = "a field" if self.is_token else "a token"
            raise ValueError(f"`{named[0]}` is for {what}, which this cursor is not: leave it out")
        return self

    @model_validator(mode="after")
    def _parameters_differ(self) -> Self:
        if self.end_param is not None and self.end_param == self.param:
            raise ValueError(
                "`param` and `end_param` are one parameter: name the one that asks for what is older"
            )
        return self


class Included(Closed):
    """A field of the parent that a child's row has: `name` is the row's field, `path` (JMESPath) is in the parent."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=128)]
    path: Expression


class Parent(Closed):
    """The stream of the same source whose records this stream is asked for, one walk for each.

    A run walks the pages of `stream` itself, without loading them. The request names the parent's fields as
    `{parent.id}` (JMESPath behind `parent.`) in path, params, headers, json or the variables of graphql. `include`:
    fields of the parent that rows have too, as a list (`[id]` is the field `parent_id`) or a mapping of names to
    paths; in `fields` the parent is `_parent`. `parallel`: walks under way at once. `max_parents`: how many parents a
    run takes. A parent whose first page is answered with one of `skip_on_status` is passed over with a warning; where
    that is neither 404 nor 410, rows that it does not bring are not taken for deleted.
    """

    stream: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    include: Annotated[tuple[Included, ...], Field(max_length=100)] = ()
    parallel: Annotated[int, Field(ge=1, le=256)] = 8
    max_parents: Annotated[int, Field(ge=1, le=1_000_000)] = 100_000
    skip_on_status: Statuses = (404, 410)

    @field_validator(
        "include",
        mode="before",
        json_schema_input_type=tuple[Included | Expression, ...] | dict[str, Expression],
    )
    @classmethod
    def _include_spelled_out(cls, value: object) -> object:
        if isinstance(value, Mapping):
            return [{"name": name, "path": path} for name, path in value.items()]
        if isinstance(value, list | tuple):
            return [
                {"name": f"parent_{_word(item)}", "path": item} if isinstance(item, str) else item
                for item in value
            ]
        return value

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [field.name for field in self.include]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"`include` has two fields {twice!r}: write it as a mapping of names to paths")
        return self


def _word(path: str) -> str:
    """A path as a word of a name: `owner.login` is `owner_login`."""
    return re.sub(r"[^A-Za-z0-9]+", "_", path).strip("_")
