"""Work on the database that is waited for no longer than its time.

A database that does not answer lets go of nothing for seconds, not even of what is cancelled: such work runs on by
itself, in a bounded number, and what becomes of it is unknown to whoever asked for it.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from headwater.model.errors import Unavailable

T = TypeVar("T")


class Stragglers:
    """Work of one kind, of which at most `most` is under way."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._under_way: set[asyncio.Task[Any]] = set()

    async def within(self, seconds: float, work: Coroutine[Any, Any, T]) -> T:
        """What `work` gives. Raises: Unavailable when it is not done in its time, or as long as too many are not."""
        if len(self._under_way) >= self._most:
            work.close()
            raise Unavailable("the database has not answered those before")
        task = asyncio.create_task(work, name="database")
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        try:
            await asyncio.wait({task}, timeout=seconds)
        finally:
            if not task.done():
                task.cancel()
                task.add_done_callback(_looked_at)
        if not task.done():
            raise Unavailable("not within its time")
        return task.result()


def _looked_at(task: asyncio.Task[Any]) -> None:
    """Nobody waits for it any more: what became of it is as unknown as its caller was told."""
    if not task.cancelled():
        task.exception()
