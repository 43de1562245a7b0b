"""What the receiver reads of a verified request: the key it is known by, its place in an order, its type."""

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import orjson

from headwater.contracts.codec import dumps
from headwater.model.errors import ContractError
from headwater.plugins.signatures.facts import delivery_id, event_type
from headwater.plugins.signatures.request import SignedRequest, header_values
from headwater.plugins.signatures.scheme import Scheme

if TYPE_CHECKING:
    from headwater.contracts.endpoint import Endpoint
    from headwater.plugins.webhooks.values import Values

MAX_KEY_CHARACTERS = 512
_SHOWN_CHARACTERS = 120
_EVENT = re.compile(rb"application/cloudevents\+json\s*(?:;|\Z)", re.IGNORECASE)


@dataclass(slots=True)  # not frozen, which would double the time that making one takes
class Known:
    """`key` is None where there is none: then every request is a delivery of its own. `order_key` likewise."""

    key: str | None
    order_key: str | None
    type: str | None


@dataclass(frozen=True, slots=True)
class Facts:
    """An endpoint's ways to them, compiled. `values` is None where none of them leads into the request's document."""

    endpoint: "Endpoint"
    scheme: Scheme
    header: bytes | None
    values: "Values | None"

    def read(self, request: SignedRequest) -> Known:
        """The facts of a verified request. Never raises: what cannot be read is not there."""
        kind = _type(self.scheme, request)
        key = order = None
        if self.values is not None:
            key, order = self.values.read(request, kind)
        order_key = None if self.endpoint.order_by is None else _text(order) or ""
        return Known(self._key(request, key), order_key, kind)

    def _key(self, request: SignedRequest, found: Any) -> str | None:
        dedupe = self.endpoint.dedupe
        if dedupe.none:
            return None
        if dedupe.body:
            return "sha256:" + hashlib.sha256(request.body).hexdigest()
        if dedupe.expression is not None or dedupe.path is not None:
            return _text(found)
        if self.header is not None:
            values = header_values(request, self.header)
            return _text(values[0].decode("latin-1")) if len(values) == 1 else None
        return delivery_id(self.scheme, request)


def compile_facts(endpoint: "Endpoint", scheme: Scheme) -> Facts:
    """The endpoint's facts. Raises: ConfigError for an expression that is none."""
    dedupe = endpoint.dedupe
    header = None if dedupe.header is None else dedupe.header.lower().encode("latin-1")
    values = None
    if not (dedupe.expression is None and dedupe.path is None and endpoint.order_by is None):
        from headwater.plugins.webhooks.values import Values  # noqa: PLC0415 - held only where it is used

        values = Values(endpoint)
    return Facts(endpoint, scheme, header, values)


def _text(value: Any) -> str | None:
    """A value as a key: texts as they are, others as JSON, long ones by their hash; None for nothing, null, and lists
    and objects of nothing else: deliveries that lack what would tell them apart are not one.
    """
    if isinstance(value, str):
        text = value
    else:
        try:
            text = "" if _is_nothing(value) else dumps(value).decode()
        except (ContractError, RecursionError):  # nested beyond what can be written
            return None
    if not text:
        return None
    if len(text) <= MAX_KEY_CHARACTERS and text.isprintable():
        return text
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _is_nothing(value: Any) -> bool:
    if isinstance(value, dict | list):
        return all(_is_nothing(each) for each in (value.values() if isinstance(value, dict) else value))
    return value is None or value == ""


def _type(scheme: Scheme, request: SignedRequest) -> str | None:
    """The scheme's place of the type, else that of a CloudEvent."""
    kind = event_type(scheme, request)
    if kind is not None:
        return kind
    values = header_values(request, b"ce-type")
    text = unquote(values[0].decode("latin-1")) if len(values) == 1 else _type_of_event(request)
    return text if 0 < len(text) <= _SHOWN_CHARACTERS and text.isprintable() else None


def _type_of_event(request: SignedRequest) -> str:
    """The type of a CloudEvent in structured mode; empty where the body says that it is none, or a batch."""
    media = header_values(request, b"content-type")
    if len(media) != 1 or _EVENT.match(media[0]) is None:
        return ""
    try:
        document = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        return ""
    found = document.get("type") if isinstance(document, dict) else None
    return found if isinstance(found, str) else ""
