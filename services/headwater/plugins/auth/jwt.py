"""JSON Web Tokens signed by us: HS256, RS256, ES256 (RFC 7515, 7519)."""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from datetime import datetime
from typing import Any

from headwater.contracts.auth import JwtAuth
from headwater.contracts.codec import dumps
from headwater.model.secret import Secret
from headwater.plugins.secret_text import Secrets, fill


def signed_assertion(config: JwtAuth, secrets: Secrets, now: datetime) -> Secret:
    """The compact form of the assertion that `config` describes, issued at `now`.

    Its `jti` is derived from the rest, so that nothing random is needed here.
    Raises: SecretError when the key is not there or not of the algorithm's kind.
    """
    issued = int(now.timestamp())
    claims: dict[str, Any] = {
        "iss": config.issuer,
        "sub": config.subject or config.issuer,
        "aud": config.audience or config.token_url,
        "iat": issued,
        "exp": issued + config.lifetime_s,
        **({"scope": config.scope} if config.scope else {}),
        **config.claims,
    }
    claims.setdefault("jti", hashlib.sha256(dumps(claims) + now.isoformat().encode()).hexdigest()[:32])
    header = {"alg": config.algorithm, "typ": "JWT"} | ({"kid": config.key_id} if config.key_id else {})
    text = _encoded(dumps(header)) + b"." + _encoded(dumps(claims))
    return Secret(text + b"." + _encoded(_signature(config.algorithm, fill(config.key, secrets), text)))


def _signature(algorithm: str, key: Secret, text: bytes) -> bytes:
    if algorithm == "HS256":
        return hmac.digest(key.reveal(), text, "sha256")
    from headwater.plugins.auth.private_keys import signature_of  # noqa: PLC0415 - heavy: where such a key is

    return signature_of(algorithm, key, text)


def _encoded(raw: bytes) -> bytes:
    return urlsafe_b64encode(raw).rstrip(b"=")
