"""Everything one verification reads, gathered once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headwater.plugins.signatures.request import SignedRequest


@dataclass(slots=True)  # not frozen, which would double the time that making one takes
class Material:
    """What a template is rendered from. `secret` is set only where it is hashed with the text."""

    request: SignedRequest
    url: str
    context: Mapping[str, str]
    timestamp: bytes = b""
    document: Any = None
    secret: bytes = b""
    header_names: bytes | None = None
