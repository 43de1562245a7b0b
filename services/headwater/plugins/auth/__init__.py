"""Ways to prove who is asking, by the `type` of a source's `auth`."""

from collections.abc import Mapping
from typing import Any

from headwater.contracts.auth import Auth, JwtAuth
from headwater.plugins.auth.aws import AwsAuthenticator
from headwater.plugins.auth.base import ACCESS_TOKEN, Authenticator, HeldToken, TokenAuthenticator
from headwater.plugins.auth.signed import HmacAuthenticator
from headwater.plugins.auth.static import (
    ApiKeyAuthenticator,
    BasicAuthenticator,
    BearerAuthenticator,
    NoAuthenticator,
)
from headwater.plugins.auth.tokens import JwtAuthenticator, OAuth2Authenticator, SessionAuthenticator

AUTHENTICATORS: Mapping[str, Any] = {
    plugin.name: plugin
    for plugin in (
        NoAuthenticator,
        BearerAuthenticator,
        BasicAuthenticator,
        ApiKeyAuthenticator,
        HmacAuthenticator,
        AwsAuthenticator,
        OAuth2Authenticator,
        JwtAuthenticator,
        SessionAuthenticator,
    )
}


def authenticator_for(auth: Auth) -> Authenticator:
    """The plug-in for `auth`."""
    plugin: Authenticator = AUTHENTICATORS[auth.type](auth)
    return plugin


def token_authenticator_for(auth: Auth) -> TokenAuthenticator | None:
    """The plug-in for `auth` if it shows a token that it must first ask for."""
    if isinstance(auth, JwtAuth) and auth.token_url is None:
        return None
    plugin = authenticator_for(auth)
    return plugin if isinstance(plugin, TokenAuthenticator) else None


__all__ = [
    "ACCESS_TOKEN",
    "AUTHENTICATORS",
    "Authenticator",
    "HeldToken",
    "TokenAuthenticator",
    "authenticator_for",
    "token_authenticator_for",
]
