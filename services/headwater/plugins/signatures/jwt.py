"""JSON Web Tokens (RFC 7515, 7519) as webhook signatures: one algorithm per scheme.

The signature is checked before any claim is read. The token's `alg` never chooses how it is verified; it must
say what the scheme says. `crit` is refused.
"""

import hmac
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from headwater.plugins.signatures.decoders import from_base64url
from headwater.plugins.signatures.keys import Key
from headwater.plugins.signatures.presented import MAX_TEXT
from headwater.plugins.signatures.proofs import Keys, verify_ecdsa, verify_rsa
from headwater.plugins.signatures.reasons import Refused

_COORDINATE = 32  # bytes of r and of s, RFC 7518 §3.4
Claims = Mapping[str, Any]


def _hs256(key: Key, signature: bytes, message: bytes) -> None:
    if not isinstance(key, bytes):
        raise TypeError("not a shared key")
    if not hmac.compare_digest(hmac.digest(key, message, "sha256"), signature):
        raise InvalidSignature


def _es256(key: Key, signature: bytes, message: bytes) -> None:
    if len(signature) != 2 * _COORDINATE:
        raise InvalidSignature
    r, s = (int.from_bytes(half, "big") for half in (signature[:_COORDINATE], signature[_COORDINATE:]))
    verify_ecdsa(key, encode_dss_signature(r, s), message, "sha256")


def _rs256(key: Key, signature: bytes, message: bytes) -> None:
    verify_rsa(key, signature, message, "sha256")


_ALGORITHMS: Final[Mapping[str, tuple[bytes, Callable[[Key, bytes, bytes], None]]]] = {
    "jwt-hs256": (b"HS256", _hs256),
    "jwt-rs256": (b"RS256", _rs256),
    "jwt-es256": (b"ES256", _es256),
}


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
    name, check = _ALGORITHMS[kind]
    header = _json(parts[0])
    if not isinstance(header, dict) or header.get("alg") != name.decode("ascii") or "crit" in header:
        raise Refused("malformed", "alg")
    index = _signer(check, keys, _decoded(parts[2]), parts[0] + b"." + parts[1])
    claims = _json(parts[1])
    if not isinstance(claims, dict):
        raise Refused("malformed", "claims")
    return index, claims


def _signer(check: Callable[[Key, bytes, bytes], None], keys: Keys, signature: bytes, message: bytes) -> int:
    for index, key in keys:
        try:
            check(key, signature, message)
        except InvalidSignature:
            continue
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
