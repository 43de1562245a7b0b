"""Ending background tasks for sure."""

import asyncio
from collections.abc import Collection

AGAIN_AFTER_S = 1.0


async def end_tasks(tasks: Collection["asyncio.Task[None]"]) -> None:
    """Cancel these tasks and return when all have ended; their outcomes are not looked at.

    A client library may swallow a cancellation that meets its own trouble, so it is repeated every second.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=AGAIN_AFTER_S)
