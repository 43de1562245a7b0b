"""An endpoint's scheme, handshake and secrets, for those who receive and for those who judge manifests."""

from typing import Final

from headwater.contracts.endpoint import Endpoint
from headwater.contracts.endpoints import SecretWindow
from headwater.plugins.signatures.compile import compile_definition
from headwater.plugins.signatures.handshake import Handshake
from headwater.plugins.signatures.handshakes import compile_handshake
from headwater.plugins.signatures.presets import preset
from headwater.plugins.signatures.scheme import Scheme

LEARNING: Final = frozenset(
    {"asana_x_hook_secret", "notion_verification_token"}
)  # the provider hands a secret over


def scheme_of(endpoint: Endpoint) -> Scheme:
    """The endpoint's signature scheme. Raises: ConfigError."""
    if endpoint.definition is not None:
        return compile_definition(endpoint.definition)
    return preset(endpoint.scheme or "")


def handshake_of(endpoint: Endpoint, scheme: Scheme) -> Handshake | None:
    """The endpoint's handshake: its own, else the preset's. Raises: ConfigError."""
    wanted = endpoint.handshake if endpoint.handshake is not None else scheme.handshake
    return None if wanted is None or wanted == "none" else compile_handshake(wanted)


def learns(handshake: Handshake | None) -> bool:
    """Whether the provider hands the secret over in its handshake."""
    return handshake is not None and handshake.name in LEARNING


def needs_secret(scheme: Scheme, handshake: Handshake | None) -> bool:
    """Whether the operator must give a secret: not where the provider hands it over or publishes what verifies."""
    return not learns(handshake) and not scheme.fetches_keys


def windows(endpoint: Endpoint) -> tuple[SecretWindow, ...]:
    """The endpoint's secrets, each with its window."""
    return tuple(
        each if isinstance(each, SecretWindow) else SecretWindow(value=each) for each in endpoint.secrets
    )
