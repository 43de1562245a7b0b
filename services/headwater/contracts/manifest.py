"""The manifest: what people write to say what is to be ingested (YAML; JSON Schema in `schemas/config/`).

Texts may hold `${env:NAME}` (read when the manifest is applied) and `${secret:NAME}` (read at run time).
"""

import re
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, field_validator, model_validator

from headwater.contracts.base import Closed

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?$")]
TableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")]
Expression = Annotated[str, StringConstraints(min_length=1, max_length=2048)]  # JMESPath


def _http_url(text: str) -> str:
    if not re.match(r"^https?://[^/\s?#]+", text) and not text.startswith("${"):
        raise ValueError("must be an absolute http:// or https:// address")
    return text.rstrip("/") if text.count("/") == 3 else text


HttpUrl = Annotated[str, AfterValidator(_http_url)]
SecretText = Annotated[str, Field(min_length=1, json_schema_extra={"x-secret": True})]  # stored encrypted


class NoAuth(Closed):
    type: Literal["none"] = "none"


class BearerAuth(Closed):
    type: Literal["bearer"]
    token: SecretText


class BasicAuth(Closed):
    type: Literal["basic"]
    username: str
    password: SecretText


class ApiKeyAuth(Closed):
    type: Literal["api_key"]
    name: str = "X-API-Key"
    value: SecretText
    place: Literal["header", "query", "cookie"] = Field("header", alias="in")


Auth = Annotated[NoAuth | BearerAuth | BasicAuth | ApiKeyAuth, Field(discriminator="type")]


class Network(Closed):
    """Private address ranges this source may reach (CIDR); everything else private is refused."""

    allow: tuple[str, ...] = ()


class RateLimit(Closed):
    """At most `requests` in `per_s` seconds over all workers, at most `burst` of them at once."""

    requests: Annotated[int, Field(ge=1, le=1_000_000)]
    per_s: Annotated[float, Field(gt=0, le=86_400)] = 1.0
    burst: Annotated[int, Field(ge=1, le=1_000_000)] = 1


class Request(Closed):
    method: Literal["GET"] = "GET"
    path: str = ""
    params: dict[str, str | int | float | bool] = {}
    headers: dict[str, str] = {}


class NoPagination(Closed):
    type: Literal["none"] = "none"


class _Paged(Closed):
    """What the counting paginators share. Paths are JMESPath into the answer's body."""

    size: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    size_param: str | None = None
    total: Expression | None = None
    total_pages: Expression | None = None
    has_more: Expression | None = None


class OffsetPagination(_Paged):
    type: Literal["offset"]
    offset_param: str = "offset"
    size_param: str | None = "limit"
    size: Annotated[int, Field(ge=1, le=1_000_000)] = 100
    start: Annotated[int, Field(ge=0)] = 0


class PagePagination(_Paged):
    type: Literal["page"]
    page_param: str = "page"
    start: Annotated[int, Field(ge=0)] = 1


class CursorPagination(_Paged):
    type: Literal["cursor"]
    cursor_param: str = "cursor"
    cursor_path: Expression


class NextUrlPagination(_Paged):
    type: Literal["next_url"]
    next_path: Expression


class LinkPagination(_Paged):
    """RFC 8288 Link header."""

    type: Literal["link"]
    rel: str = "next"


Pagination = Annotated[
    NoPagination | OffsetPagination | PagePagination | CursorPagination | NextUrlPagination | LinkPagination,
    Field(discriminator="type"),
]


class Records(Closed):
    """Where the records are in the answer (JMESPath); without a path the body itself is the list."""

    path: Expression | None = None


class Limits(Closed):
    """Built-in limits always apply: a walk that meets one ends `partial` with the warning `limit_reached`."""

    max_pages: Annotated[int, Field(ge=1)] = 100_000
    max_records: Annotated[int, Field(ge=1)] = 100_000_000
    max_seconds: Annotated[int, Field(ge=1, le=7 * 86_400)] = 86_400


class Incremental(Closed):
    """The field whose highest value is kept as the cursor, and the parameter that asks for what is newer."""

    field: Expression
    param: str
    start: str | int | None = None


class Destination(Closed):
    """Where records go: a table of the tenant's schema in headwater's own database."""

    table: TableName
    mode: Literal["append", "merge"] = "append"
    key: tuple[str, ...] = ()

    @field_validator("key", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _merge_needs_a_key(self) -> Self:
        if self.mode == "merge" and not self.key:
            raise ValueError("mode merge needs `key`: the field or fields that identify a record")
        return self


class Stream(Closed):
    name: Name
    request: Request = Request()
    pagination: Pagination = NoPagination()
    records: Records = Records()
    limits: Limits = Limits()
    incremental: Incremental | None = None
    destination: Destination


class Source(Closed):
    name: Name
    base_url: HttpUrl
    auth: Auth = NoAuth()
    headers: dict[str, str] = {}
    rate_limit: RateLimit | None = None
    timeout_s: Annotated[float, Field(gt=0, le=600)] = 30.0
    network: Network = Network()
    streams: tuple[Stream, ...] = ()


StreamRef = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?\.[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?$"),
]


class Schedule(Closed):
    """When streams are due. Without a time specification a schedule is manual."""

    name: Name
    description: str = ""
    streams: tuple[StreamRef, ...] = Field(min_length=1)
    cron: str | None = None
    interval: str | None = None
    once: datetime | None = None
    timezone: str = "UTC"
    enabled: bool = True
    mode: Literal["auto", "incremental", "full"] = "auto"
    parameters: dict[str, Any] = {}

    @model_validator(mode="after")
    def _one_specification(self) -> Self:
        given = [name for name in ("cron", "interval", "once") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"give one of cron, interval and once, not {' and '.join(given)}")
        return self


class Dedupe(Closed):
    """Where the provider's delivery id is: a header; deliveries with an id seen before are marks on the first."""

    header: str | None = None
    window_s: Annotated[int, Field(ge=60, le=366 * 86_400)] = 7 * 86_400


class EndpointLimits(Closed):
    body_bytes: Annotated[int, Field(ge=1, le=25 * 1024 * 1024)] = 10 * 1024 * 1024


class Endpoint(Closed):
    """An address that accepts webhooks: `POST /in/{tenant}/{name}`."""

    name: Name
    scheme: Name
    secrets: tuple[SecretText, ...] = ()
    tolerance_s: Annotated[int, Field(ge=1, le=86_400)] = 300
    dedupe: Dedupe = Dedupe()
    limits: EndpointLimits = EndpointLimits()
    destination: Destination | None = None


class Manifest(Closed):
    version: Literal[1]
    tenant: Name = "default"
    sources: tuple[Source, ...] = ()
    schedules: tuple[Schedule, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()


class StreamDefinition(Closed):
    """What a run is pinned to: a stream with the parts of its source that shape its requests.

    Stored as an immutable version; secrets are only named (`${secret:NAME}`).
    """

    tenant: str
    source: Name
    base_url: str
    auth: Auth = NoAuth()
    headers: dict[str, str] = {}
    timeout_s: float = 30.0
    network: Network = Network()
    stream: Stream
