"""From an endpoint's definition and its secrets to its address."""

from collections.abc import Mapping

import orjson

from headwater.contracts.endpoint import Endpoint
from headwater.contracts.endpoints import NO_CONTENT, SecretWindow
from headwater.model.errors import ConfigError, SecretError
from headwater.model.ids import KeyIds
from headwater.model.networks import networks
from headwater.model.secret import Secret
from headwater.plugins.secret_text import names_in
from headwater.plugins.signatures.keys import check_secrets
from headwater.plugins.signatures.shield import shield_of
from headwater.plugins.webhooks.facts import compile_facts
from headwater.plugins.webhooks.schemes import handshake_of, learns, scheme_of, windows
from headwater.receiver.address import Address, Success
from headwater.receiver.bucket import Bucket
from headwater.receiver.keys import Keys, NamedSecret
from headwater.receiver.ledger import Tally
from headwater.store.endpoints import handshake_secret_name

DEFAULT_TOLERANCE_S = 300.0
_ID = "{delivery_id}"


def secret_names(endpoint: Endpoint, handshake_secret: str | None) -> list[str]:
    """The names of the secrets that the endpoint needs."""
    names = [name for each in windows(endpoint) for name in names_in(each.value)]
    return names if handshake_secret is None else [*names, handshake_secret]


def address_of(
    tenant: str,
    endpoint: Endpoint,
    secrets: Mapping[tuple[str, str], Secret],
    tally: Tally,
    bucket: Bucket | None,
    handshake_secret: str | None = None,
) -> Address:
    """The endpoint ready to receive. Raises: ConfigError, SecretError when a secret is missing or unusable."""
    scheme = scheme_of(endpoint)
    handshake = handshake_of(endpoint, scheme)
    named = [_opened(tenant, each, secrets) for each in windows(endpoint)]
    is_learning = learns(handshake)
    if is_learning and handshake_secret == handshake_secret_name(endpoint.name):
        named.append(_opened(tenant, SecretWindow(value=f"${{secret:{handshake_secret}}}"), secrets))
    by_certificate = not named and scheme.fetches_keys
    is_awaiting = is_learning and not named
    if not (is_awaiting or by_certificate):
        check_secrets(scheme, [each.secret for each in named])
    success = _success(endpoint)
    shield = shield_of(scheme)
    may_be_prompt = (
        "POST" in endpoint.methods
        and not by_certificate
        and endpoint.order_by is None
        and shield.parameter is None
    )
    return Address(
        tenant=tenant,
        endpoint=endpoint,
        scheme=scheme,
        facts=compile_facts(endpoint, scheme),
        keys=Keys(scheme, named),
        handshake=handshake,
        methods=frozenset(endpoint.methods),
        allowed=networks(endpoint.allow, "allow"),
        bucket=bucket,
        success=success,
        tally=tally,
        tolerance_s=endpoint.tolerance_s or scheme.tolerance_s or DEFAULT_TOLERANCE_S,
        is_awaiting=is_awaiting,
        by_certificate=by_certificate,
        answer_head=success.head() if may_be_prompt else None,
        delivery_ids=KeyIds("delivery", tenant, endpoint.name),
        shield=shield,
    )


def _opened(tenant: str, window: SecretWindow, secrets: Mapping[tuple[str, str], Secret]) -> NamedSecret:
    names = names_in(window.value)
    secret = secrets.get((tenant, names[0])) if names else Secret.of(window.value)
    if secret is None:
        raise SecretError(f"secret {names[0]!r} is not there: set it, or correct the name")
    return NamedSecret(
        names[0] if names else None,
        secret,
        None if window.not_before is None else window.not_before.timestamp(),
        None if window.not_after is None else window.not_after.timestamp(),
    )


def _success(endpoint: Endpoint) -> Success:
    respond = endpoint.respond
    kind, text = "application/json", '{"id":"' + _ID + '"}'
    if isinstance(respond.body, str):
        kind, text = "text/plain; charset=utf-8", respond.body
    elif respond.body is not None:
        try:
            text = orjson.dumps(respond.body).decode()
        except TypeError as error:
            raise ConfigError("respond.body: cannot be written as JSON") from error
    has_body = respond.status not in NO_CONTENT
    pieces = tuple(text.split(_ID)) if has_body else ("",)
    headers = dict(respond.headers)
    if has_body and not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = kind
    return Success(respond.status, tuple(headers.items()), pieces)
