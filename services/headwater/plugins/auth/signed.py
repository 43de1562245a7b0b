"""Requests signed by a shared key (HMAC)."""

import binascii
import hashlib
import hmac
import re
from base64 import b64decode, b64encode
from datetime import datetime
from typing import ClassVar

from headwater.contracts.auth import HmacAuth
from headwater.model.errors import ConfigError, SecretError
from headwater.model.http import HttpRequest, parse_url
from headwater.model.secret import Secret
from headwater.plugins.instants import WRITERS
from headwater.plugins.secret_text import Secrets, fill

_NAMES = frozenset(
    {"method", "path", "query", "url", "host", "body", "body_sha256", "timestamp", "nonce", "key_id"}
)
_SHOWN = (_NAMES - {"body"}) | {"signature"}
_FIELD = re.compile(r"\{([a-z0-9_]+)\}")


class HmacAuthenticator:
    """Signs method, path, query, body and time as the templates say; backslash-n in one is a line end."""

    name: ClassVar = "hmac"
    Config: ClassVar = HmacAuth
    query_names: frozenset[str] = frozenset()

    def __init__(self, config: HmacAuth) -> None:
        self._config = config
        _check(config.signed, _NAMES, "auth.signed")
        for name, template in config.headers.items():
            _check(template, _SHOWN, f"auth.headers.{name}")

    def apply(self, request: HttpRequest, secrets: Secrets, now: datetime, /) -> HttpRequest:
        config = self._config
        body = request.credentials.body.reveal() if request.credentials.body else request.body or b""
        url = parse_url(request.url)
        timestamp = str(WRITERS[config.timestamp](now))
        values = {
            "method": request.method,
            "path": url.raw_path,
            "query": url.raw_query_string,
            "url": request.url,
            "host": url.raw_authority,
            "body_sha256": hashlib.sha256(body).hexdigest(),
            "timestamp": timestamp,
            "nonce": hashlib.sha256(f"{now.isoformat()} {request.url}".encode() + body).hexdigest()[:32],
            "key_id": fill(config.key_id, secrets).text(),
        }
        signature = self._signature(_text(config.signed, values, body), secrets)
        headers = tuple(
            (name, Secret(_text(template, values | {"signature": signature}, b"")))
            for name, template in config.headers.items()
        )
        return request._replace(credentials=request.credentials.plus(headers=headers))

    def _signature(self, text: bytes, secrets: Secrets) -> str:
        raw = hmac.digest(self._key(secrets), text, self._config.algorithm)
        return raw.hex() if self._config.encoding == "hex" else b64encode(raw).decode()

    def _key(self, secrets: Secrets) -> bytes:
        key = fill(self._config.key, secrets).reveal()
        try:
            match self._config.key_encoding:
                case "base64":
                    return b64decode(key, validate=True)
                case "hex":
                    return binascii.unhexlify(key)
                case _:
                    return key
        except ValueError as error:
            raise SecretError(f"auth.key is not {self._config.key_encoding}") from error


def _check(template: str, names: frozenset[str], where: str) -> None:
    unknown = [name for name in _FIELD.findall(template) if name not in names]
    if unknown:
        raise ConfigError(f"{where} names {{{unknown[0]}}}: known are {', '.join(sorted(names))}")


def _text(template: str, values: dict[str, str], body: bytes) -> bytes:
    """The template filled in; the body goes in as the bytes it is."""
    parts: list[bytes] = []
    position = 0
    text = template.replace("\\n", "\n")
    for match in _FIELD.finditer(text):
        parts.append(text[position : match.start()].encode())
        parts.append(body if match[1] == "body" else values[match[1]].encode())
        position = match.end()
    return b"".join((*parts, text[position:].encode()))
