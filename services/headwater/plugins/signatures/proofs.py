"""The kinds of proof: which key, if any, a signature was made with.

A kind is a function from keys, messages and signatures to the index of the first secret that matches, or
None. Several messages are spellings of the same request (a URL with and without its port).
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA384, SHA512, HashAlgorithm

from headwater.plugins.signatures.keys import Key

Keys = Sequence[tuple[int, Key]]
Proof = Callable[[Keys, Sequence[bytes], Sequence[bytes], str], int | None]

HASHES: Final[Mapping[str, HashAlgorithm]] = {
    "sha1": SHA1(),  # noqa: S303 - AWS SNS SignatureVersion 1
    "sha256": SHA256(),
    "sha384": SHA384(),
    "sha512": SHA512(),
}


def _equal_to_one(expected: bytes, signatures: Sequence[bytes]) -> bool:
    for signature in signatures:  # noqa: SIM110 - `any` makes a generator for what is mostly one
        if hmac.compare_digest(expected, signature):
            return True
    return False


def hmac_proof(
    keys: Keys, messages: Sequence[bytes], signatures: Sequence[bytes], hash_name: str
) -> int | None:
    for index, key in keys:
        for message in messages:
            # One shot: half the cost of hmac.new for short messages.
            if _equal_to_one(hmac.digest(key, message, hash_name), signatures):  # type: ignore[arg-type]
                return index
    return None


def digest_matches(message: bytes, signatures: Sequence[bytes], hash_name: str) -> bool:
    """Whether a plain hash of the message is one of the signatures."""
    return _equal_to_one(hashlib.new(hash_name, message, usedforsecurity=False).digest(), signatures)


def token_matches(key: bytes, tokens: Sequence[bytes]) -> bool:
    """Whether a token is the secret. Hashed first, so that not even the length can be timed."""
    hashed = [hashlib.sha256(token).digest() for token in tokens]
    return _equal_to_one(hashlib.sha256(key).digest(), hashed)


def _public_key_proof(matches: Callable[[Key, bytes, bytes, str], None]) -> Proof:
    def proof(
        keys: Keys, messages: Sequence[bytes], signatures: Sequence[bytes], hash_name: str
    ) -> int | None:
        for index, key in keys:
            for message in messages:
                for signature in signatures:
                    try:
                        matches(key, signature, message, hash_name)
                    except InvalidSignature:
                        continue
                    return index
        return None

    return proof


def verify_ed25519(key: Key, signature: bytes, message: bytes, _hash_name: str) -> None:
    if not isinstance(key, Ed25519PublicKey):
        raise TypeError("not an Ed25519 key")
    key.verify(signature, message)


def verify_ecdsa(key: Key, signature: bytes, message: bytes, hash_name: str) -> None:
    """`signature` is DER."""
    if not isinstance(key, EllipticCurvePublicKey):
        raise TypeError("not an elliptic-curve key")
    key.verify(signature, message, ECDSA(HASHES[hash_name]))


def verify_rsa(key: Key, signature: bytes, message: bytes, hash_name: str) -> None:
    if not isinstance(key, RSAPublicKey):
        raise TypeError("not an RSA key")
    key.verify(signature, message, PKCS1v15(), HASHES[hash_name])


PROOFS: Final[Mapping[str, Proof]] = {
    "hmac": hmac_proof,
    "ed25519": _public_key_proof(verify_ed25519),
    "ecdsa-p256": _public_key_proof(verify_ecdsa),
    "rsa-pkcs1v15": _public_key_proof(verify_rsa),
}
