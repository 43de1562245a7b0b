"""A handler that is cancelled from within, after a task group in it has failed."""

import asyncio
from collections.abc import Sequence

from tests.support.buses import PATIENCE_S, message

from headwater.bus.memory import MemoryBus
from headwater.bus.port import Message
from headwater.model.errors import Later


async def test_a_consumer_survives_a_cancellation_from_within_after_a_task_group_failed() -> None:
    """Before Python 3.13 such a group leaves its own request to cancel behind in the task."""
    bus = MemoryBus()
    calls: list[str] = []

    async def fail() -> None:
        await asyncio.sleep(0)
        raise Later(0.0)

    async def handle(messages: Sequence[Message]) -> None:
        calls.append(messages[0].id)
        if len(calls) == 1:
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
        if len(calls) == 2:
            raise asyncio.CancelledError

    async with bus.consume("headwater.run.due", handle, concurrency=1):
        await bus.publish(message(id="one"))
        async with asyncio.timeout(PATIENCE_S):
            await bus.drain()

    assert calls == ["one", "one", "one"]
