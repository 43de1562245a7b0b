"""What an endpoint would do with a request: nothing is received, nothing is written, nothing is answered for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import Field, model_validator

from headwater.contracts.base import Closed
from headwater.contracts.endpoint import Endpoint as Definition
from headwater.control.endpoints import definition_of, endpoint_of
from headwater.control.problems import conflict, not_found
from headwater.control.refusals import explained
from headwater.control.route import Answer, Call, Desk, NoQuery, Reply
from headwater.control.signatures import ReceivedRequest, moment_at, signed_request
from headwater.model.errors import ConfigError, ContractError, SecretError
from headwater.model.networks import is_within, networks
from headwater.model.secret import Secret
from headwater.plugins.secret_text import names_in
from headwater.plugins.signatures.reasons import UNDER_NO_SECRET, resting_detail
from headwater.plugins.signatures.request import SignedRequest
from headwater.plugins.webhooks.effects import compile_effects
from headwater.plugins.webhooks.encoding import ENCODINGS, TooLargeError, decompressed
from headwater.plugins.webhooks.rehearsal import judged, rehearse
from headwater.plugins.webhooks.schemes import handshake_of, learns, scheme_of, windows
from headwater.store import config, deliveries, endpoints

_OF_A_REQUEST = frozenset(ReceivedRequest.model_fields)


class TestRequest(Closed):
    """A request as it came (`request`), or a delivery that is stored (`delivery`: its id).

    `at`: the moment to judge at (default: now, or the delivery's). `remote`: the sender's address, for the endpoint's
    `allow`. What authorises is not kept of a delivery, so that a token in Authorization cannot be judged again.
    """

    __test__ = False

    request: ReceivedRequest | None = None
    delivery: UUID | None = None
    at: datetime | None = Field(default=None, description="Epoch seconds or ISO 8601.")
    remote: Annotated[str | None, Field(max_length=64)] = None

    @model_validator(mode="before")
    @classmethod
    def _request_spelled_out(cls, value: object) -> object:
        """The request's own fields may stand at the top."""
        if not isinstance(value, dict) or "request" in value or not value.keys() & _OF_A_REQUEST:
            return value
        request = {name: each for name, each in value.items() if name in _OF_A_REQUEST}
        return {"request": request} | {
            name: each for name, each in value.items() if name not in _OF_A_REQUEST
        }

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.request is None) == (self.delivery is None):
            raise ValueError("give `request` or `delivery`, one of them")
        return self


class TestVerification(Answer):
    """How the signature was judged; `secret` is the place of the one that verified in the endpoint's list."""

    __test__ = False

    valid: bool
    reason: str
    explanation: str
    detail: str
    secret: int | None
    timestamp: float | None
    skew_s: float | None


class TestTable(Answer):
    """Rows for a table; at most 20 are shown."""

    __test__ = False

    table: str | None
    records: list[Any]
    record_count: int
    rejected_count: int


class TestStart(Answer):
    __test__ = False

    stream: str
    mode: str
    parameters: dict[str, Any]


class TestResult(Answer):
    """What would become of the request.

    `status` is what the sender would be answered, `refused` the code of why (null: it is accepted); what follows
    (`state`, `tables`, `starts`, `event`) is told whatever the signature. `handshake_status`: the request is a
    handshake, answered so. `duplicate_of` names the delivery that it would be a mark on.
    """

    __test__ = False

    status: int
    refused: str | None
    explanation: str | None
    verification: TestVerification
    handshake_status: int | None
    key: str | None
    duplicate_of: UUID | None
    order_key: str | None
    type: str | None
    state: str
    reason: str | None
    parsed_as: str | None
    tables: list[TestTable]
    starts: list[TestStart]
    event: Annotated[str | None, Field(description="Routing key on headwater.events.")]


async def test_endpoint(desk: Desk, call: Call[NoQuery, TestRequest]) -> Reply:
    async with desk.acting(call) as connection:
        row = await endpoint_of(connection, call)
        endpoint = definition_of(row)
        request, at = await _request(connection, call, desk.clock.now())
        known = await _secrets(connection, desk, call.tenant, endpoint, at)
        secrets = [each.secret for each in known if each.counts]
        places = [each.index for each in known if each.counts]
        try:
            keys = await _keys(connection, desk, call.tenant, endpoint)
            seen = rehearse(call.tenant, endpoint, secrets, request, at, keys)
        except ConfigError as error:
            raise conflict(f"The endpoint is out of service: {error}") from error
        held = None
        if seen.known.key is not None:
            held = await deliveries.holder_of(connection, call.tenant, endpoint.name, seen.known.key)
    told = seen.told(call.tenant, endpoint.name)
    verdict = seen.verdict
    secret = verdict.secret_index
    verification = {
        **told["verification"],
        "detail": _resting(endpoint, known, request, at, verdict.reason)
        or verdict.detail
        or _unfetched(endpoint, known),
        "explanation": explained(verdict.reason),
        "secret": places[secret] if secret is not None and secret < len(places) else None,
        "timestamp": verdict.timestamp_s,
        "skew_s": None if verdict.timestamp_s is None else round(at.timestamp() - verdict.timestamp_s, 3),
    }
    status, refused = _answered(row, endpoint, request, call.body.remote, told["handshake_status"], verdict)
    return Reply(
        {
            **told,
            "verification": verification,
            "status": status,
            "refused": refused,
            "explanation": None if refused is None else explained(refused),
            "duplicate_of": None if held == call.body.delivery else held,
        }
    )


