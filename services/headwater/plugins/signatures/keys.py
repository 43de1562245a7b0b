"""From the text of a secret to a key. Messages name the scheme and the mend, never the value."""

import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate

from headwater.contracts.signatures import KeyDefinition
from headwater.model.errors import ConfigError
from headwater.model.secret import Secret
from headwater.plugins.signatures.decoders import from_base64, from_hex
from headwater.plugins.signatures.scheme import Scheme

Key = bytes | Ed25519PublicKey | EllipticCurvePublicKey | RSAPublicKey

ED25519_BYTES = 32
RSA_BITS = 1024  # below that a key is broken in practice; providers publish 2048


def _any_base64(text: bytes) -> bytes:
    """Base64 of a key; padding may be missing, as people copy it without."""
    return from_base64(text.rstrip(b"=") + b"=" * (-len(text.rstrip(b"=")) % 4))


def _decoded(text: bytes, form: KeyDefinition) -> bytes:
    if form.strip_prefix:
        text = text.removeprefix(form.strip_prefix.encode("utf-8"))
    if form.normalize:
        text = unicodedata.normalize(form.normalize, text.decode("utf-8")).encode("utf-8")
    if form.encoding == "base64" and not text.startswith(b"-----BEGIN "):
        return _any_base64(text)
    if form.encoding == "hex" and not text.startswith(b"-----BEGIN "):
        return from_hex(text)
    return text


def _public_key(raw: bytes) -> object:
    """A public key from PEM (a key or a certificate) or from DER."""
    if raw.lstrip().startswith(b"-----BEGIN CERTIFICATE-----"):
        return load_pem_x509_certificate(raw).public_key()
    if raw.lstrip().startswith(b"-----BEGIN "):
        return load_pem_public_key(raw)
    return load_der_public_key(raw)


def _ed25519(raw: bytes) -> Ed25519PublicKey:
    found = Ed25519PublicKey.from_public_bytes(raw) if len(raw) == ED25519_BYTES else _public_key(raw)
    if not isinstance(found, Ed25519PublicKey):
        raise TypeError("not Ed25519")
    return found


def _p256(raw: bytes) -> EllipticCurvePublicKey:
    found = _public_key(raw)
    if not isinstance(found, EllipticCurvePublicKey) or not isinstance(found.curve, SECP256R1):
        raise TypeError("not P-256")
    return found


def _rsa(raw: bytes) -> RSAPublicKey:
    found = _public_key(raw)
    if not isinstance(found, RSAPublicKey) or found.key_size < RSA_BITS:
        raise ValueError("not RSA, or too short")
    return found


_LOADERS: Final[dict[str, tuple[Callable[[bytes], Key], str]]] = {
    "ed25519": (_ed25519, "an Ed25519 public key"),
    "ecdsa-p256": (_p256, "a P-256 public key"),
    "jwt-es256": (_p256, "a P-256 public key"),
    "rsa-pkcs1v15": (_rsa, "an RSA public key or certificate of at least 1024 bits"),
    "jwt-rs256": (_rsa, "an RSA public key or certificate of at least 1024 bits"),
}
_ENCODED: Final = {"utf8": "text", "hex": "hex", "base64": "base64", "pem": "PEM"}
_BLANK = re.compile(rb"\s*")


def load_key(scheme: Scheme, secret: Secret, number: int = 1) -> Key:
    """The key of one secret. Raises ConfigError for an empty or unusable one, by its `number`."""
    text = secret.reveal()
    place = f"secret {number} of scheme {scheme.name}"
    if _BLANK.fullmatch(text):
        raise ConfigError(f"{place} is empty; give the secret that the provider shows for this webhook")
    form = scheme.definition.key
    try:
        raw = _decoded(text, form)
    except ValueError:
        raise ConfigError(
            f"{place} is not {_ENCODED[form.encoding]}; give it exactly as the provider shows it"
        ) from None
    if not raw:
        raise ConfigError(f"{place} is empty behind its prefix; give the whole secret")
    if _is_basic(scheme) and b":" not in raw:
        raise ConfigError(f"{place} must be user:password")
    loader = _LOADERS.get(scheme.kind)
    if loader is None:
        return raw
    try:
        return loader[0](raw)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ConfigError(
            f"{place} is not {loader[1]}; give the public key that the provider publishes"
        ) from None


def _is_basic(scheme: Scheme) -> bool:
    return scheme.kind == "token" and scheme.signature.prefix.lower() == b"basic "


def check_secrets(scheme: Scheme, secrets: Sequence[Secret]) -> None:
    """Raise ConfigError unless there is a secret and each can be used with the scheme."""
    if not secrets:
        raise ConfigError(f"scheme {scheme.name} needs a secret; give at least one under `secrets`")
    for number, secret in enumerate(secrets, 1):
        load_key(scheme, secret, number)
