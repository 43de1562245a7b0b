"""From the text of a secret to a key. Messages name the scheme and the mend, never the value."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from headwater.model.errors import ConfigError
from headwater.model.secret import Secret
from headwater.plugins.signatures.decoders import from_base64, from_hex
from headwater.plugins.signatures.scheme import Scheme

if TYPE_CHECKING:
    from headwater.contracts.signatures import KeyDefinition
    from headwater.plugins.signatures.public_keys import PublicKey

Key: TypeAlias = "bytes | PublicKey"


def _any_base64(text: bytes) -> bytes:
    """Base64 of a key; padding may be missing, as people copy it without."""
    return from_base64(text.rstrip(b"=") + b"=" * (-len(text.rstrip(b"=")) % 4))


def _decoded(text: bytes, form: "KeyDefinition") -> bytes:
    if form.strip_prefix:
        text = text.removeprefix(form.strip_prefix.encode("utf-8"))
    if form.normalize:
        text = unicodedata.normalize(form.normalize, text.decode("utf-8")).encode("utf-8")
    if form.encoding == "base64" and not text.startswith(b"-----BEGIN "):
        return _any_base64(text)
    if form.encoding == "hex" and not text.startswith(b"-----BEGIN "):
        return from_hex(text)
    return text


_PUBLIC: Final[Mapping[str, str]] = {
    "ed25519": "an Ed25519 public key",
    "jwt-eddsa": "an Ed25519 public key",
    "ecdsa-p256": "a P-256 public key",
    "jwt-es256": "a P-256 public key",
    "rsa-pkcs1v15": "an RSA public key or certificate of at least 1024 bits",
    "jwt-rs256": "an RSA public key or certificate of at least 1024 bits",
}
_ENCODED: Final = {"utf8": "text", "hex": "hex", "base64": "base64", "pem": "PEM", "jwk": "a JSON Web Key"}
_JSON = re.compile(rb"\s*\{")
_BLANK = re.compile(rb"\s*")


def load_keys(scheme: Scheme, secret: Secret, number: int = 1) -> tuple[Key, ...]:
    """The keys of one secret: one, or those of a set. Raises ConfigError for an unusable one, by its `number`."""
    text = secret.reveal()
    place = f"secret {number} of scheme {scheme.name}"
    if _BLANK.fullmatch(text):
        raise ConfigError(f"{place} is empty; give the secret that the provider shows for this webhook")
    form = scheme.definition.key
    kind = _PUBLIC.get(scheme.kind)
    if form.encoding == "jwk" or (kind is not None and _JSON.match(text)):
        return _from_jwk(scheme, text, place)
    try:
        raw = _decoded(text, form)
    except ValueError:
        raise ConfigError(
            f"{place} is not {_ENCODED[form.encoding]}; give it exactly as the provider shows it"
        ) from None
    if not raw:
        raise ConfigError(f"{place} is empty behind its prefix; give the whole secret")
    if is_basic(scheme) and b":" not in raw:
        raise ConfigError(f"{place} must be user:password")
    if kind is None:
        return (raw,)
    from headwater.plugins.signatures import public_keys  # noqa: PLC0415 - heavy: where such a key is

    if raw.startswith(b"-----BEGIN "):
        raw = raw.replace(rb"\n", b"\n")  # as environment files hold lines; PEM itself has no such character
    try:
        return (public_keys.load(scheme.kind, raw),)
    except ValueError:
        raise ConfigError(f"{place} is not {kind}; give the public key that the provider publishes") from None


def _from_jwk(scheme: Scheme, text: bytes, place: str) -> tuple[Key, ...]:
    from headwater.plugins.signatures import jwk  # noqa: PLC0415 - read where such a key is

    try:
        return jwk.read(scheme.kind, text)
    except jwk.UnusableError as error:
        raise ConfigError(f"{place} {error}") from None


def is_basic(scheme: Scheme) -> bool:
    """Whether a secret is user:password of HTTP Basic."""
    return scheme.kind == "token" and scheme.signature.prefix.lower() == b"basic "


def check_secrets(scheme: Scheme, secrets: Sequence[Secret]) -> None:
    """Raise ConfigError unless there is a secret and each can be used with the scheme."""
    if not secrets:
        raise ConfigError(f"scheme {scheme.name} needs a secret; give at least one under `secrets`")
    for number, secret in enumerate(secrets, 1):
        load_keys(scheme, secret, number)
