"""AES-256-GCM, by one key at a time.

A module of its own because it brings a library of seven megabytes: the key ring imports it when it seals or opens the
first secret, and a process that never does holds none of it.
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = ["InvalidTag", "decrypt", "encrypt"]


def encrypt(key: bytes, nonce: bytes, plain: bytes, binding: bytes) -> bytes:
    """Ciphertext with its tag; `binding` must be given again to decrypt it."""
    return AESGCM(key).encrypt(nonce, plain, binding)


def decrypt(key: bytes, nonce: bytes, sealed: bytes, binding: bytes) -> bytes:
    """The plaintext. Raises: InvalidTag when it was altered, or sealed by another key or binding."""
    return AESGCM(key).decrypt(nonce, sealed, binding)
