"""The parts of an endpoint as people write them: what is accepted, what a delivery does, how it is answered.

Expressions are JMESPath. Unless a part says otherwise they see the request: `body` (parsed), `headers` (lower-case
names), `query`, `method`, `type` (what the provider calls the event).
"""

from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, field_validator, model_validator

from headwater.contracts.base import Closed
from headwater.contracts.naming import Expression, FieldPath, HeaderName, HeaderValue, SecretText

Method = Literal["POST", "PUT", "PATCH", "GET", "DELETE"]
Form = Literal["auto", "json", "ndjson", "form", "multipart", "xml", "text", "cloudevents", "none"]
_OWN_HEADERS = frozenset(
    {"connection", "content-length", "date", "keep-alive", "server", "transfer-encoding", "upgrade"}
)
_DAY_S = 86_400
NO_CONTENT = frozenset({204, 205})  # RFC 9110 §15.3.5 and 6: answers that have no body


def _aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _range(text: str) -> str:
    try:
        ip_network(text)
    except ValueError as error:
        raise ValueError("give an address or a range such as 192.0.2.0/24 (no host bits set)") from error
    return text


Instant = Annotated[datetime, AfterValidator(_aware)]
AddressRange = Annotated[str, StringConstraints(max_length=64), AfterValidator(_range)]


class SecretWindow(Closed):
    """A secret that counts from `not_before` until `not_after` (times without a zone are UTC)."""

    value: SecretText
    not_before: Instant | None = None
    not_after: Instant | None = None

    @model_validator(mode="after")
    def _it_opens_before_it_closes(self) -> Self:
        if self.not_before and self.not_after and self.not_before >= self.not_after:
            raise ValueError("`not_before` must be earlier than `not_after`")
        return self


class Dedupe(Closed):
    """Where the delivery's id is; deliveries with an id seen before are marks on the first one.

    One of `header`, `path` (a dotted path into the body), `expression`, `body` (the SHA-256 of the bytes) or `none`;
    without any of them the scheme's own place of the provider's delivery id. `window_s` is how long an id counts.
    """

    header: HeaderName | None = None
    path: FieldPath | None = None
    expression: Expression | None = None
    body: bool = False
    none: bool = False
    window_s: Annotated[int, Field(ge=60, le=366 * _DAY_S)] = 7 * _DAY_S

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        given = [
            self.header is not None,
            self.path is not None,
            self.expression is not None,
            self.body,
            self.none,
        ]
        if sum(given) > 1:
            raise ValueError("give one of `header`, `path`, `expression`, `body` and `none`")
        return self


class InboundRate(Closed):
    """At most `requests` in `per_s` seconds, at most `burst` at once (default: `requests`), for each process."""

    requests: Annotated[int, Field(ge=1, le=1_000_000)]
    per_s: Annotated[float, Field(gt=0, le=_DAY_S)] = 1.0
    burst: Annotated[int, Field(ge=1, le=1_000_000)] | None = None


class EndpointLimits(Closed):
    """`body_bytes` bounds the body as it is sent, and again when it is decompressed.

    `compressed`: whether gzip and deflate bodies are accepted; the signature counts over the bytes as sent.
    """

    body_bytes: Annotated[int, Field(ge=1, le=25 * 1024 * 1024)] = 10 * 1024 * 1024
    rate: InboundRate | None = None
    compressed: bool = False


class Respond(Closed):
    """The answer to an accepted delivery. `{delivery_id}` in a text body stands for the delivery's id.

    Without a body it is `{"id": …}`; with a body that is no text it is written as JSON. Answers of 204 and 205 have
    none.
    """

    status: Annotated[int, Field(ge=200, le=299)] = 202
    headers: dict[HeaderName, HeaderValue] = Field(default={}, max_length=20)
    body: Annotated[str, StringConstraints(max_length=16_384)] | dict[str, Any] | list[Any] | None = None

    @field_validator("headers")
    @classmethod
    def _no_header_of_ours(cls, headers: dict[str, str]) -> dict[str, str]:
        for name in headers:
            if name.lower() in _OWN_HEADERS:
                raise ValueError(f"{name} is set by the server itself")
        return headers


class DeliveryRecords(Closed):
    """Where the records are in the body; without a path the body is the record, or the list of records.

    `filter`: an expression over a record; those for which it is not true are left out.
    """

    path: Expression | None = None
    filter: Expression | None = None


class Start(Closed):
    """A run of `stream` that a delivery starts, if `when` is true. The parameters' values are expressions."""

    stream: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}\.[a-z0-9][a-z0-9_-]{0,62}$")]
    when: Expression | None = None
    mode: Literal["auto", "incremental", "full"] = "auto"
    parameters: dict[Annotated[str, StringConstraints(min_length=1, max_length=128)], Expression] = Field(
        default={}, max_length=50
    )


class Publish(Closed):
    """An event for subscribers of `headwater.events`: `<tenant>.webhook.<endpoint>.<type>`, the raw body as its body.

    `type` is an expression; without it the provider's type, else `received`.
    """

    type: Expression | None = None


class Retention(Closed):
    """Deliveries are kept for `days`, with their bytes, headers and marks."""

    days: Annotated[int, Field(ge=1, le=3650)] = 30


Silence = Annotated[int, Field(ge=60, le=366 * _DAY_S)] | Literal["auto", "off"]


class Alarms(Closed):
    """When an endpoint calls for attention.

    `silence_s`: after so many seconds without a delivery; `auto`: after three times its longest quiet time of the
    last 14 days, at least 15 minutes; `off`. `refusal_rate`: the share of refused requests (0 to 1) in 15 minutes, of
    at least 20 requests; null: none.
    """

    silence_s: Silence = "auto"
    refusal_rate: Annotated[float, Field(gt=0, le=1)] | None = 0.5

    @field_validator("silence_s", mode="before", json_schema_input_type=Silence)
    @classmethod
    def _off_is_false_to_yaml(cls, value: object) -> object:
        return "off" if value is False else value


def spelled_out(value: object, word: str) -> object:
    """`{word: true}` for the bare word: `dedupe: none` is `dedupe: {none: true}`."""
    return {word: True} if value == word else value
