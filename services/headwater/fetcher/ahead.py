"""The page that a hand is sure to come to next begins in the ledger while the one before it is asked for.

That holds where the pages of a walk are planned: its number and token are known before the answer is. What the ledger
said grows old while the request takes, so only quick requests are used like that, and only while no source was told to
be quiet meanwhile.
"""

import asyncio
from dataclasses import dataclass

from headwater.fetcher.beginnings import Beginnings
from headwater.store.ledger import Beginning, Begun

QUICK_S = 0.25  # of the request before; what is older than twice that is asked for again


@dataclass(slots=True)
class Ahead:
    """What begins ahead for one hand: one page at most, `since` then (monotonic seconds)."""

    beginnings: Beginnings
    number: int = 0
    since: float = 0.0
    quiet_count: int = 0
    last_request_s: float = QUICK_S
    task: "asyncio.Task[Begun | None] | None" = None

    def begin(self, page: Beginning, now: float, quiet_count: int) -> None:
        """Begin it, when the last request was a quick one."""
        self.drop()
        if self.last_request_s < QUICK_S:
            self.number, self.since, self.quiet_count = page.key.number, now, quiet_count
            within_s = self.last_request_s / 2  # it is needed when the request that leaves now is answered
            self.task = asyncio.create_task(self.beginnings.begin(page, within_s=within_s))

    async def begun(self, number: int, now: float, quiet_count: int) -> Begun | None:
        """What the ledger said of page `number`; None when it did not begin ahead, or that is too old to go by.

        Raises: Unavailable.
        """
        is_fresh = (
            self.number == number and self.quiet_count == quiet_count and now - self.since < 2 * QUICK_S
        )
        if self.task is None or not is_fresh:
            self.drop()
            return None
        task, self.task = self.task, None
        if not task.done():
            self.beginnings.need()
        return await task

    def drop(self) -> None:
        """Nobody comes to it any more."""
        if self.task is not None:
            self.task.cancel()
            self.task.add_done_callback(lambda task: task.cancelled() or task.exception())
            self.task = None
