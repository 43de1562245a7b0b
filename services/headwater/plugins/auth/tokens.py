"""Tokens that are asked for first: OAuth 2 (client credentials, refresh token), JWT assertion, session login."""

import re
from base64 import b64encode
from datetime import datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import parse_qsl, quote, urlencode

from headwater.contracts.auth import JwtAuth, OAuth2Auth, SessionAuth
from headwater.contracts.codec import dumps, loads
from headwater.model.errors import ContractError, SourceError
from headwater.model.http import Credentials, HttpRequest, Response, origin_of
from headwater.model.secret import Secret
from headwater.plugins.auth.base import ACCESS_TOKEN, HeldToken
from headwater.plugins.auth.jwt import signed_assertion
from headwater.plugins.expressions import compile_path
from headwater.plugins.secret_text import Secrets, fill, filled_json
from headwater.plugins.walk.waits import asked_wait_s

_FORM = ("Content-Type", "application/x-www-form-urlencoded")
_JSON = ("Content-Type", "application/json")
_ACCEPT = ("Accept", "application/json")
_ASSERTION_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_CLIENT_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_MAX_LIFE_S = 366 * 86_400
_MAX_TOKEN_CHARACTERS = 16_384
_WHOLE = "@"  # JMESPath for the whole answer
_WORD = re.compile(r"[!#-;=?-Z^-z|~]+")  # no JSON, no XML
_NO_NAMES: frozenset[str] = frozenset()


class OAuth2Authenticator:
    """Client credentials, or a refresh token that may rotate."""

    name: ClassVar = "oauth2"
    Config: ClassVar = OAuth2Auth
    query_names = _NO_NAMES

    def __init__(self, config: OAuth2Auth) -> None:
        self._config = config

    def apply(self, request: HttpRequest, secrets: Secrets, _: datetime, /) -> HttpRequest:
        return _showing(request, secrets, self._config.scheme)

    def token_request(self, secrets: Secrets, held: HeldToken | None, _: datetime, /) -> HttpRequest:
        config = self._config
        fields = {"grant_type": config.grant, **config.params}
        fields |= {
            name: text for name, text in (("scope", config.scope), ("audience", config.audience)) if text
        }
        client_id = fill(config.client_id, secrets).text()
        client_secret = fill(config.client_secret, secrets).text()
        if config.grant == "refresh_token":
            known = held.refresh if held is not None else None
            fields["refresh_token"] = (known or fill(config.refresh_token, secrets)).text()
        headers: tuple[tuple[str, Secret], ...] = ()
        if config.client_in == "basic":
            # RFC 6749 §2.3.1: both are form-encoded before they are joined
            pair = f"{quote(client_id, safe='')}:{quote(client_secret, safe='')}"
            headers = (("Authorization", Secret.of(f"Basic {b64encode(pair.encode()).decode()}")),)
        else:
            fields |= {"client_id": client_id} | ({"client_secret": client_secret} if client_secret else {})
        return _form_request(config.token_url, fields, headers)

    def token_of(self, response: Response, held: HeldToken | None, now: datetime, /) -> HeldToken:
        return _oauth_token(response, held, now)


class JwtAuthenticator:
    """A signed assertion, exchanged for a token or shown itself."""

    name: ClassVar = "jwt"
    Config: ClassVar = JwtAuth
    query_names = _NO_NAMES

    def __init__(self, config: JwtAuth) -> None:
        self._config = config

    def apply(self, request: HttpRequest, secrets: Secrets, now: datetime, /) -> HttpRequest:
        if self._config.token_url is not None:
            return _showing(request, secrets, self._config.scheme)
        return _authorized(request, self._config.scheme, signed_assertion(self._config, secrets, now).text())

    def token_request(self, secrets: Secrets, _: HeldToken | None, now: datetime, /) -> HttpRequest:
        config = self._config
        assertion = signed_assertion(config, secrets, now).text()
        fields = {"grant_type": _ASSERTION_GRANT, "assertion": assertion}
        if config.grant == "client_credentials":  # RFC 7523 §2.2
            who = {"client_id": config.issuer, "client_assertion_type": _CLIENT_ASSERTION}
            fields = {"grant_type": config.grant, **who, "client_assertion": assertion}
            fields |= {"scope": config.scope} if config.scope else {}
        return _form_request(config.token_url or "", fields, ())

    def token_of(self, response: Response, held: HeldToken | None, now: datetime, /) -> HeldToken:
        return _oauth_token(response, held, now)


