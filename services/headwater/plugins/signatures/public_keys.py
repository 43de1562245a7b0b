"""Schemes of public keys: reading a key, and whether a signature was made with its other half.

A module of its own because it brings a library of seven megabytes: it is imported for the first scheme that needs it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePublicKey,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA384, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate

PublicKey = Ed25519PublicKey | EllipticCurvePublicKey | RSAPublicKey

ED25519_BYTES = 32
RSA_BITS = 1024  # below that a key is broken in practice; providers publish 2048
_COORDINATE = 32  # bytes of r and of s in ES256, RFC 7518 §3.4
# Ed25519 points of small order, without the sign: anybody can make signatures that verify under them.
_SMALL_ORDER = frozenset(
    bytes.fromhex(text)
    for text in (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    )
)
_HASHES: Final[Mapping[str, HashAlgorithm]] = {
    "sha1": SHA1(),  # noqa: S303 - AWS SNS SignatureVersion 1
    "sha256": SHA256(),
    "sha384": SHA384(),
    "sha512": SHA512(),
}


def load(kind: str, raw: bytes) -> PublicKey:
    """The key of a scheme of this kind, from PEM (a key or a certificate), DER or its plain bytes.

    Raises: ValueError when it is none of that kind.
    """
    try:
        return _LOADERS[kind](raw)
    except (TypeError, UnsupportedAlgorithm) as error:
        raise ValueError("not a key of that kind") from error


def load_numbers(kind: str, numbers: Sequence[bytes]) -> PublicKey:
    """The key of a scheme of this kind, from its numbers: an Ed25519 point, x and y of P-256, or n and e of RSA.

    Raises: ValueError when they are none of that kind.
    """
    try:
        return _FROM_NUMBERS[kind](*numbers)
    except (TypeError, UnsupportedAlgorithm, OverflowError) as error:
        raise ValueError("not a key of that kind") from error


def is_made_with(kind: str, key: object, signature: bytes, message: bytes, hash_name: str) -> bool:
    """Whether `signature` over `message` was made with the other half of `key`. Raises: TypeError for another key."""
    try:
        _CHECKS[kind](key, signature, message, hash_name)
    except InvalidSignature:
        return False
    return True


def _any_key(raw: bytes) -> object:
    if raw.lstrip().startswith(b"-----BEGIN CERTIFICATE-----"):
        return load_pem_x509_certificate(raw).public_key()
    if raw.lstrip().startswith(b"-----BEGIN "):
        return load_pem_public_key(raw)
    return load_der_public_key(raw)


def _ed25519(raw: bytes) -> Ed25519PublicKey:
    found = Ed25519PublicKey.from_public_bytes(raw) if len(raw) == ED25519_BYTES else _any_key(raw)
    if not isinstance(found, Ed25519PublicKey):
        raise TypeError("not Ed25519")
    point = found.public_bytes_raw()
    if point[:-1] + bytes([point[-1] & 0x7F]) in _SMALL_ORDER:
        raise ValueError("a key that anybody can sign for")
    return found


def _ed25519_point(x: bytes) -> Ed25519PublicKey:
    if len(x) != ED25519_BYTES:
        raise ValueError("not a point of Ed25519")
    return _ed25519(x)


def _p256_point(x: bytes, y: bytes) -> EllipticCurvePublicKey:
    if len(x) != _COORDINATE or len(y) != _COORDINATE:  # RFC 7518 §6.2.1.2: the full size
        raise ValueError("not a point of P-256")
    numbers = EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), SECP256R1())
    return numbers.public_key()


def _p256(raw: bytes) -> EllipticCurvePublicKey:
    found = _any_key(raw)
    if not isinstance(found, EllipticCurvePublicKey) or not isinstance(found.curve, SECP256R1):
        raise TypeError("not P-256")
    return found


def _rsa_numbers(n: bytes, e: bytes) -> RSAPublicKey:
    return _long_enough(RSAPublicNumbers(int.from_bytes(e, "big"), int.from_bytes(n, "big")).public_key())


def _rsa(raw: bytes) -> RSAPublicKey:
    return _long_enough(_any_key(raw))


def _long_enough(found: object) -> RSAPublicKey:
    if not isinstance(found, RSAPublicKey) or found.key_size < RSA_BITS:
        raise ValueError("not RSA, or too short")
    return found


def _check_ed25519(key: object, signature: bytes, message: bytes, _hash_name: str) -> None:
    if not isinstance(key, Ed25519PublicKey):
        raise TypeError("not an Ed25519 key")
    key.verify(signature, message)


def _check_ecdsa(key: object, signature: bytes, message: bytes, hash_name: str) -> None:
    """`signature` is DER."""
    if not isinstance(key, EllipticCurvePublicKey):
        raise TypeError("not an elliptic-curve key")
    key.verify(signature, message, ECDSA(_HASHES[hash_name]))


def _check_es256(key: object, signature: bytes, message: bytes, hash_name: str) -> None:
    """`signature` is r and s, one behind the other."""
    if len(signature) != 2 * _COORDINATE:
        raise InvalidSignature
    r, s = (int.from_bytes(half, "big") for half in (signature[:_COORDINATE], signature[_COORDINATE:]))
    _check_ecdsa(key, encode_dss_signature(r, s), message, hash_name)


def _check_rsa(key: object, signature: bytes, message: bytes, hash_name: str) -> None:
    if not isinstance(key, RSAPublicKey):
        raise TypeError("not an RSA key")
    key.verify(signature, message, PKCS1v15(), _HASHES[hash_name])


_LOADERS: Final[Mapping[str, Callable[[bytes], PublicKey]]] = {
    "ed25519": _ed25519,
    "ecdsa-p256": _p256,
    "jwt-es256": _p256,
    "rsa-pkcs1v15": _rsa,
    "jwt-rs256": _rsa,
    "jwt-eddsa": _ed25519,
}
_FROM_NUMBERS: Final[Mapping[str, Callable[..., PublicKey]]] = {
    "ed25519": _ed25519_point,
    "jwt-eddsa": _ed25519_point,
    "ecdsa-p256": _p256_point,
    "jwt-es256": _p256_point,
    "rsa-pkcs1v15": _rsa_numbers,
    "jwt-rs256": _rsa_numbers,
}
_CHECKS: Final[Mapping[str, Callable[[object, bytes, bytes, str], None]]] = {
    "ed25519": _check_ed25519,
    "ecdsa-p256": _check_ecdsa,
    "jwt-es256": _check_es256,
    "rsa-pkcs1v15": _check_rsa,
    "jwt-rs256": _check_rsa,
    "jwt-eddsa": _check_ed25519,
}
