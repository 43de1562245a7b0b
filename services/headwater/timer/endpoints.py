"""What endpoints need now and then: alarms, keys whose message was lost, retention."""

import logging
from typing import Any

from headwater.store import alarms, endpoints, ordering, refusals, replays
from headwater.telemetry.metrics import Metrics

logger = logging.getLogger("headwater.timer")


async def watch(connection: Any, metrics: Metrics) -> bool:
    """One look, in the caller's transaction; tells whether something is owed now."""
    changed = await alarms.look(connection)
    again = await ordering.owe_again(connection)
    if again:
        logger.warning("%d keys of ordered deliveries waited without a message: they are owed again", again)
    metrics.endpoint_alarms.clear()
    for row in await alarms.current(connection):
        metrics.endpoint_alarms.labels(row["tenant"], row["endpoint"], row["kind"]).set(1)
    return bool(changed or again)


async def sweep(connection: Any) -> None:
    """Remove what is older than anybody keeps it."""
    await refusals.sweep(connection)
    await replays.sweep(connection)
    await endpoints.sweep_counts(connection)
