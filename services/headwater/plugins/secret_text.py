"""Texts that may hold `${secret:NAME}`: found, filled in at run time, and masked in what people see."""

import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote

from headwater.contracts.codec import dumps
from headwater.model.errors import SecretError
from headwater.model.secret import Secret

_REFERENCE = re.compile(r"\$\{secret:([^}\s]{1,200})\}")
# Names of fields whose values are secrets, most likely.
SOUNDS_SECRET = re.compile(r"auth|pass|secret|token|api.?key|credential|pin$", re.IGNORECASE)
_MASK = "***"
_SHORTEST_MASKED = 4  # shorter values would star out half of every text
_SHORTEST_TOLD = 8  # shorter values may well be those of other parameters
_IN_HEADER = re.compile(r"(?:bearer|basic|token) (\S{4,})", re.IGNORECASE)  # behind the word of its scheme
_HEX = re.compile(r"%[0-9A-F]{2}")

Secrets = Mapping[str, Secret]


def names_in(text: str) -> tuple[str, ...]:
    """The names of the secrets that `text` refers to."""
    return tuple(_REFERENCE.findall(text)) if "${" in text else ()


def fill(text: str, secrets: Secrets) -> Secret:
    """`text` with its references replaced. Raises: SecretError, naming the one that is not there."""

    def value_of(match: re.Match[str]) -> str:
        secret = secrets.get(match[1])
        if secret is None:
            raise SecretError(f"secret {match[1]!r} is not there: set it, or correct the name")
        return secret.text()

    return Secret.of(_REFERENCE.sub(value_of, text))


def filled_json(body: bytes, secrets: Secrets) -> Secret:
    """The JSON text `body` with secrets in it, each written as JSON text wants it."""
    written = {name: Secret(dumps(secret.text())[1:-1]) for name, secret in secrets.items()}
    return fill(body.decode(), written)


def masked(text: str, secrets: Iterable[Secret]) -> str:
    """`text` with every value of `secrets` starred out, also as URLs, JSON and HTML write it."""
    shown = {form for secret in secrets for form in _forms_of(secret.reveal().decode("utf-8", "replace"))}
    for form in sorted(shown, key=len, reverse=True):
        text = text.replace(form, _MASK)
    return text


def values_of(secrets: Iterable[Secret]) -> frozenset[str]:
    """What `secrets` hold, also without the word of its scheme; values that are too short to be told are left out."""
    found = set[str]()
    for secret in secrets:
        value = secret.reveal().decode("utf-8", "replace")
        header = _IN_HEADER.fullmatch(value)
        found.update(one for one in (value, header[1] if header else "") if len(one) >= _SHORTEST_TOLD)
    return frozenset(found)


def _forms_of(value: str) -> Iterator[str]:
    """The ways in which an API that repeats what it was sent may write `value`, without the word of its scheme."""
    header = _IN_HEADER.fullmatch(value)
    plain = header[1] if header else value
    if len(plain) < _SHORTEST_MASKED:
        return
    yield plain
    if plain.isalnum() and plain.isascii():
        return
    for form in (quote(plain, safe="", errors="replace"), quote(plain, errors="replace")):
        yield from (form, form.replace("%20", "+"))
        yield from (_lower(form), _lower(form).replace("%20", "+"))
    yield from (json.dumps(plain)[1:-1], json.dumps(plain, ensure_ascii=False)[1:-1])
    yield from (html.escape(plain), html.escape(plain, quote=False))


def _lower(quoted: str) -> str:
    return _HEX.sub(lambda match: match[0].lower(), quoted)
