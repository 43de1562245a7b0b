"""JSON Web Tokens signed by us: HS256, RS256, ES256 (RFC 7515, 7519)."""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from datetime import datetime
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from headwater.contracts.auth import JwtAuth
from headwater.contracts.codec import dumps
from headwater.model.errors import SecretError
from headwater.model.secret import Secret
from headwater.plugins.secret_text import Secrets, fill

_P256_BYTES = 32


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
    try:
        private = load_pem_private_key(key.reveal().replace(b"\\n", b"\n"), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SecretError("auth.key is no private key in PEM form without a password") from error
    if algorithm == "RS256" and isinstance(private, rsa.RSAPrivateKey):
        return private.sign(text, padding.PKCS1v15(), hashes.SHA256())
    if algorithm == "ES256" and isinstance(private, ec.EllipticCurvePrivateKey):
        r, s = decode_dss_signature(private.sign(text, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(_P256_BYTES, "big") + s.to_bytes(_P256_BYTES, "big")
    raise SecretError(f"auth.key is of another kind than auth.algorithm {algorithm} needs")


def _encoded(raw: bytes) -> bytes:
    return urlsafe_b64encode(raw).rstrip(b"=")
