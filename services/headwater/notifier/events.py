"""A run's end as an event for subscribers: routing key `<tenant>.run.<name>.finished`, CloudEvents headers."""

from headwater.bus.port import Message
from headwater.contracts.codec import dumps
from headwater.contracts.messages import RunFinished
from headwater.model.topics import EXCHANGE, event_headers, routing_key


def event_of(finished: RunFinished, identifier: str) -> Message:
    """The event that tells of `finished`. `identifier` is the id of the message that told us: redelivered, the same."""
    headers = event_headers(
        finished.tenant,
        identifier=identifier,
        kind="run.finished",
        subject=f"runs/{finished.run_id}",
        at=finished.finished_at,
    )
    key = routing_key(finished.tenant, "run", finished.stream, "finished")
    return Message(key, identifier, dumps(finished.model_dump(mode="python")), headers, exchange=EXCHANGE)
