"""The session: what the cookie holds, sealed by the key ring; nothing of it is stored but that it was ended.

The seal binds it to this use (no sealed secret of a row opens as a session, nor the other way round), and its text
cannot be read or changed by whoever carries it. The key in it is looked up at each request, as in the API.
"""

import base64
import binascii
import hmac
import json
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from aiohttp import web

from headwater.model.errors import SecretError
from headwater.model.secret import Secret
from headwater.store.keyring import Keyring

LASTS = timedelta(hours=12)
WAITS = timedelta(hours=1)  # for somebody who has the login form before them
_TENANT, _NAME = "", "web ui session"  # no tenant has an empty name
_MAX_CHARACTERS = 2000


@dataclass(frozen=True, slots=True)
class Session:
    """`key` is None before the login. `token` stands in every form of this session, and in no other's."""

    key: Secret | None
    token: str
    expires_at: datetime

    @property
    def began_at(self) -> datetime:
        return self.expires_at - (WAITS if self.key is None else LASTS)

    def has_token(self, given: str) -> bool:
        """Whether a form is of this session; in constant time."""
        return hmac.compare_digest(self.token.encode(), given.encode("utf-8", "replace"))


def new_session(now: datetime, key: Secret | None = None) -> Session:
    """With a token of its own, for 12 hours, or for one before the login."""
    return Session(key, secrets.token_urlsafe(32), now + (WAITS if key is None else LASTS))


def seal(keyring: Keyring, session: Session) -> str:
    """The session as a cookie's value."""
    told = {
        "key": None if session.key is None else session.key.text(),
        "token": session.token,
        "until": int(session.expires_at.timestamp()),
    }
    sealed = keyring.seal(_TENANT, _NAME, Secret.of(json.dumps(told)))
    return base64.urlsafe_b64encode(sealed).decode()


def unseal(keyring: Keyring, value: str, now: datetime) -> Session | None:
    """The session in a cookie; None when it is none of ours, was altered, or is over."""
    if not value or len(value) > _MAX_CHARACTERS:
        return None
    try:
        sealed = base64.b64decode(value, altchars=b"-_", validate=True)
        told = json.loads(keyring.open(_TENANT, _NAME, sealed).text())
    except (binascii.Error, ValueError, SecretError):
        return None
    until = datetime.fromtimestamp(told["until"], now.tzinfo)
    if until <= now:
        return None
    return Session(None if told["key"] is None else Secret.of(told["key"]), told["token"], until)


@dataclass(frozen=True, slots=True)
class Jar:
    """Where sessions lie: one cookie for who is logged in, one for who has the login form before them, so that a link
    to the form ends nobody's session. Where the browser speaks https, they go no other way.
    """

    keyring: Keyring
    public_url: str

    def session(self, request: web.Request, now: datetime, *, is_known: bool = True) -> Session | None:
        """The session that a request shows."""
        for name in (_name(is_known, is_secure=True), _name(is_known, is_secure=False)):
            found = unseal(self.keyring, request.cookies.get(name, ""), now)
            if found is not None and (found.key is not None) == is_known:
                return found
        return None

    def put(
        self, request: web.Request, response: web.StreamResponse, session: Session, now: datetime
    ) -> None:
        """Hand the session over."""
        is_secure = self._is_secure(request)
        response.set_cookie(
            _name(session.key is not None, is_secure=is_secure),
            seal(self.keyring, session),
            max_age=int((session.expires_at - now).total_seconds()),
            path="/",
            secure=is_secure,
            httponly=True,
            samesite="Strict",
        )

    def remove(self, response: web.StreamResponse, *, is_known: bool = True) -> None:
        """Let the browser forget it."""
        for is_secure in (True, False):
            name = _name(is_known, is_secure=is_secure)
            response.del_cookie(name, path="/", secure=is_secure, httponly=True, samesite="Strict")

    def _is_secure(self, request: web.Request) -> bool:
        """Whether the browser speaks https, whatever stands between: a form tells by Origin, else the address does.

        The public address may be the receiver's alone, and control be reached by another one.
        """
        origin = request.headers.get("Origin", "null")
        if origin != "null":
            return origin.startswith("https:")
        public = urlsplit(self.public_url)
        return public.scheme == "https" and public.netloc.lower() == request.host.lower()


def _name(is_known: bool, *, is_secure: bool) -> str:
    return ("__Host-" if is_secure else "") + ("headwater" if is_known else "headwater-login")
