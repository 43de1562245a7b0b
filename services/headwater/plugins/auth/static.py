"""Credentials that stand as they are: none, bearer token, basic, API key."""

from base64 import b64encode
from datetime import datetime
from typing import ClassVar

from headwater.contracts.auth import ApiKeyAuth, BasicAuth, BearerAuth, NoAuth
from headwater.model.http import HttpRequest
from headwater.model.secret import Secret
from headwater.plugins.secret_text import Secrets, fill

_NO_NAMES: frozenset[str] = frozenset()


class NoAuthenticator:
    """Public APIs."""

    name: ClassVar = "none"
    Config: ClassVar = NoAuth
    query_names = _NO_NAMES

    def __init__(self, config: NoAuth) -> None:
        self._config = config

    def apply(self, request: HttpRequest, _secrets: Secrets, _now: datetime, /) -> HttpRequest:
        return request


class BearerAuthenticator:
    """`Authorization: Bearer <token>`."""

    name: ClassVar = "bearer"
    Config: ClassVar = BearerAuth
    query_names = _NO_NAMES

    def __init__(self, config: BearerAuth) -> None:
        self._config = config

    def apply(self, request: HttpRequest, secrets: Secrets, _: datetime, /) -> HttpRequest:
        token = fill(self._config.token, secrets).text().strip()
        return _with_authorization(request, f"{self._config.scheme} {token}")


class BasicAuthenticator:
    """`Authorization: Basic` over UTF-8 (RFC 7617)."""

    name: ClassVar = "basic"
    Config: ClassVar = BasicAuth
    query_names = _NO_NAMES

    def __init__(self, config: BasicAuth) -> None:
        self._config = config

    def apply(self, request: HttpRequest, secrets: Secrets, _: datetime, /) -> HttpRequest:
        username = fill(self._config.username, secrets).reveal()
        password = fill(self._config.password, secrets).reveal()
        return _with_authorization(request, f"Basic {b64encode(username + b':' + password).decode()}")


class ApiKeyAuthenticator:
    """A key in a header, a query parameter or a cookie."""

    name: ClassVar = "api_key"
    Config: ClassVar = ApiKeyAuth

    def __init__(self, config: ApiKeyAuth) -> None:
        self._config = config
        self.query_names = frozenset({config.name}) if config.place == "query" else _NO_NAMES

    def apply(self, request: HttpRequest, secrets: Secrets, _: datetime, /) -> HttpRequest:
        pair = ((self._config.name, fill(self._config.value, secrets)),)
        credentials = request.credentials
        match self._config.place:
            case "header":
                credentials = credentials.plus(headers=pair)
            case "query":
                credentials = credentials.plus(query=pair)
            case "cookie":
                credentials = credentials.plus(cookies=pair)
        return request._replace(credentials=credentials)


def _with_authorization(request: HttpRequest, value: str) -> HttpRequest:
    credentials = request.credentials.plus(headers=(("Authorization", Secret.of(value)),))
    return request._replace(credentials=credentials)
