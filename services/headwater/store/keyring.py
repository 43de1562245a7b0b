"""The key ring that seals secrets: AES-256-GCM, the key's id in the value, associated data that binds the place.

Layout of a sealed value: 1 byte version (1), 8 bytes key id, 12 bytes nonce, ciphertext with tag. The associated
data is tenant and name, so that a value moved to another row does not open.
Source: NIST SP 800-38D (96-bit random nonces).
"""

import base64
import binascii
import hashlib
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from headwater.model.errors import ConfigError, SecretError
from headwater.model.secret import Secret

_VERSION = b"\x01"
_ID_BYTES = 8
_NONCE_BYTES = 12
_AT = len(_VERSION) + _ID_BYTES  # of the nonce
_FROM = _AT + _NONCE_BYTES  # of the ciphertext


def _binding(tenant: str, name: str) -> bytes:
    return len(tenant.encode()).to_bytes(4, "big") + tenant.encode() + name.encode()


@dataclass(frozen=True, slots=True)
class Keyring:
    """Keys by id; `active` seals, all open."""

    active: bytes
    keys: Mapping[bytes, Secret]

    @classmethod
    def of(cls, setting: Secret) -> "Keyring":
        """The ring in HEADWATER_SECRET_KEY: base64 keys of 32 bytes, separated by commas; the first one seals.

        Raises: ConfigError.
        """
        raw = [_key(text.strip()) for text in setting.text().split(",") if text.strip()]
        if not raw:
            raise ConfigError("HEADWATER_SECRET_KEY is empty: make one with `openssl rand -base64 32`")
        ids = [hashlib.sha256(b"headwater key id" + key).digest()[:_ID_BYTES] for key in raw]
        return cls(ids[0], {key_id: Secret(key) for key_id, key in zip(ids, raw, strict=True)})

    @property
    def active_id(self) -> str:
        return self.active.hex()

    def seal(self, tenant: str, name: str, plain: Secret) -> bytes:
        from headwater.store import cipher  # noqa: PLC0415 - heavy: only where there are secrets

        nonce = os.urandom(_NONCE_BYTES)
        key = self.keys[self.active].reveal()
        sealed = cipher.encrypt(key, nonce, plain.reveal(), _binding(tenant, name))
        return _VERSION + self.active + nonce + sealed

    def open(self, tenant: str, name: str, sealed: bytes) -> Secret:
        """The plaintext. Raises: SecretError when the key is not in the ring or the value is not of this place."""
        from headwater.store import cipher  # noqa: PLC0415 - as above

        key = self.keys.get(sealed[1 : 1 + _ID_BYTES])
        if sealed[:1] != _VERSION or key is None:
            raise SecretError(
                f"secret {name!r} of tenant {tenant!r} is sealed under key {sealed[1 : 1 + _ID_BYTES].hex()}, which "
                "HEADWATER_SECRET_KEY does not hold; add that key behind the first"
            )
        nonce, text = sealed[_AT:_FROM], sealed[_FROM:]
        try:
            plain = cipher.decrypt(key.reveal(), nonce, text, _binding(tenant, name))
        except cipher.InvalidTag as error:
            raise SecretError(
                f"secret {name!r} of tenant {tenant!r} does not open: it was altered or moved"
            ) from error
        return Secret(plain)


def _key(text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        key = b""
    if len(key) != 32:
        raise ConfigError(
            "HEADWATER_SECRET_KEY: each key is 32 bytes in base64; make one with `openssl rand -base64 32`"
        )
    return key


def key_from_file(path: Path) -> Secret:
    """The key ring kept in `path`; made with one new key, readable by its owner only, when it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return Secret.of(path.read_text(encoding="ascii").strip())
    with os.fdopen(handle, "w", encoding="ascii") as file:
        text = base64.b64encode(secrets.token_bytes(32)).decode()
        file.write(text + "\n")
    return Secret.of(text)
