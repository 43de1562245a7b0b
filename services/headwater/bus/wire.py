"""Between typed messages and the bus."""

from collections.abc import Mapping
from typing import TypeVar

from pydantic import ValidationError

from headwater.bus.port import Message
from headwater.contracts.base import Closed
from headwater.contracts.codec import dumps, is_plain_json, loads
from headwater.model.errors import ContractError, Reject

NUMBERS_HEADER, PLAIN, PADDED = "numbers", "plain", "padded"
Typed = TypeVar("Typed", bound=Closed)


def to_message(
    document: Closed,
    identifier: object,
    tenant: str,
    *,
    exchange: str = "headwater",
    parts: Mapping[str, bytes] | None = None,
    is_plain: bool = False,
    keeps_scale: bool = False,
) -> Message:
    """The message that carries `document`; its class names the routing key.

    `parts` are fields that are written as JSON already; they stand in place of the document's own. `is_plain`: they are
    known to be plain (`is_plain_json`). The message says when all of it is, so that whoever reads it need not look;
    and with `keeps_scale` that zeros behind a point are to be kept.
    """
    kind: str = document.type  # type: ignore[attr-defined]  # every message class has it
    parts = parts or {}
    body = dumps(document.model_dump(mode="python", exclude=set(parts) or None))
    headers = {"tenant": tenant}
    if is_plain and is_plain_json(body):
        headers[NUMBERS_HEADER] = PLAIN
    elif keeps_scale:
        headers[NUMBERS_HEADER] = PADDED
    if parts:  # large ones: they are copied once
        fields = (field for name, part in parts.items() for field in (b",", dumps(name), b":", part))
        body = b"".join((body[:-1], *fields, b"}"))
    return Message(kind, str(identifier), body, headers, exchange=exchange)


def from_message(kind: type[Typed], message: Message) -> Typed:
    """The document in `message`. Raises: Reject, with the place, when it is not one."""
    try:
        numbers = message.headers.get(NUMBERS_HEADER)
        is_plain = True if numbers == PLAIN else None
        return kind.model_validate(loads(message.body, is_plain=is_plain, keeps_scale=numbers == PADDED))
    except ContractError as error:
        raise Reject(f"{message.type}: {error}") from error
    except ValidationError as error:
        raise Reject(f"{message.type}: {_fault(error, kind)}") from error


def _fault(error: ValidationError, kind: type[Closed]) -> str:
    """The first fault in the words of manifests, with its place."""
    from headwater.contracts.problem_words import words  # noqa: PLC0415 - for messages of others alone

    first = error.errors()[0]
    what, mend = words(first, first["loc"], kind)
    place = "/".join(str(part) for part in first["loc"])
    return f"/{place}: {what}; {mend}" if mend else f"/{place}: {what}"