def _unfetched(endpoint: Definition, known: Sequence["_Known"]) -> str:
    """Tell that a receiver would fetch what verifies, which is not done here."""
    if known or not scheme_of(endpoint).fetches_keys:
        return ""
    return "the receiver fetches the certificate or the keys; to judge here, give them as the secret"


def _answered(
    row: Mapping[str, Any],
    endpoint: Definition,
    request: SignedRequest,
    remote: str | None,
    handshake_status: int | None,
    verdict: Any,
) -> tuple[int, str | None]:
    """Status and code in the order in which the receiver judges."""
    if not row["enabled"]:
        return 404, "unknown"
    if endpoint.allow and not is_within(remote or "", networks(endpoint.allow, "allow")):
        return 403, "address"
    handshake = handshake_of(endpoint, scheme_of(endpoint))
    methods = set(endpoint.methods) | (set() if handshake is None else set(handshake.methods))
    if request.method not in methods:
        return 405, "method"
    encoding = _encoding(request)
    if encoding and not (endpoint.limits.compressed and encoding in ENCODINGS):
        return 415, "compressed"
    if len(request.body) > endpoint.limits.body_bytes:
        return 413, "too_large"
    if handshake_status is not None:
        return handshake_status, "handshake" if handshake_status >= 400 else None
    if not verdict.valid:
        return 401, verdict.reason
    if request.method not in endpoint.methods:
        return 405, "method"
    if encoding:
        try:
            decompressed(request.body, encoding, endpoint.limits.body_bytes)
        except TooLargeError:
            return 413, "too_large"
        except ContractError:
            return 400, "damaged_body"
    return endpoint.respond.status, None


def _encoding(request: SignedRequest) -> str:
    values = [value for name, value in request.headers if name.lower() == b"content-encoding"]
    text = b",".join(values).decode("latin-1").strip().lower()
    return "" if text == "identity" else text


async def _request(
    connection: Any, call: Call[NoQuery, TestRequest], now: datetime
) -> tuple[SignedRequest, datetime]:
    given = call.body
    if given.delivery is None:
        assert given.request is not None
        return signed_request(given.request), moment_at(given.at, now)
    row = await deliveries.get(connection, given.delivery)
    if row is None or row["endpoint"] != call.path["endpoint"]:
        raise not_found("delivery of this endpoint")
    headers = tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in row["headers"])
    request = SignedRequest(row["method"], row["url"], headers, bytes(row["body"]))
    return request, moment_at(given.at, row["received_at"])


async def _keys(connection: Any, desk: Desk, tenant: str, endpoint: Definition) -> dict[str, Secret]:
    """The keys of hashed fields. Raises: Refusal."""
    wanted = [(tenant, name) for name in compile_effects(endpoint).key_names]
    try:
        opened = await config.get_secrets(connection, desk.keyring, wanted)
    except SecretError as error:
        raise conflict(str(error)) from error
    return {name: secret for (_, name), secret in opened.items()}


@dataclass(frozen=True, slots=True)
class _Known:
    """A secret at its place in the endpoint's list, and whether it counts at the moment that is asked about."""

    index: int
    secret: Secret
    counts: bool


async def _secrets(
    connection: Any, desk: Desk, tenant: str, endpoint: Definition, at: datetime
) -> list[_Known]:
    """The endpoint's secrets that are there. Raises: Refusal."""
    given = list(windows(endpoint))
    scheme = scheme_of(endpoint)
    names = [(names_in(each.value) or (None,))[0] for each in given]
    counts = [
        (each.not_before is None or at >= each.not_before) and (each.not_after is None or at < each.not_after)
        for each in given
    ]
    learnt = await endpoints.handshake(connection, tenant, endpoint.name)
    if learns(handshake_of(endpoint, scheme)) and learnt is not None:
        names.append(learnt["secret"])
        counts.append(True)
    wanted = [(tenant, name) for name in names if name is not None]
    try:
        known = await config.get_secrets(connection, desk.keyring, wanted)
    except SecretError as error:
        raise conflict(str(error)) from error
    return [
        _Known(index, known[tenant, name], counts[index])
        for index, name in enumerate(names)
        if name is not None and (tenant, name) in known
    ]


def _resting(
    endpoint: Definition, known: Sequence[_Known], request: SignedRequest, at: datetime, reason: str
) -> str:
    """Tell of a secret that made the signature and does not count at `at`, as the receiver does."""
    others = [each for each in known if not each.counts] if reason in UNDER_NO_SECRET else []
    if not others:
        return ""
    verdict = judged(endpoint, [each.secret for each in others], request, at)
    return resting_detail(others[verdict.secret_index or 0].index) if verdict.valid else ""
