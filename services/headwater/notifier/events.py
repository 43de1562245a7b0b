"""A run's end as an event for subscribers: routing key `<tenant>.run.<name>.finished`, CloudEvents headers.

Source: CloudEvents 1.0, AMQP binding §3.1 (attributes as `cloudEvents:` headers).
"""

import hashlib
import re

from headwater.bus.port import Message
from headwater.bus.topology import EVENTS_EXCHANGE
from headwater.contracts.codec import dumps
from headwater.contracts.messages import RunFinished

MAX_WORD = 64
_OTHERS = re.compile(r"[^A-Za-z0-9_-]+")


def word(text: str) -> str:
    """`text` as one word of a routing key: 1 to 64 of `[A-Za-z0-9_-]`. A cut word ends in a hash of the whole."""
    reduced = _OTHERS.sub("_", text) or "_"
    if len(reduced) <= MAX_WORD:
        return reduced
    return f"{reduced[: MAX_WORD - 9]}_{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def routing_key(tenant: str, kind: str, name: str, event: str) -> str:
    """The topic that subscribers bind to."""
    return ".".join(word(part) for part in (tenant, kind, name, event))


def event_of(finished: RunFinished, identifier: str) -> Message:
    """The event that tells of `finished`. `identifier` is the id of the message that told us: redelivered, the same."""
    headers = {
        "cloudEvents:specversion": "1.0",
        "cloudEvents:type": "headwater.run.finished",
        "cloudEvents:source": f"/tenants/{finished.tenant}",
        "cloudEvents:id": identifier,
        "cloudEvents:time": finished.finished_at.isoformat(),
        "cloudEvents:subject": f"runs/{finished.run_id}",
        "tenant": finished.tenant,
    }
    key = routing_key(finished.tenant, "run", finished.stream, "finished")
    return Message(
        key, identifier, dumps(finished.model_dump(mode="python")), headers, exchange=EVENTS_EXCHANGE
    )
