"""Signatures of our own private keys, as tokens have them.

A module of its own because it brings a library of seven megabytes: it is imported for the first token that needs it.
"""

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from headwater.model.errors import SecretError
from headwater.model.secret import Secret

_P256_BYTES = 32


def signature_of(algorithm: str, key: Secret, text: bytes) -> bytes:
    """The RS256 or ES256 signature (RFC 7518 §3.3, §3.4) of `text`. Raises: SecretError for a key of another kind."""
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
