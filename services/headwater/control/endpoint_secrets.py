"""An endpoint's secrets: their state, rotation without a refused request, retirement; and its handshake."""

import base64
import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, Self

import orjson
from pydantic import Field, model_validator

from headwater.contracts.base import Closed
from headwater.contracts.endpoint import Endpoint as Definition
from headwater.contracts.endpoints import Instant, SecretWindow
from headwater.contracts.manifest import Manifest
from headwater.control.apply import apply_manifest
from headwater.control.endpoints import definition_of, endpoint_of
from headwater.control.problems import conflict, invalid_at, not_found
from headwater.control.route import Answer, Call, Desk, NoQuery, Reply
from headwater.model.errors import ConfigError, SecretError
from headwater.model.secret import Secret
from headwater.plugins.secret_text import names_in
from headwater.plugins.signatures.keys import is_basic, load_keys
from headwater.plugins.signatures.scheme import Scheme
from headwater.plugins.webhooks.schemes import handshake_of, learns, needs_secret, scheme_of, windows
from headwater.store import config, endpoints
from headwater.store.secret_status import SecretState, status_of

_DAY_S = 86_400
_MAX_SECRETS = 20
_SHARED_KINDS = frozenset({"hmac", "hash", "token", "jwt-hs256"})  # both sides hold the same text


class EndpointSecret(Answer):
    """One of an endpoint's secrets by its place and name, never its value.

    `watched_since`: since when this value stands under the name. `why` explains `safe_to_retire`.
    """

    index: int
    name: str
    state: Literal["pending", "active", "expired", "missing"]
    not_before: datetime | None
    not_after: datetime | None
    watched_since: datetime | None
    last_used_at: datetime | None
    use_count: int
    safe_to_retire: bool
    why: str


class EndpointSecrets(Answer):
    """The secrets in the order of the endpoint's definition; one that its provider handed over comes last."""

    items: list[EndpointSecret]
    next: None = None


class Rotation(Closed):
    """A new secret beside those there are. Without `secret` one is made and shown once (schemes with a shared text).

    The others count for `overlap_s` more seconds (null: until they are retired). `not_before`: when the new one begins.
    """

    secret: (
        Annotated[str, Field(min_length=1, max_length=65_536, json_schema_extra={"x-secret": True})] | None
    ) = None
    overlap_s: Annotated[int, Field(ge=0, le=366 * _DAY_S)] | None = _DAY_S
    not_before: Instant | None = None


class Rotated(EndpointSecrets):
    """`secret` is the one that was made, shown this once; null where it was given."""

    secret: str | None


class Retirement(Closed):
    """Which secret goes, by its `index` or its `name`. `force`: also one that is not safe to retire."""

    index: Annotated[int, Field(ge=0, le=1000)] | None = None
    name: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    force: bool = False

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.index is None) == (self.name is None):
            raise ValueError("give `index` or `name`, one of them")
        return self


class HandshakeState(Answer):
    """The endpoint's handshake. `state`: `none`; `answered` whenever it is asked; `awaiting` or `made` where the
    provider hands its secret over once.
    """

    kind: str | None
    methods: list[str]
    signed: bool
    hands_over_secret: bool
    state: Literal["none", "answered", "awaiting", "made"]
    received_at: datetime | None
    shown_at: datetime | None


class HandshakeSecret(Answer):
    """The secret that the provider handed over, shown this once."""

    secret: str


def secret_view(each: SecretState) -> dict[str, Any]:
    same = [name for name in EndpointSecret.model_fields if name != "safe_to_retire"]
    return {**{name: getattr(each, name) for name in same}, "safe_to_retire": each.is_safe_to_retire}


async def _status(connection: Any, desk: Desk, call: Call[Any, Any]) -> list[SecretState]:
    row = await endpoint_of(connection, call)
    return await status_of(connection, call.tenant, row["name"], row["definition"], now=desk.clock.now())


