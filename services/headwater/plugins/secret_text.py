"""Texts that may hold `${secret:NAME}`: found, filled in at run time, and masked in what people see."""

import re
from collections.abc import Iterable, Mapping

from headwater.contracts.codec import dumps
from headwater.model.errors import SecretError
from headwater.model.secret import Secret

_REFERENCE = re.compile(r"\$\{secret:([^}\s]{1,200})\}")
# Names of fields whose values are secrets, most likely.
SOUNDS_SECRET = re.compile(r"auth|pass|secret|token|api.?key|credential|pin$", re.IGNORECASE)
_MASK = "***"
_SHORTEST_MASKED = 4  # shorter values would star out half of every text

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
    """`text` with every value of `secrets` starred out."""
    for secret in secrets:
        value = secret.reveal().decode("utf-8", "replace")
        if len(value) >= _SHORTEST_MASKED:
            text = text.replace(value, _MASK)
    return text
