"""Pages begin in the ledger together: what comes while a statement is under way goes with the next one.

A page costs the database and this process less the more hands ask at once, and a single hand waits no longer than for
its own statement.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from headwater.bus.tasks import end_tasks
from headwater.model.errors import Unavailable
from headwater.store import ledger
from headwater.store.database import Database
from headwater.store.ledger import Beginning, Begun, PageKey

AT_ONCE = 64  # pages of one statement
STATEMENTS = 2  # under way; one more page does not wait for the one before
Answer = asyncio.Future[Begun | None]


class Beginnings:
    """The pages of one process that are to begin. Nobody begins outside of `running`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: OrderedDict[PageKey, list[tuple[Beginning, Answer]]] = OrderedDict()
        self._asked = asyncio.Event()
        self._soon: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Begin pages while the context is open."""
        async with asyncio.TaskGroup() as group:
            workers = [group.create_task(self._work(), name="fetcher.begin") for _ in range(STATEMENTS)]
            try:
                yield
            finally:
                await end_tasks(workers)

    async def begin(self, page: Beginning, *, within_s: float = 0.0) -> Begun | None:
        """As `ledger.begin_pages`, on its own or with others. A page that nobody needs yet waits for company, for
        `within_s` at most. Raises: Unavailable.
        """
        loop = asyncio.get_running_loop()
        answer: Answer = loop.create_future()
        self._waiting.setdefault(page.key, []).append((page, answer))
        if within_s <= 0:
            self.need()
        elif self._soon is None or self._soon.when() > loop.time() + within_s:
            self._forget_soon()
            self._soon = loop.call_later(within_s, self.need)
        return await answer

    def need(self) -> None:
        """What waits is needed now."""
        self._forget_soon()
        if self._waiting:
            self._asked.set()

    def _forget_soon(self) -> None:
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None

    async def _work(self) -> None:
        while True:
            await self._asked.wait()
            if asked := self._take():
                await self._begin(asked)

    def _take(self) -> list[tuple[Beginning, Answer]]:
        """The pages that waited longest; of those that are asked for twice the first one."""
        taken = []
        for key in list(self._waiting)[:AT_ONCE]:
            waiting = self._waiting[key]
            taken.append(waiting.pop(0))
            if not waiting:
                del self._waiting[key]
        if not self._waiting:
            self._asked.clear()
        return [(page, answer) for page, answer in taken if not answer.done()]

    async def _begin(self, asked: Sequence[tuple[Beginning, Answer]]) -> None:
        try:
            async with self._database.connection() as connection:
                begun = await ledger.begin_pages(connection, [page for page, _ in asked])
        except asyncio.CancelledError:
            for _, answer in asked:
                answer.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - raised where the page is asked for
            await self._failed(asked, error)
            return
        for (_, answer), one in zip(asked, begun, strict=True):
            if not answer.done():
                answer.set_result(one)

    async def _failed(self, asked: Sequence[tuple[Beginning, Answer]], error: Exception) -> None:
        """A fault of one page is not that of its neighbours."""
        if len(asked) > 1 and not isinstance(error, Unavailable):
            for one in asked:
                await self._begin([one])
            return
        for _, answer in asked:
            if not answer.done():
                answer.set_exception(error)
