"""What the receiver reads of a verified request: the key it is known by, its place in an order, its type."""

import hashlib
import re
from dataclasses import dataclass
from typing import Any

import orjson

from headwater.contracts.codec import dumps
from headwater.contracts.endpoint import Endpoint
from headwater.model.errors import ContractError
from headwater.plugins.expressions import MISSING, Getter, compile_path
from headwater.plugins.signatures.facts import delivery_id, event_type
from headwater.plugins.signatures.request import SignedRequest, header_values
from headwater.plugins.signatures.scheme import Scheme
from headwater.plugins.webhooks.parsing import parse
from headwater.plugins.webhooks.request import request_document

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
    """An endpoint's ways to them, compiled."""

    endpoint: Endpoint
    scheme: Scheme
    header: bytes | None
    found: Getter | None
    order_by: Getter | None

    def read(self, request: SignedRequest) -> Known:
        """The facts of a verified request. Never raises: what cannot be read is not there."""
        kind = _type(self.scheme, request)
        document: dict[str, Any] | None = None
        if self.found is not None or self.order_by is not None:
            document = self._document(request, kind)
        order_key = None
        if self.order_by is not None:
            order_key = _text(_value(self.order_by, document)) or ""
        return Known(self._key(request, document), order_key, kind)

    def _key(self, request: SignedRequest, document: dict[str, Any] | None) -> str | None:
        dedupe = self.endpoint.dedupe
        if dedupe.none:
            return None
        if dedupe.body:
            return "sha256:" + hashlib.sha256(request.body).hexdigest()
        if self.found is not None:
            return _text(_value(self.found, document))
        if self.header is not None:
            values = header_values(request, self.header)
            return _text(values[0].decode("latin-1")) if len(values) == 1 else None
        return delivery_id(self.scheme, request)

    def _document(self, request: SignedRequest, kind: str | None) -> dict[str, Any]:
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers]
        try:
            limit = self.endpoint.limits.body_bytes
            body = parse(request.body, headers, self.endpoint.parse, max_bytes=limit).document
        except ContractError:
            body = None
        return request_document(request.method, request.url, headers, body, kind)


def compile_facts(endpoint: Endpoint, scheme: Scheme) -> Facts:
    """The endpoint's facts. Raises: ConfigError for an expression that is none."""
    dedupe = endpoint.dedupe
    found = None
    if dedupe.expression is not None:
        found = compile_path(dedupe.expression)
    elif dedupe.path is not None:
        found = _dotted(tuple(dedupe.path.split(".")))
    return Facts(
        endpoint,
        scheme,
        None if dedupe.header is None else dedupe.header.lower().encode("latin-1"),
        found,
        None if endpoint.order_by is None else compile_path(endpoint.order_by),
    )


def _dotted(names: tuple[str, ...]) -> Getter:
    def get(document: Any) -> Any:
        found = document["body"]
        for name in names:
            if not isinstance(found, dict):
                return MISSING
            found = found.get(name, MISSING)
        return found

    return get


def _value(getter: Getter, document: Any) -> Any:
    try:
        return getter(document)
    except Exception:  # noqa: BLE001 - a key that cannot be read is not there, whatever the sender wrote
        return MISSING


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
    return value is MISSING or value is None or value == ""


def _type(scheme: Scheme, request: SignedRequest) -> str | None:
    """The scheme's place of the type, else that of a CloudEvent."""
    kind = event_type(scheme, request)
    if kind is not None:
        return kind
    values = header_values(request, b"ce-type")
    text = values[0].decode("latin-1") if len(values) == 1 else _type_of_event(request)
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
