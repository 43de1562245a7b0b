"""The kinds of proof: which key, if any, a signature was made with.

A kind is a function from keys, messages and signatures to the index of the first secret that matches, or
None. Several messages are spellings of the same request (a URL with and without its port).
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from headwater.plugins.signatures.keys import Key

Keys = Sequence[tuple[int, Key]]
Proof = Callable[[Keys, Sequence[bytes], Sequence[bytes], str], int | None]


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


def _public_key_proof(kind: str) -> Proof:
    def proof(
        keys: Keys, messages: Sequence[bytes], signatures: Sequence[bytes], hash_name: str
    ) -> int | None:
        from headwater.plugins.signatures import public_keys  # noqa: PLC0415 - heavy: where such a key is

        for index, key in keys:
            for message in messages:
                for signature in signatures:
                    if public_keys.is_made_with(kind, key, signature, message, hash_name):
                        return index
        return None

    return proof


PROOFS: Final[Mapping[str, Proof]] = {
    "hmac": hmac_proof,
    "ed25519": _public_key_proof("ed25519"),
    "ecdsa-p256": _public_key_proof("ecdsa-p256"),
    "rsa-pkcs1v15": _public_key_proof("rsa-pkcs1v15"),
}
