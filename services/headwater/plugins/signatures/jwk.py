"""Keys as JSON Web Keys (RFC 7517; RFC 7518 §6 for RSA, EC and shared ones, RFC 8037 §2 for Ed25519).

A text holds one key or a set (`{"keys": […]}`). Of a set the keys count that are for the scheme's kind of signature;
others are passed over, as RFC 7517 §5 asks for. Which of them a token names (`kid`) is a hint only: all are tried.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from headwater.plugins.signatures import public_keys
from headwater.plugins.signatures.decoders import from_base64url
from headwater.plugins.signatures.public_keys import PublicKey

MAX_KEYS = 20  # of one set; each costs a public-key operation where a signature is wrong
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth"})


class UnusableError(ValueError):
    """Why a text gives no key: a sentence that goes on from its place, never with a value."""


@dataclass(frozen=True, slots=True)
class _Form:
    """What a key must be: its `kty` and `crv`, the members that hold its numbers, the algorithms it may be bound to."""

    kty: str
    crv: str | None
    members: tuple[str, ...]
    algorithms: tuple[str, ...]

    @property
    def told(self) -> str:
        return f"kty {self.kty}" + ("" if self.crv is None else f", crv {self.crv}")


_SHARED: Final = ("HS256", "HS384", "HS512")
_RSA: Final = ("RS256", "RS384", "RS512")
_EDWARDS: Final = _Form("OKP", "Ed25519", ("x",), ("EdDSA", "Ed25519"))
_P256: Final = _Form("EC", "P-256", ("x", "y"), ("ES256",))
_FORMS: Final[Mapping[str, _Form]] = {
    "hmac": _Form("oct", None, ("k",), _SHARED),
    "jwt-hs256": _Form("oct", None, ("k",), ("HS256",)),
    "ed25519": _EDWARDS,
    "jwt-eddsa": _EDWARDS,
    "ecdsa-p256": _P256,
    "jwt-es256": _P256,
    "rsa-pkcs1v15": _Form("RSA", None, ("n", "e"), _RSA),
    "jwt-rs256": _Form("RSA", None, ("n", "e"), ("RS256",)),
}


def read(kind: str, text: bytes) -> "tuple[bytes | PublicKey, ...]":
    """The keys of a scheme of this kind, at least one. Raises: UnusableError."""
    form = _FORMS[kind]
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise UnusableError("is no JSON; give a JSON Web Key, or a set of them under `keys`") from None
    if not isinstance(found, dict):
        raise UnusableError("is no JSON object; give a JSON Web Key, or a set of them under `keys`")
    if "keys" not in found:
        return (_key(kind, form, found),)
    given = found["keys"]
    if not isinstance(given, list) or not given:
        raise UnusableError("is a set without keys; give the set that the provider publishes")
    return _usable(kind, form, given)


def _usable(kind: str, form: _Form, given: list[Any]) -> "tuple[bytes | PublicKey, ...]":
    usable: list[bytes | PublicKey] = []
    faults: list[str] = []
    for place, each in enumerate(given):
        if isinstance(each, dict) and each.get("kty") != "oct" and not _PRIVATE.isdisjoint(each):
            raise UnusableError(f"holds a private key as keys.{place}; give public halves only")
        try:
            usable.append(_key(kind, form, each))
        except UnusableError as fault:
            faults.append(f"keys.{place} {fault}")
    if not usable:
        raise UnusableError(f"holds no key for {form.told}: {faults[0]}")
    if len(usable) > MAX_KEYS:
        raise UnusableError(f"holds {len(usable)} keys; give at most {MAX_KEYS}, those that are in use")
    return tuple(usable)


def _key(kind: str, form: _Form, key: object) -> "bytes | PublicKey":
    if not isinstance(key, dict):
        raise UnusableError("is no JSON object; write it as RFC 7517 does")
    fault = _misfit(form, key)
    if fault:
        raise UnusableError(fault)
    numbers = [_number(name, key.get(name)) for name in form.members]
    if form.kty == "oct":
        return numbers[0]
    try:
        return public_keys.load_numbers(kind, numbers)
    except ValueError:
        raise UnusableError(
            f"is no usable key of {form.told}; give it as the provider publishes it"
        ) from None


def _misfit(form: _Form, key: Mapping[str, Any]) -> str:
    """Why a key is not for this kind of signature; empty where it is."""
    if key.get("kty") != form.kty or (form.crv is not None and key.get("crv") != form.crv):
        return f"is not of {form.told}; give a key of that kind"
    if form.kty != "oct" and not _PRIVATE.isdisjoint(key):
        return "is a private key; give its public half, without `d`"
    if key.get("alg", form.algorithms[0]) not in form.algorithms:
        return f"has another `alg` than {' or '.join(form.algorithms)}; give the key that is for it"
    operations = key.get("key_ops", ["verify"])
    if key.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return "is not for signatures (`use`, `key_ops`); give the one that is"
    return ""


def _number(name: str, value: object) -> bytes:
    text = value.encode("utf-8", "replace") if isinstance(value, str) else b""
    try:
        raw = b"" if b"=" in text else from_base64url(text)  # RFC 7515 §2: no padding
    except ValueError:
        raw = b""
    if not raw:
        raise UnusableError(f"has no base64url (without padding) as `{name}`; copy it as a whole")
    return raw