async def list_endpoint_secrets(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    async with desk.acting(call) as connection:
        states = await _status(connection, desk, call)
    return Reply({"items": [secret_view(each) for each in states]})


async def rotate_endpoint_secret(desk: Desk, call: Call[NoQuery, Rotation]) -> Reply:
    wanted = call.body
    async with desk.acting(call) as connection:
        await config.lock(connection, call.tenant)
        endpoint = definition_of(await endpoint_of(connection, call))
        scheme = scheme_of(endpoint)
        text = wanted.secret or _made(scheme)
        _check(scheme, text)
        until = (
            None if wanted.overlap_s is None else _begins(wanted, desk) + timedelta(seconds=wanted.overlap_s)
        )
        new = SecretWindow(value=text, not_before=wanted.not_before) if wanted.not_before else text
        kept = [_until(each, until) for each in windows(endpoint)]
        if len(kept) >= _MAX_SECRETS:
            raise conflict(f"The endpoint has {len(kept)} secrets: retire some first")
        await _write(connection, desk, call.tenant, endpoint, (new, *kept))
        states = await _status(connection, desk, call)
    shown = None if wanted.secret is not None else text
    return Reply({"items": [secret_view(each) for each in states], "secret": shown})


def _begins(wanted: Rotation, desk: Desk) -> datetime:
    now = desk.clock.now()
    return now if wanted.not_before is None else max(now, wanted.not_before)


def _made(scheme: Scheme) -> str:
    """A fresh secret in the form that the scheme reads. Raises: Refusal 422 where only a provider can make one."""
    definition = scheme.definition
    if definition.kind not in _SHARED_KINDS or definition.key.encoding == "pem":
        raise invalid_at(
            "/secret", f"is missing: scheme {scheme.name} takes a key that its provider publishes"
        )
    raw = os.urandom(32)
    if definition.key.encoding == "jwk":
        return orjson.dumps({"kty": "oct", "k": base64.urlsafe_b64encode(raw).decode().rstrip("=")}).decode()
    if definition.key.encoding == "hex":
        text = raw.hex()
    elif definition.key.encoding == "base64":
        text = base64.b64encode(raw).decode()
    else:
        text = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    if is_basic(scheme):
        return f"headwater:{text}"  # RFC 7617: user and password
    return (definition.key.strip_prefix or "") + text


def _check(scheme: Scheme, text: str) -> None:
    if names_in(text):
        return
    try:
        load_keys(scheme, Secret.of(text))
    except (ConfigError, SecretError) as error:
        raise invalid_at("/secret", str(error)) from error


def _until(window: SecretWindow, until: datetime | None) -> SecretWindow | str:
    """The window, closed at `until` at the latest."""
    end = window.not_after
    if until is not None and (end is None or until < end):
        end = until
    if end is None and window.not_before is None:
        return window.value
    begin = window.not_before
    if begin is not None and end is not None and begin >= end:
        begin = None if end == window.not_after else end - timedelta(microseconds=1)
    return SecretWindow(value=window.value, not_before=begin, not_after=end)


async def _write(
    connection: Any, desk: Desk, tenant: str, endpoint: Definition, secrets: tuple[SecretWindow | str, ...]
) -> None:
    changed = endpoint.model_copy(update={"secrets": secrets})
    await apply_manifest(connection, desk.keyring, Manifest(version=1, tenant=tenant, endpoints=(changed,)))


async def retire_endpoint_secret(desk: Desk, call: Call[NoQuery, Retirement]) -> Reply:
    wanted = call.body
    async with desk.acting(call) as connection:
        await config.lock(connection, call.tenant)
        endpoint = definition_of(await endpoint_of(connection, call))
        states = await _status(connection, desk, call)
        chosen = next(
            (each for each in states if wanted.index == each.index or wanted.name == each.name), None
        )
        if chosen is None:
            raise not_found("secret of this endpoint")
        if chosen.index >= len(endpoint.secrets):
            raise conflict("It is the one that the provider handed over: reset the handshake instead")
        if not chosen.is_safe_to_retire and not wanted.force:
            raise conflict(f"It is not safe to retire: {chosen.why}; wait, or say `force`")
        kept = tuple(each for index, each in enumerate(endpoint.secrets) if index != chosen.index)
        if not kept and needs_secret(scheme_of(endpoint), handshake_of(endpoint, scheme_of(endpoint))):
            raise conflict(
                "It is the endpoint's only secret: rotate to a new one first, or remove the endpoint"
            )
        await _write(connection, desk, call.tenant, endpoint, kept)
        states = await _status(connection, desk, call)
    return Reply({"items": [secret_view(each) for each in states]})


def _handshake_view(endpoint: Definition, learnt: Mapping[str, Any] | None) -> dict[str, Any]:
    handshake = handshake_of(endpoint, scheme_of(endpoint))
    hands_over = learns(handshake)
    state = "none" if handshake is None else "answered"
    if hands_over:
        state = "awaiting" if learnt is None and not endpoint.secrets else "made"
    return {
        "kind": None if handshake is None else handshake.name,
        "methods": [] if handshake is None else sorted(handshake.methods),
        "signed": handshake is not None and handshake.signed,
        "hands_over_secret": hands_over,
        "state": state,
        "received_at": None if learnt is None else learnt["received_at"],
        "shown_at": None if learnt is None else learnt["shown_at"],
    }


async def show_handshake(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    async with desk.acting(call) as connection:
        endpoint = definition_of(await endpoint_of(connection, call))
        learnt = await endpoints.handshake(connection, call.tenant, endpoint.name)
    return Reply(_handshake_view(endpoint, learnt))


async def reset_handshake(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    """The provider's secret goes; the endpoint waits for its handshake again."""
    async with desk.acting(call) as connection:
        await config.lock(connection, call.tenant)
        endpoint = definition_of(await endpoint_of(connection, call))
        if not learns(handshake_of(endpoint, scheme_of(endpoint))):
            raise conflict("This endpoint's handshake keeps nothing: there is nothing to reset")
        await endpoints.forget_handshake(connection, call.tenant, endpoint.name)
        learnt = await endpoints.handshake(connection, call.tenant, endpoint.name)
    return Reply(_handshake_view(endpoint, learnt))


async def reveal_handshake_secret(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    """Once: some providers want their token back (Notion's verification)."""
    async with desk.acting(call) as connection:
        endpoint = definition_of(await endpoint_of(connection, call))
        if await endpoints.handshake(connection, call.tenant, endpoint.name) is None:
            raise conflict("The provider has handed no secret over")
        try:
            secret = await endpoints.show_handshake_secret(
                connection, desk.keyring, call.tenant, endpoint.name
            )
        except SecretError as error:
            raise conflict(str(error)) from error
    if secret is None:
        raise conflict("It was shown already, and is shown once only; reset the handshake for a new one")
    return Reply({"secret": secret.text()})
