"""A walk in hand: from the page that a message named a worker goes on to those that follow, without a message between.

The message stays unanswered until then, so nothing is lost: should the worker die, another one gets it, finds in the
ledger how far the walk is, and goes on there. Each page says who went on to it. Who takes a walk over puts his name on
its last pages, and the one before him, should he still be there, finds it so at his next page and ends.
"""

import asyncio
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from headwater.contracts.messages import PageDue
from headwater.fetcher.ahead import Ahead

LONGEST_S = 5.0  # then others have their turn, and what a dead worker had in hand is not much
MOST_PAGES = 100  # likewise
_HANDED_ON = 4  # pages whose records are on their way at once


@dataclass(slots=True)
class Hand:
    """What one worker does from one message on. `step` is the distance of its pages: more than 1 where several
    share a walk. `after` is the page that he comes from; None at the first. `knows`: the page before had begun when he
    came to it, so that the next one may have too.
    """

    group: asyncio.TaskGroup
    ahead: Ahead
    began_at: float  # monotonic seconds
    holder: UUID = field(default_factory=uuid4)
    step: int = 1
    after: int | None = None
    count: int = 0
    knows: bool = False
    _next: list[Coroutine[None, None, None]] = field(default_factory=list)
    _on_their_way: deque[asyncio.Task[None]] = field(default_factory=deque)

    def came_to(self, due: PageDue, *, is_new: bool) -> None:
        """The page is in hand now."""
        self.after = due.number
        self.count += 1
        self.knows = not is_new

    def may_go_on(self, now: float) -> bool:
        """Whether it is not time yet to let others. What had begun before is no one else's to find."""
        return self.knows or (self.count < MOST_PAGES and now - self.began_at < LONGEST_S)

    async def meanwhile(self, handing_on: Coroutine[None, None, None]) -> None:
        """Hand a page on as soon as the next one is asked for: `asking` begins it. Waits where that takes longer."""
        self._next.append(handing_on)
        if len(self._on_their_way) > _HANDED_ON:
            await self._on_their_way.popleft()

    def asking(self) -> None:
        """A request is about to leave, or none will: there is time for what was put off."""
        while self._next:
            self._on_their_way.append(self.group.create_task(self._next.pop()))

    def drop(self) -> None:
        """Hand nothing on any more: it is fetched again."""
        self.ahead.drop()
        while self._next:
            self._next.pop().close()
