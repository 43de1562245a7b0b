"""The manifest: what people write to say what is to be ingested (YAML; JSON Schema in `schemas/config/`).

Texts may hold `${env:NAME}` (read when the manifest is applied) and `${secret:NAME}` (read at run time).
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from headwater.contracts.auth import ApiKeyAuth, Auth, BasicAuth, BearerAuth, NoAuth, SecretText
from headwater.contracts.base import Closed
from headwater.contracts.calendars import Calendar
from headwater.contracts.destination import Destination
from headwater.contracts.destinations import NamedDestination
from headwater.contracts.endpoints import (
    AddressRange,
    Alarms,
    Dedupe,
    DeliveryRecords,
    EndpointLimits,
    Form,
    Method,
    Publish,
    Respond,
    Retention,
    SecretWindow,
    Start,
    spelled_out,
)
from headwater.contracts.fields import FieldsForm, RecordFields, spelled_out_fields
from headwater.contracts.naming import HttpUrl, Name
from headwater.contracts.notifications import Notification
from headwater.contracts.pagination import (
    CursorPagination,
    Expression,
    KeysetPagination,
    LinkPagination,
    NextUrlPagination,
    NoPagination,
    OffsetPagination,
    PagePagination,
    Pagination,
    RelayPagination,
    WindowPagination,
)
from headwater.contracts.schedules import Schedule
from headwater.contracts.signatures import SchemeDefinition
from headwater.contracts.walking import Errors, Incremental, Limits, Parent, Records, Request

__all__ = [
    "ApiKeyAuth",
    "Auth",
    "BasicAuth",
    "BearerAuth",
    "Calendar",
    "CursorPagination",
    "Destination",
    "Errors",
    "Expression",
    "HttpUrl",
    "Incremental",
    "KeysetPagination",
    "Limits",
    "LinkPagination",
    "Name",
    "NamedDestination",
    "NextUrlPagination",
    "NoAuth",
    "NoPagination",
    "OffsetPagination",
    "PagePagination",
    "Pagination",
    "Parent",
    "Records",
    "RelayPagination",
    "Request",
    "Schedule",
    "SecretText",
    "WindowPagination",
]  # what is made elsewhere and read from here; the classes below need no entry


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
    own.
    """

    name: Name
    parameters: dict[str, Any] = {}
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

    @field_validator("fields", mode="before", json_schema_input_type=FieldsForm)
    @classmethod
    def _fields_spelled_out(cls, value: object) -> object:
        return spelled_out_fields(value)

    @property
    def cursor_rule(self) -> Incremental | None:
        """`incremental`, where it is not turned off."""
        return self.incremental if self.incremental is not None and self.incremental.enabled else None

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


class EndpointTable(Closed):
    """A table that deliveries go to: which (`when`), which records of theirs, which fields of these.

    `fields` and `rest` as for a stream; in their paths `_` is the request.
    """

    when: Expression | None = None
    records: DeliveryRecords = DeliveryRecords()
    fields: RecordFields = ()
    rest: Literal["drop", "keep"] = "drop"
    destination: Destination

    @field_validator("fields", mode="before", json_schema_input_type=FieldsForm)
    @classmethod
    def _fields_spelled_out(cls, value: object) -> object:
        return spelled_out_fields(value)


class Endpoint(Closed):
    """An address that accepts webhooks: `/in/{tenant}/{name}`.

    The signature scheme is a preset's name (`scheme`) or written out (`definition`). `handshake` is one of the
    providers' by its id, `{when, answer, methods, signed}`, or `none`; by default the preset's.
    `records`, `fields` and `destination` make one table; `tables` several.
    """

    name: Name
    scheme: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{1,64}$")] | None = None
    definition: SchemeDefinition | None = None
    handshake: str | dict[str, Any] | None = None
    secrets: tuple[SecretText | SecretWindow, ...] = ()
    tolerance_s: Annotated[int, Field(ge=1, le=86_400)] | None = None  # None: the provider's advice, else 300
    context: dict[str, str] = {}  # what a scheme or handshake names besides the request, such as `webhook_id`
    methods: tuple[Method, ...] = Field(default=("POST",), min_length=1)
    allow: tuple[AddressRange, ...] = ()  # senders' addresses; empty: everyone
    public_url: HttpUrl | None = (
        None  # scheme and host that this endpoint's senders use; None: HEADWATER_PUBLIC_URL
    )
    limits: EndpointLimits = EndpointLimits()
    respond: Respond = Respond()
    dedupe: Dedupe = Dedupe()
    order_by: Expression | None = (
        None  # deliveries for which it gives the same value are loaded one after another
    )
    parse: Form = "auto"
    filter: Expression | None = None
    records: DeliveryRecords = DeliveryRecords()
    fields: RecordFields = ()
    rest: Literal["drop", "keep"] = "drop"
    destination: Destination | None = None
    tables: tuple[EndpointTable, ...] = Field(default=(), max_length=20)
    starts: tuple[Start, ...] = Field(default=(), max_length=20)
    publish: Publish | None = None
    retention: Retention = Retention()
    alarms: Alarms = Alarms()

    @field_validator("fields", mode="before", json_schema_input_type=FieldsForm)
    @classmethod
    def _fields_spelled_out(cls, value: object) -> object:
        return spelled_out_fields(value)

    @field_validator("dedupe", mode="before", json_schema_input_type=Dedupe | Literal["none"])
    @classmethod
    def _dedupe_none(cls, value: object) -> object:
        return spelled_out(value, "none")

    @field_validator("publish", mode="before", json_schema_input_type=Publish | bool | None)
    @classmethod
    def _publish_true(cls, value: object) -> object:
        return {} if value is True else None if value is False else value

    @model_validator(mode="after")
    def _one_scheme(self) -> Self:
        if (self.scheme is None) == (self.definition is None):
            raise ValueError("give `scheme` (a preset's name) or `definition`, one of them")
        return self

    @model_validator(mode="after")
    def _fields_have_a_table(self) -> Self:
        if self.destination is None and (self.fields or self.records != DeliveryRecords()):
            raise ValueError("`records` and `fields` need a `destination`; in `tables` each has its own")
        return self


class Manifest(Closed):
    version: Literal[1]
    tenant: Name = "default"
    destinations: tuple[NamedDestination, ...] = ()
    sources: tuple[Source, ...] = ()
    schedules: tuple[Schedule, ...] = ()
    calendars: tuple[Calendar, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    notifications: tuple[Notification, ...] = ()


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