class SessionAuthenticator:
    """A login that answers with a token."""

    name: ClassVar = "session"
    Config: ClassVar = SessionAuth
    query_names = _NO_NAMES

    def __init__(self, config: SessionAuth) -> None:
        self._config = config
        self._token = compile_path(config.token_path) if config.token_path else None
        self._expires = compile_path(config.expires_path) if config.expires_path else None

    def apply(self, request: HttpRequest, secrets: Secrets, _: datetime, /) -> HttpRequest:
        token = fill(f"${{secret:{ACCESS_TOKEN}}}", secrets).text()
        config = self._config
        if config.token_cookie is not None:
            cookie = ((config.token_cookie, Secret.of(token)),)
            return request._replace(credentials=request.credentials.plus(cookies=cookie))
        value = Secret.of(config.template.replace("{token}", token))
        return request._replace(credentials=request.credentials.plus(headers=((config.name, value),)))

    def token_request(self, secrets: Secrets, _: HeldToken | None, __: datetime, /) -> HttpRequest:
        config = self._config
        headers = tuple((name, fill(text, secrets)) for name, text in config.headers.items())
        if config.form is not None:
            fields = {name: fill(text, secrets).text() for name, text in config.form.items()}
            return _form_request(config.login_url, fields, headers)
        body = filled_json(dumps(config.body or {}), secrets)
        credentials = Credentials(origin_of(config.login_url), headers=headers, body=body)
        return HttpRequest("POST", config.login_url, (_JSON, _ACCEPT), credentials=credentials)

    def token_of(self, response: Response, _: HeldToken | None, now: datetime, /) -> HeldToken:
        place, token = self._shown(response, now)
        if isinstance(token, int) and not isinstance(token, bool):
            token = str(token)
        if not isinstance(token, str) or not 0 < len(token) <= _MAX_TOKEN_CHARACTERS:
            raise SourceError("token_failed", f"the login's answer has no token at auth.{place}")
        life_s = _life_s(self._expires(_read(response))) if self._expires else None
        return _held(token, life_s or self._config.lifetime_s, None, now)

    def _shown(self, response: Response, now: datetime) -> tuple[str, Any]:
        """Where the answer has its token, and what stands there."""
        config = self._config
        if self._token is not None:
            text = _plain(response) if config.token_path == _WHOLE else None
            return "token_path", text or self._token(_document(response, now))
        if not _is_success(response):
            raise _refused(response, _read(response), now)
        if config.token_header is not None:
            return "token_header", response.header(config.token_header)
        return "token_cookie", _cookie(response, config.token_cookie or "")


def _form_request(url: str, fields: dict[str, str], headers: tuple[tuple[str, Secret], ...]) -> HttpRequest:
    credentials = Credentials(origin_of(url), headers=headers, body=Secret.of(urlencode(fields)))
    return HttpRequest("POST", url, (_FORM, _ACCEPT), credentials=credentials)


def _showing(request: HttpRequest, secrets: Secrets, scheme: str) -> HttpRequest:
    return _authorized(request, scheme, fill(f"${{secret:{ACCESS_TOKEN}}}", secrets).text())


def _authorized(request: HttpRequest, scheme: str, token: str) -> HttpRequest:
    value = Secret.of(f"{scheme} {token}".strip())
    return request._replace(credentials=request.credentials.plus(headers=(("Authorization", value),)))


def _oauth_token(response: Response, held: HeldToken | None, now: datetime) -> HeldToken:
    document = _document(response, now)
    token = document.get("access_token") if isinstance(document, dict) else None
    if not isinstance(token, str) or not 0 < len(token) <= _MAX_TOKEN_CHARACTERS:
        raise SourceError("token_failed", f"the token endpoint gave no access_token{_reason(document)}")
    rotated = document.get("refresh_token")
    refresh = Secret.of(rotated) if isinstance(rotated, str) and rotated else held.refresh if held else None
    return _held(token, _life_s(document.get("expires_in")), refresh, now)


def _held(token: str, life_s: float | None, refresh: Secret | None, now: datetime) -> HeldToken:
    expires_at = None if life_s is None else now + timedelta(seconds=life_s)
    return HeldToken(Secret.of(token), now, expires_at, refresh)


def _life_s(value: Any) -> float | None:
    """Seconds of life as servers write them: a number or a text of digits; None for what is neither."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 12:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        return None
    return min(float(value), _MAX_LIFE_S)


def _is_success(response: Response) -> bool:
    return 200 <= response.status < 300


def _read(response: Response) -> Any:
    """The document in the answer of a token endpoint: JSON, or a form (GitHub's and others'); None for neither."""
    try:
        return loads(response.body)
    except ContractError:
        kind = (response.header("content-type") or "").lower()
    is_form = kind.startswith(("application/x-www-form-urlencoded", "text/plain")) and b"=" in response.body
    return dict(parse_qsl(response.body.decode("utf-8", "replace").strip())) or None if is_form else None


def _plain(response: Response) -> str | None:
    """The answer, where it is nothing but a word."""
    text = response.body.decode("utf-8", "replace").strip()
    return text if _is_success(response) and _WORD.fullmatch(text) else None


def _cookie(response: Response, wanted: str) -> str | None:
    """The value of the cookie that the answer sets, as it goes back (RFC 6265 §5.2)."""
    pairs = (value.partition(";")[0].partition("=") for value in response.header_values("set-cookie"))
    found = [value.strip() for name, _, value in pairs if name.strip() == wanted]
    return found[-1] if found else None


def _document(response: Response, now: datetime) -> Any:
    """The answer of a token endpoint. Raises: SourceError `token_failed` where it is none."""
    document = _read(response)
    if _is_success(response) and document is not None:
        return document
    raise _refused(response, document, now)


def _refused(response: Response, document: Any, now: datetime) -> SourceError:
    """No message repeats what the answer says: it may repeat what it was sent."""
    later = response.status in {408, 425, 429} or response.status >= 500
    return SourceError(
        "token_failed",
        f"the token endpoint answered with status {response.status}"
        f"{' and no JSON' if document is None else _reason(document)}",
        retryable=later,
        delay_s=asked_wait_s(response, now) if later else None,
    )


def _reason(document: Any) -> str:
    """The error code of RFC 6749 §5.2 or of a large provider, where it is one of those known."""
    error = document.get("error") if isinstance(document, dict) else None
    known = {
        "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type",
        "invalid_scope", "access_denied", "temporarily_unavailable", "server_error", "expired_token", "invalid_token",
        "bad_verification_code", "incorrect_client_credentials", "bad_refresh_token", "invalid_refresh_token",
        "invalid_auth", "token_expired", "token_revoked",
    }  # fmt: skip
    return f" ({error})" if error in known else ""
