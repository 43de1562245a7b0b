"""Between typed messages and the bus."""

from collections.abc import Mapping
from typing import TypeVar

from pydantic import ValidationError

from headwater.bus.port import Message
from headwater.contracts.base import Closed
from headwater.contracts.codec import dumps, loads, written
from headwater.model.errors import ContractError, Reject

Typed = TypeVar("Typed", bound=Closed)


def to_message(
    document: Closed,
    identifier: object,
    tenant: str,
    *,
    exchange: str = "headwater",
    parts: Mapping[str, bytes] | None = None,
) -> Message:
    """The message that carries `document`; its class names the routing key.

    `parts` are fields that are written as JSON already; they stand in place of the document's own.
    """
    kind: str = document.type  # type: ignore[attr-defined]  # every message class has it
    fields = document.model_dump(mode="python")
    fields |= {name: written(part) for name, part in (parts or {}).items()}
    body = dumps(fields)
    return Message(kind, str(identifier), body, {"tenant": tenant}, exchange=exchange)


def from_message(kind: type[Typed], message: Message) -> Typed:
    """The document in `message`. Raises: Reject, with the place, when it is not one."""
    try:
        return kind.model_validate(loads(message.body))
    except ContractError as error:
        raise Reject(f"{message.type}: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = "/".join(str(part) for part in first["loc"])
        raise Reject(f"{message.type}: /{place}: {first['msg']}") from error
