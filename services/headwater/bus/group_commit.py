"""Many small writes, few commits: what comes while one commit is under way goes together in the next."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from headwater.model.errors import BusUnavailable

log = logging.getLogger(__name__)

T = TypeVar("T")
MAX_ITEMS = 200
MAX_BYTES = 4 * 1024 * 1024  # of one commit; a single larger item goes alone


class GroupCommit(Generic[T]):
    """Collects items for `commit`, which gives one answer per item: None for safe, else what to raise."""

    def __init__(
        self,
        commit: Callable[[Sequence[T]], Awaitable[Sequence[Exception | None]]],
        size_of: Callable[[T], int] = lambda _: 0,
    ) -> None:
        self._commit = commit
        self._size_of = size_of
        self._pending: deque[tuple[T, asyncio.Future[None]]] = deque()
        self._arrived = asyncio.Event()
        self._closed = False
        self.pending_bytes = 0

    async def add(self, item: T) -> None:
        """Returns when `item` is committed. Raises: the answer of `commit`; BusUnavailable when closed."""
        if self._closed:
            raise BusUnavailable("the bus is closed")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending.append((item, done))
        self.pending_bytes += self._size_of(item)
        self._arrived.set()
        await done

    async def run(self) -> None:
        """Commit until cancelled. Several may run side by side."""
        while True:
            while not self._pending:
                self._arrived.clear()
                await self._arrived.wait()
            group = self._next_group()
            if group:
                await self._settle(group)

    def close(self) -> None:
        """Refuse what waits and what comes."""
        self._closed = True
        while self._pending:
            _answer(self._pending.popleft()[1], BusUnavailable("the bus is closed"))

    def _next_group(self) -> list[tuple[T, "asyncio.Future[None]"]]:
        group: list[tuple[T, asyncio.Future[None]]] = []
        size = 0
        while self._pending and len(group) < MAX_ITEMS:
            item, done = self._pending[0]
            item_size = self._size_of(item)
            if group and size + item_size > MAX_BYTES:
                break
            self._pending.popleft()
            self.pending_bytes -= item_size
            if not done.done():  # else its caller has gone
                group.append((item, done))
                size += item_size
        return group

    async def _settle(self, group: "list[tuple[T, asyncio.Future[None]]]") -> None:
        answers: Sequence[Exception | None]
        try:
            answers = await self._commit([item for item, _ in group])
        except asyncio.CancelledError:
            answers = [BusUnavailable("the bus was closed before the commit was known")] * len(group)
            raise
        except Exception as error:  # noqa: BLE001  every caller is told; the next group may fare better
            answers = [error] * len(group)
        finally:
            for (_, done), answer in zip(group, answers, strict=True):
                _answer(done, answer)


def _answer(done: "asyncio.Future[None]", answer: Exception | None) -> None:
    if done.done():
        return
    if answer is None:
        done.set_result(None)
    else:
        done.set_exception(answer)
