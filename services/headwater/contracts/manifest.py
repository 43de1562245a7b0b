"""The manifest: what people write to say what is to be ingested (YAML; JSON Schema in `schemas/config/`).

Texts may hold `${env:NAME}` (read when the manifest is applied) and `${secret:NAME}` (read at run time).
"""

import re
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, field_validator, model_validator

from headwater.contracts.auth import ApiKeyAuth, Auth, BasicAuth, BearerAuth, NoAuth, SecretText
from headwater.contracts.base import Closed
from headwater.contracts.pagination import (
    CursorPagination,
    Expression,
    LinkPagination,
    NextUrlPagination,
    NoPagination,
    OffsetPagination,
    PagePagination,
    Pagination,
)

from headwater.contracts.signatures import SchemeDefinition

__all__ = [
    "ApiKeyAuth",
    "Auth",
    "BasicAuth",
    "BearerAuth",
    "CursorPagination",
    "Expression",
    "LinkPagination",
    "NextUrlPagination",
    "NoAuth",
    "NoPagination",
    "OffsetPagination",
    "PagePagination",
    "Pagination",
    "SecretText",
]  # what is made elsewhere and read from here; the classes below need no entry

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?$")]
TableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")]


def _http_url(text: str) -> str:
    if not re.match(r"^https?://[^/\s?#]+", text) and not text.startswith("${"):
        raise ValueError("must be an absolute http:// or https:// address")
    return text.rstrip("/") if text.count("/") == 3 else text


HttpUrl = Annotated[str, AfterValidator(_http_url)]


class Network(Closed):
    """Private address ranges this source may reach (CIDR); everything else private is refused."""

    allow: tuple[str, ...] = ()


class RateLimit(Closed):
    """At most `requests` in `per_s` seconds over all workers, at most `burst` of them at once."""

    requests: Annotated[int, Field(ge=1, le=1_000_000)]
    per_s: Annotated[float, Field(gt=0, le=86_400)] = 1.0
    burst: Annotated[int, Field(ge=1, le=1_000_000)] = 1


Scalar = str | int | float | bool


class Request(Closed):
    """What one page is asked by. `path` is appended to `base_url`; `json` is the body of a POST."""

    method: Literal["GET", "POST"] = "GET"
    path: str = ""
    params: dict[str, Scalar | tuple[Scalar, ...]] = {}
    headers: dict[str, str] = {}
    body: dict[str, Any] | None = Field(default=None, alias="json")

    @model_validator(mode="after")
    def _only_post_has_a_body(self) -> Self:
        if self.body is not None and self.method != "POST":
            raise ValueError("`json` needs `method: POST`")
        return self


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
    """An address that accepts webhooks: `POST /in/{tenant}/{name}`.

    The signature scheme is a preset's name (`scheme`) or written out (`definition`).
    """

    name: Name
    scheme: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{1,64}$")] | None = None
    definition: SchemeDefinition | None = None
    secrets: tuple[SecretText, ...] = ()
    tolerance_s: Annotated[int, Field(ge=1, le=86_400)] = 300
    dedupe: Dedupe = Dedupe()
    limits: EndpointLimits = EndpointLimits()
    destination: Destination | None = None

    @model_validator(mode="after")
    def _one_scheme(self) -> Self:
        if (self.scheme is None) == (self.definition is None):
            raise ValueError("give `scheme` (a preset's name) or `definition`, one of them")
        return self


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
