"""Ways to prove who is asking, by the `type` of a source's `auth`."""

from collections.abc import Mapping
from typing import Any

from headwater.contracts.auth import Auth
from headwater.plugins.auth.base import Authenticator
from headwater.plugins.auth.static import (
    ApiKeyAuthenticator,
    BasicAuthenticator,
    BearerAuthenticator,
    NoAuthenticator,
)

AUTHENTICATORS: Mapping[str, Any] = {
    plugin.name: plugin
    for plugin in (NoAuthenticator, BearerAuthenticator, BasicAuthenticator, ApiKeyAuthenticator)
}


def authenticator_for(auth: Auth) -> Authenticator:
    """The plug-in for `auth`."""
    plugin: Authenticator = AUTHENTICATORS[auth.type](auth)
    return plugin


__all__ = ["AUTHENTICATORS", "Authenticator", "authenticator_for"]
