"""JSON Web Tokens (RFC 7515, 7519) as webhook signatures: one algorithm per scheme.

The signature is checked before any claim is read. The token's `alg` never chooses how it is verified; it must
say what the scheme says. `crit` is refused.
"""

import hmac
from collections.abc import Mapping
from typing import Any, Final

import orjson

from headwater.plugins.signatures.decoders import from_base64url
from headwater.plugins.signatures.keys import Key
from headwater.plugins.signatures.presented import MAX_TEXT
from headwater.plugins.signatures.proofs import Keys
from headwater.plugins.signatures.reasons import Refused

Claims = Mapping[str, Any]

_ALGORITHMS: Final[Mapping[str, str]] = {
    "jwt-hs256": "HS256",
    "jwt-rs256": "RS256",
    "jwt-es256": "ES256",
    "jwt-eddsa": "EdDSA",  # RFC 8037 §3.1
}


def _is_signed(kind: str, key: Key, signature: bytes, message: bytes) -> bool:
    if kind == "jwt-hs256":
        if not isinstance(key, bytes):
            raise TypeError("not a shared key")
        return hmac.compare_digest(hmac.digest(key, message, "sha256"), signature)
    from headwater.plugins.signatures import public_keys  # noqa: PLC0415 - heavy: where such a key is

    return public_keys.is_made_with(kind, key, signature, message, "sha256")


def _decoded(text: bytes) -> bytes:
    if b"=" in text:  # RFC 7515 §2: no padding
        raise Refused("encoding")
    try:
        return from_base64url(text)
    except ValueError:
        raise Refused("encoding") from None


def _json(text: bytes) -> Any:
    try:
        return orjson.loads(_decoded(text))
    except orjson.JSONDecodeError:
        raise Refused("encoding") from None


def open_token(kind: str, keys: Keys, token: bytes) -> tuple[int, Claims]:
    """The index of the secret that signed the token, and its claims. Raises Refused."""
    parts = token.split(b".")
    if len(parts) != 3 or not all(parts) or len(token) > MAX_TEXT:
        raise Refused("malformed")
    header = _json(parts[0])
    if not isinstance(header, dict) or header.get("alg") != _ALGORITHMS[kind] or "crit" in header:
        raise Refused("malformed", "alg")
    index = _signer(kind, keys, _decoded(parts[2]), parts[0] + b"." + parts[1])
    claims = _json(parts[1])
    if not isinstance(claims, dict):
        raise Refused("malformed", "claims")
    return index, claims


def _signer(kind: str, keys: Keys, signature: bytes, message: bytes) -> int:
    for index, key in keys:
        if _is_signed(kind, key, signature, message):
            return index
    raise Refused("mismatch")


def claim_time(claims: Claims, name: str) -> float | None:
    """A NumericDate claim as epoch seconds, or None. Raises Refused(`timestamp_malformed`)."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e16:
        raise Refused("timestamp_malformed", name)
    return float(value)
