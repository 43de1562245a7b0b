"""The operator's "why was it refused?": a scheme, secrets and a request in, the verdict out."""

import base64
import binascii
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from headwater.contracts.base import Closed
from headwater.contracts.signatures import SchemeDefinition
from headwater.control.problems import invalid_at
from headwater.control.route import Answer, Call, Desk, NoQuery, Reply
from headwater.model.errors import ConfigError
from headwater.model.secret import Secret
from headwater.plugins.signatures.compile import compile_definition
from headwater.plugins.signatures.keys import check_secrets
from headwater.plugins.signatures.presets import preset
from headwater.plugins.signatures.reasons import REASONS
from headwater.plugins.signatures.request import SignedRequest
from headwater.plugins.signatures.scheme import Scheme
from headwater.plugins.signatures.verify import verify

DEFAULT_TOLERANCE_S = 300.0
_PLACE = re.compile(r"([a-z_]+(?:\.[a-z_]+)*): ")


def _pairs(value: object) -> object:
    """Headers may be written as a mapping, where none comes twice."""
    return list(value.items()) if isinstance(value, dict) else value


class ReceivedRequest(Closed):
    """A request as it came. `url` is the public one that the sender used; `body` is a text, for bytes `body_base64`."""

    method: Annotated[str, Field(min_length=1, max_length=20)] = "POST"
    url: Annotated[str, Field(max_length=16_384)] = ""
    headers: Annotated[
        tuple[tuple[str, str], ...],
        BeforeValidator(_pairs, json_schema_input_type=list[tuple[str, str]] | dict[str, str]),
        Field(max_length=1000, description="[name, value as latin-1] in wire order; or a mapping."),
    ] = ()
    body: str | None = None
    body_base64: str = ""

    @model_validator(mode="after")
    def _one_body(self) -> Self:
        if self.body is not None and self.body_base64:
            raise ValueError("give `body` or `body_base64`, one of them")
        return self


class VerifyRequest(Closed):
    """A scheme (a preset's name, or a definition), secrets, and the request to judge."""

    scheme: Annotated[str | None, Field(max_length=64)] = None
    definition: SchemeDefinition | None = None
    secrets: Annotated[tuple[str, ...], Field(max_length=100, json_schema_extra={"x-secret": True})] = ()
    context: dict[str, str] = Field(default_factory=dict)
    tolerance_s: Annotated[float | None, Field(ge=0, le=1e9, allow_inf_nan=False)] = Field(
        default=None, description="For the past and the future; default: the provider's advice, else 300."
    )
    at: datetime | None = Field(default=None, description="Epoch seconds or ISO 8601; default: now.")
    request: ReceivedRequest

    @model_validator(mode="after")
    def _one_scheme(self) -> Self:
        if (self.scheme is None) == (self.definition is None):
            raise ValueError("give `scheme` (a preset's name) or `definition`, one of them")
        return self


class VerifyAnswer(Answer):
    """`reason` is a stable code, `explanation` its sentence, `detail` the header or field concerned."""

    valid: bool
    reason: str
    explanation: str
    detail: str
    secret_index: int | None
    timestamp: float | None


async def verify_signature(desk: Desk, call: Call[NoQuery, VerifyRequest]) -> Reply:
    wanted = call.body
    scheme = _scheme(wanted)
    tolerance_s = wanted.tolerance_s
    if tolerance_s is None:
        tolerance_s = scheme.tolerance_s or DEFAULT_TOLERANCE_S
    secrets = [Secret.of(text) for text in wanted.secrets]
    verdict = verify(
        scheme,
        secrets,
        signed_request(wanted.request),
        at_s=moment_at(wanted.at, desk.clock.now()).timestamp(),
        tolerance_s=tolerance_s,
        context=wanted.context,
    )
    return Reply(
        {
            "valid": verdict.valid,
            "reason": verdict.reason,
            "explanation": REASONS[verdict.reason],
            "detail": _why_unusable(scheme, secrets) if verdict.reason == "no_secret" else verdict.detail,
            "secret_index": verdict.secret_index,
            "timestamp": verdict.timestamp_s,
        }
    )


def _why_unusable(scheme: Scheme, secrets: Sequence[Secret]) -> str:
    """What is wrong with the secrets, of which none can be used; never a value."""
    try:
        check_secrets(scheme, secrets)
    except ConfigError as error:
        return str(error)
    return ""


def moment_at(at: datetime | None, now: datetime) -> datetime:
    """The moment to judge at; without a zone UTC. Raises: Refusal 422."""
    moment = at or now
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:
        raise invalid_at("/at", "is out of the range of time") from None


def _scheme(wanted: VerifyRequest) -> Scheme:
    try:
        if wanted.definition is not None:
            return compile_definition(wanted.definition)
        return preset(wanted.scheme or "")
    except ConfigError as error:
        place = _PLACE.match(str(error))
        if place is None or wanted.definition is None:
            raise invalid_at("/definition" if wanted.definition else "/scheme", str(error)) from error
        pointer = "/definition/" + place[1].replace(".", "/")
        raise invalid_at(pointer, str(error)[place.end() :]) from error


def signed_request(given: ReceivedRequest) -> SignedRequest:
    """The request as verification takes it. Raises: Refusal 422."""
    try:
        body = (given.body or "").encode("utf-8") or base64.b64decode(given.body_base64, validate=True)
    except (binascii.Error, ValueError):
        raise invalid_at("/request/body_base64", "is not base64") from None
    headers = []
    for index, (name, value) in enumerate(given.headers):
        try:
            headers.append((name.encode("latin-1"), value.encode("latin-1")))
        except UnicodeEncodeError:
            raise invalid_at(f"/request/headers/{index}", "is not latin-1") from None
    return SignedRequest(given.method, given.url, tuple(headers), body)
