"""A source as people write it: one remote API, with its streams; and what a run is pinned to."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from headwater.contracts.auth import Auth, NoAuth
from headwater.contracts.base import Closed
from headwater.contracts.destination import Destination
from headwater.contracts.fields import FieldsForm, RecordFields, spelled_out_fields
from headwater.contracts.naming import HttpUrl, Name
from headwater.contracts.pagination import NoPagination, Pagination
from headwater.contracts.walking import Errors, Incremental, Limits, Parent, Records, Request


class Network(Closed):
    """Private address ranges this source may reach (CIDR); everything else private is refused."""

    allow: tuple[str, ...] = ()


Rate = Annotated[int, Field(ge=1, le=1_000_000)]


class RateLimit(Closed):
    """What a source allows, over all workers and streams. Requests are spread evenly over each window.

    `requests` in `per_s` seconds, and as many `per_second`, `per_minute`, `per_hour`, `per_day` as are given: all
    hold. `burst` may go at once after quiet. `in_flight`: at most so many requests under way.
    """

    requests: Rate | None = None
    per_s: Annotated[float, Field(gt=0, le=86_400)] = 1.0
    per_second: Rate | None = None
    per_minute: Rate | None = None
    per_hour: Rate | None = None
    per_day: Rate | None = None
    burst: Rate = 1
    in_flight: Annotated[int, Field(ge=1, le=1000)] | None = None

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if not any(
            (self.requests, self.per_second, self.per_minute, self.per_hour, self.per_day, self.in_flight)
        ):
            raise ValueError(
                "give `requests` (with `per_s`), `per_second`, `per_minute`, `per_hour`, `per_day` or `in_flight`"
            )
        return self


class Stream(Closed):
    """One collection of a source.

    Without `destination` nothing is loaded: the call is made, and status, size and the beginning of the answer are
    kept; without `records` as well, its body may be anything. `fields` are the fields of a row (`rest: keep`: beside
    the others of its record), as a list of names or rules or as a mapping of names to paths or rules; without them a
    row is the record. `parameters` are what `{parameters.name}` in its request stands for where a run has none of its
    own. `values` are the records themselves, for which nothing is asked: what other streams, whose parent this is, are
    asked for once each. Texts and numbers among them are `{value: …}`.
    """

    name: Name
    parameters: dict[str, Any] = {}
    values: Annotated[tuple[dict[str, Any], ...], Field(min_length=1, max_length=10_000)] | None = None
    request: Request = Request()
    pagination: Pagination = NoPagination()
    records: Records | None = None
    fields: RecordFields = ()
    rest: Literal["drop", "keep"] = "drop"
    errors: Errors = Errors()
    limits: Limits = Limits()
    incremental: Incremental | None = None
    parent: Parent | None = None
    destination: Destination | None = None

    @field_validator(
        "values",
        mode="before",
        json_schema_input_type=tuple[dict[str, Any] | str | int | float | bool, ...] | None,
    )
    @classmethod
    def _values_spelled_out(cls, value: object) -> object:
        if not isinstance(value, list | tuple):
            return value
        return [{"value": item} if isinstance(item, str | int | float) else item for item in value]

    @model_validator(mode="after")
    def _values_are_asked_for_nowhere(self) -> Self:
        default = type(self).model_fields
        asking = ("request", "pagination", "records", "errors", "incremental", "parent")
        named = [name for name in asking if getattr(self, name) != default[name].default]
        if self.values is not None and named:
            raise ValueError(f"`values` are the records, and nothing is asked for: leave out `{named[0]}`")
        return self

    @field_validator("fields", mode="before", json_schema_input_type=FieldsForm)
    @classmethod
    def _fields_spelled_out(cls, value: object) -> object:
        return spelled_out_fields(value)

    @property
    def cursor_rule(self) -> Incremental | None:
        """`incremental`, where it is not turned off."""
        return self.incremental if self.incremental is not None and self.incremental.enabled else None

    @property
    def asks_for_new(self) -> bool:
        """Whether its requests say what the last run ended with."""
        rule = self.cursor_rule
        return rule is not None and (rule.param is not None or self.request.names("since"))

    @model_validator(mode="after")
    def _fields_go_somewhere(self) -> Self:
        if self.destination is None and self.fields:
            raise ValueError("`fields` are those of a table: give a `destination`, or leave them out")
        if self.rest == "keep" and not self.fields:
            raise ValueError("`rest` is what stays beside `fields`: give these, or leave it out")
        return self


class Source(Closed):
    """One remote API. Of the runs of its streams, at most `max_running` are under way at once."""

    name: Name
    base_url: HttpUrl
    auth: Auth = NoAuth()
    headers: dict[str, str] = {}
    rate_limit: RateLimit | None = None
    timeout_s: Annotated[float, Field(gt=0, le=600)] = 30.0
    max_running: Annotated[int, Field(ge=1, le=10_000)] | None = None
    network: Network = Network()
    streams: tuple[Stream, ...] = ()


class StreamDefinition(Closed):
    """What a run is pinned to: a stream with the parts of its source that shape its requests.

    Stored as an immutable version; secrets are only named (`${secret:NAME}`). `lineage`: the streams whose records
    this one is asked for, the topmost first, its own parent last; empty for most.
    """

    tenant: str
    source: Name
    base_url: str
    auth: Auth = NoAuth()
    headers: dict[str, str] = {}
    timeout_s: float = 30.0
    network: Network = Network()
    stream: Stream
    lineage: tuple[Stream, ...] = ()
