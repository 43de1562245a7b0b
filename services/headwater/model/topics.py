"""Events for subscribers of `headwater.events`: their routing keys, and the attributes that stand in their headers."""

import hashlib
import re
from datetime import datetime

EXCHANGE = "headwater.events"
MAX_WORD = 64
ATTRIBUTE_PREFIX = "cloudEvents:"  # CloudEvents 1.0, AMQP binding §3.1.3.2
ATTRIBUTES = ("specversion", "id", "type", "source", "subject", "time")
_OTHERS = re.compile(r"[^A-Za-z0-9_-]+")
_MAX_TYPE = 200


def word(text: str) -> str:
    """`text` as one word of a routing key: 1 to 64 of `[A-Za-z0-9_-]`. A cut word ends in a hash of the whole."""
    reduced = _OTHERS.sub("_", text) or "_"
    if len(reduced) <= MAX_WORD:
        return reduced
    return f"{reduced[: MAX_WORD - 9]}_{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:8]}"


def routing_key(tenant: str, kind: str, name: str, event: str) -> str:
    """The topic `<tenant>.<kind>.<name>.<event>`."""
    return ".".join(word(part) for part in (tenant, kind, name, event))


def event_headers(
    tenant: str, *, identifier: str, kind: str, subject: str, at: datetime, source: str = ""
) -> dict[str, str]:
    """The headers of an event: CloudEvents attributes, and whose it is.

    `kind` is what happened, such as `run.finished`; `subject` the thing it happened to, such as `runs/<id>`; `source`
    the place within the tenant that tells of it.
    """
    values = {
        "specversion": "1.0",
        "id": identifier,
        "type": f"headwater.{kind[:_MAX_TYPE]}",
        "source": f"/tenants/{tenant}" + (f"/{source}" if source else ""),
        "subject": subject,
        "time": at.isoformat(),
    }
    return {"tenant": tenant, **{ATTRIBUTE_PREFIX + name: values[name] for name in ATTRIBUTES}}
