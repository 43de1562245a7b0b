"""`webhook.received`: the raw body is the message's body, untouched; everything else stands in its headers, most of it
in one of them, `receipt`.

Two shorter forms have no body: one names a key whose oldest waiting delivery is to be taken (`ordered`), one a
delivery that is to be done again (`replay`).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from headwater.model.errors import ContractError

TYPE = "webhook.received"
_NAMING = frozenset({"payload-id", "ordered", "replay"})  # headers that name a body elsewhere


class Receipt(NamedTuple):
    """One accepted request. (A tuple, since one is made for every delivery: that takes a seventh of the time.)

    `id` names the delivery: a function of the provider's delivery id where there is one, else of this receipt.
    `receipt_id` names this request and is the message id. `headers` are [name, value] in wire order, latin-1.
    `dedupe_s` is the window of the claim on `key`, in seconds. With `payload_id` the body stands in table `payload`.
    """

    id: UUID
    receipt_id: UUID
    received_at: datetime
    tenant: str
    endpoint: str
    method: str
    url: str
    remote: str | None
    headers: list[list[str]]
    body: bytes
    verification: Mapping[str, Any]
    type: str | None = None
    key: str | None = None
    dedupe_s: int = 7 * 86_400
    payload_id: UUID | None = None


def ascii_json(value: Any) -> str:
    """`value` as JSON in ASCII: by the fast way where there is nothing to escape."""
    try:
        text = orjson.dumps(value)
    except orjson.JSONEncodeError:  # half a surrogate pair, as undecodable bytes of a URL become
        return json.dumps(value, separators=(",", ":"))
    return text.decode("ascii") if text.isascii() else json.dumps(value, separators=(",", ":"))


def _loads(text: str) -> Any:
    """What `ascii_json` wrote."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:  # half a surrogate pair, or no JSON at all
        return json.loads(text)


def headers_of(
    tenant: str,
    endpoint: str,
    delivery_id: str,
    received_at: datetime,
    request: tuple[str, str, str | None],
    http_headers: list[list[str]],
    verification: Mapping[str, Any],
    dedupe: tuple[str | None, int, str | None],
) -> dict[str, str]:
    """The same from its parts; milliseconds of `received_at` count. What is not looked at on the way is one text, since
    each header costs as much as all that is in it.
    """
    method, url, remote = request
    key, dedupe_s, kind = dedupe
    receipt = {
        "received_at": received_at.isoformat(timespec="milliseconds"),
        "method": method,
        "url": url,
        "remote": remote,
        "headers": http_headers,
        "verification": verification,
        "type": kind,
        "key": key,
        "dedupe_s": dedupe_s,
    }
    return {
        "tenant": tenant,
        "endpoint": endpoint,
        "delivery-id": delivery_id,
        "receipt": ascii_json(receipt),
    }


def to_headers(receipt: Receipt) -> dict[str, str]:
    """The message headers of a receipt; texts are ASCII (JSON escapes what is not)."""
    told = headers_of(
        receipt.tenant,
        receipt.endpoint,
        str(receipt.id),
        receipt.received_at,
        (receipt.method, receipt.url, receipt.remote),
        receipt.headers,
        receipt.verification,
        (receipt.key, receipt.dedupe_s, receipt.type),
    )
    if receipt.payload_id is not None:
        told["payload-id"] = str(receipt.payload_id)
    return told


_told = itemgetter(
    "received_at", "method", "url", "remote", "headers", "verification", "type", "key", "dedupe_s"
)


def from_headers(message_id: str, headers: Mapping[str, str], body: bytes) -> Receipt:
    """The receipt in a message. Raises: ContractError, naming what is missing or malformed."""
    try:
        text = headers["receipt"]
        at, method, url, remote, http_headers, verification, kind, key, dedupe_s = _told(_loads(text))
        received_at = datetime.fromisoformat(at)
        if received_at.tzinfo is None:
            raise ValueError("received_at has no zone")
        if type(http_headers) is not list or type(verification) is not dict or type(dedupe_s) is not int:
            raise ValueError("headers is no list, verification no object, or dedupe_s no whole number")
        if not (
            type(method) is type(url) is str
            and (remote is None or type(remote) is str)
            and (kind is None or type(kind) is str)
            and (key is None or type(key) is str)
        ):
            raise ValueError("method, url, remote, type and key are texts")
        for pair in http_headers:
            name, value = pair
            if type(name) is not str or type(value) is not str or type(pair) is not list:
                raise ValueError("headers are no pairs of texts")
        if "\\u" in text:  # NUL and half a surrogate pair are always escaped
            for each in chain((method, url, remote or "", kind or "", key or ""), *http_headers):
                _text(each)
        return Receipt(
            UUID(headers["delivery-id"]),
            UUID(message_id),
            received_at,
            _text(headers["tenant"]),
            _text(headers["endpoint"]),
            method,
            url,
            remote,
            http_headers,
            body,
            verification,
            kind,
            key,
            dedupe_s,
            UUID(headers["payload-id"]) if "payload-id" in headers else None,
        )
    except KeyError as error:
        raise ContractError(f"webhook.received: {error.args[0]!r} is missing") from error
    except (ValueError, TypeError) as error:
        raise ContractError(f"webhook.received: {error}") from error


def carries_its_body(headers: Mapping[str, str]) -> bool:
    """Whether the delivery that a message tells of is whole in it, as most are."""
    return _NAMING.isdisjoint(headers)


@dataclass(frozen=True, slots=True)
class OrderedKey:
    """A key of an endpoint with `order_by`: its deliveries are taken one after another."""

    tenant: str
    endpoint: str
    key: str

    def to_headers(self) -> dict[str, str]:
        return {"tenant": self.tenant, "ordered": json.dumps([self.endpoint, self.key])}


@dataclass(frozen=True, slots=True)
class ReplayOf:
    """The replay `number` (from 1) of a delivery."""

    delivery_id: UUID
    received_at: datetime
    number: int


def ordered_in(headers: Mapping[str, str]) -> OrderedKey | None:
    """The key that a message names; None when it is a receipt or a replay. Raises: ContractError."""
    if "ordered" not in headers:
        return None
    try:
        endpoint, key = json.loads(headers["ordered"])
        return OrderedKey(_text(headers["tenant"]), _text(endpoint), _text(key))
    except (KeyError, ValueError, TypeError) as error:
        raise ContractError(f"webhook.received: ordered: {error}") from error


def replay_in(headers: Mapping[str, str]) -> ReplayOf | None:
    """The replay that a message names; None when it is none. Raises: ContractError."""
    if "replay" not in headers:
        return None
    try:
        identifier, received_at, number = json.loads(headers["replay"])
        moment = datetime.fromisoformat(received_at)
        if moment.tzinfo is None or type(number) is not int or number < 1:
            raise ValueError("a moment with its zone and a number from 1 are needed")
        return ReplayOf(UUID(identifier), moment, number)
    except (ValueError, TypeError, AttributeError) as error:
        raise ContractError(f"webhook.received: replay: {error}") from error


def _text(value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("a header's value is no text that a row can hold")
    if not value.isascii():
        value.encode()  # half a surrogate pair is no text either: UnicodeEncodeError, which is a ValueError
    return value
