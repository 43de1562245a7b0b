"""Pauses that end by themselves."""

import logging
from typing import Any

from headwater.model.errors import ConfigError
from headwater.store import schedule_verbs
from headwater.store.schedule_verbs import State

logger = logging.getLogger("headwater.timer")
AT_ONCE = 100


async def resume_due(connection: Any) -> int:
    """Resume schedules whose pause is over, in the caller's transaction; gives how many.

    What was due during the pause is left out; what has been due since its end is caught up with as after a downtime.
    """
    rows = await schedule_verbs.resumable(connection, AT_ONCE)
    for row in rows:
        try:
            new = schedule_verbs.at_work(row, row["tenant"], row["paused_until"])
        except (ConfigError, ValueError) as error:
            new = State("error", None, is_enabled=True, reason=str(error)[:500])
        logger.info("schedule %s/%s goes on: its pause is over", row["tenant"], row["name"])
        await schedule_verbs.set_state(connection, row["tenant"], row["name"], new)
    return len(rows)
