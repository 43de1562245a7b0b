"""What every backend does alike to a message: judge it before it is sent, make a dead letter of it."""

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache

from headwater.bus.port import MAX_BODY_BYTES, Message
from headwater.bus.topology import Topology
from headwater.model.errors import ContractError

CONTENT_TYPE = "content-type"  # also the property of that name, where the bus has one
ATTEMPT_HEADER = "x-headwater-attempt"
USER_HEADER = "x-headwater-user-id"
REASON_HEADER = "x-headwater-reason"
QUEUE_HEADER = "x-headwater-queue"
DEAD_AT_HEADER = "x-headwater-dead-at"
RESERVED_HEADERS = frozenset(
    {ATTEMPT_HEADER, USER_HEADER}
)  # the envelope's own; a message's headers lack them
MAX_NAME_BYTES = 255  # AMQP 0-9-1 short strings: routing key, message id, header names
MAX_HEADER_BYTES = 64 * 1024  # all headers of a message; they must fit one frame with room to spare
MAX_REASON_CHARACTERS = 1000


def _fault_of_name(what: str, text: str) -> str | None:
    if 0 < len(text) <= MAX_NAME_BYTES and text.isascii() and "\0" not in text:
        return None
    if not text or len(text.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES:
        return f"{what} must have 1 to {MAX_NAME_BYTES} bytes"
    return _fault_of_text(what, text)


def _fault_of_text(what: str, text: str) -> str | None:
    if text.isascii():
        return f"{what} holds a NUL character" if "\0" in text else None
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return f"{what} holds half a surrogate pair"
    return f"{what} holds a NUL character" if "\0" in text else None


def _are_plain(headers: Mapping[str, str]) -> bool:
    """Whether nothing is wrong with the headers, as far as can be seen at once; most are plain ASCII."""
    try:
        names_size, values = _size_of_plain(tuple(headers)), "".join(headers.values())
    except TypeError:
        return False
    return (
        names_size is not None
        and values.isascii()
        and "\0" not in values
        and names_size + len(values) <= MAX_HEADER_BYTES
    )


@lru_cache(maxsize=1024)
def _size_of_plain(names: tuple[str, ...]) -> int | None:
    """The size of headers' names, None where not all are plain. Few lists of names are used again and again."""
    joined = "".join(names)
    is_plain = (
        joined.isascii()
        and joined == joined.lower()
        and "\0" not in joined
        and RESERVED_HEADERS.isdisjoint(names)
        and all(map(len, names))
        and max(map(len, names), default=0) <= MAX_NAME_BYTES
    )
    return len(joined) if is_plain else None


def _fault_of_headers(headers: Mapping[str, str]) -> str | None:
    if _are_plain(headers):
        return None
    size = 0
    for name, value in headers.items():
        if not isinstance(value, str):
            return f"header {name!r} is not text"
        if name.lower() in RESERVED_HEADERS:
            return f"header {name!r} belongs to the bus"
        fault = _fault_of_name(f"header name {name[:40]!r}", name) or _fault_of_text(
            f"header {name!r}", value
        )
        if fault:
            return fault
        size += len(name) + len(value.encode("utf-8"))
    return f"headers have more than {MAX_HEADER_BYTES} bytes" if size > MAX_HEADER_BYTES else None


def fault_of(message: Message) -> str | None:
    """Why no backend may carry `message`; None when it is well formed."""
    if len(message.body) > MAX_BODY_BYTES:
        return f"body has {len(message.body)} bytes, more than {MAX_BODY_BYTES}"
    if message.attempt < 0:
        return "attempt is negative"
    user = message.user_id
    return (
        _fault_of_name("type", message.type)
        or _fault_of_name("id", message.id)
        or (None if user is None else _fault_of_name("user_id", user))
        or (_fault_of_headers(message.headers) if message.headers else None)
    )


def require_sound(message: Message) -> None:
    """Raises: ContractError when the message is malformed."""
    fault = fault_of(message)
    if fault is not None:
        raise ContractError(f"message {message.type[:80]!r} cannot be sent: {fault}")


def address(topology: Topology, message: Message) -> str | None:
    """The queue that takes `message`; None when its exchange is for subscribers.

    Raises: ContractError when the message is malformed or nothing takes its type.
    """
    require_sound(message)
    if message.exchange not in topology.exchanges:
        raise ContractError(f"no exchange is named {message.exchange!r}; see rabbitmq/definitions.json")
    if not topology.needs_taker(message.exchange):
        return None
    queues = topology.route(message.exchange, message.type)
    if not queues:
        raise ContractError(f"no queue takes {message.type!r} from exchange {message.exchange!r}")
    return queues[0]


def dead_letter(message: Message, *, reason: str, queue: str, at: datetime) -> Message:
    """`message` as a dead letter: everything it had, and why, where and when it was given up."""
    about = {REASON_HEADER: clean_reason(reason), QUEUE_HEADER: queue, DEAD_AT_HEADER: at.isoformat()}
    return message._replace(headers={**message.headers, **about})


def clean_reason(reason: str) -> str:
    """`reason` cut to a length that fits a header, with what no header can carry replaced."""
    text = reason[:MAX_REASON_CHARACTERS].encode("utf-8", "replace").decode("utf-8")
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}") or "no reason given"
