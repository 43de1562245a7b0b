"""A run's end as an event for subscribers: routing key `<tenant>.run.<name>.finished`, CloudEvents headers.

Source: CloudEvents 1.0, AMQP binding §3.1 (attributes as `cloudEvents:` headers).
"""

from headwater.bus.port import Message
from headwater.bus.topology import EVENTS_EXCHANGE
from headwater.contracts.codec import dumps
from headwater.contracts.messages import RunFinished
from headwater.model.topics import routing_key


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
