"""A few pages are read in a turn of the event loop, so that between turns it sends and takes what is there.

Pages that were asked for together come together. Read one after the other without a pause, they would all ask for the
next page only when the last of them was read, and so stay together for ever: the source would wait for the fetcher,
then the fetcher for the source. Of many that wait a part is read at once: what leaves together costs others less.
"""

import asyncio
from collections import deque

SHARE = 4  # of those that wait, every so many-th more goes at once


class Turns:
    """Gives turns in the order of asking: in each round of the loop one, and more where many wait."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_taken = False

    async def take(self) -> None:
        """Return when it is the caller's turn: at once where nobody had one in this round of the loop."""
        loop = asyncio.get_running_loop()
        if not self._is_taken:
            self._is_taken = True
            loop.call_soon(self._next)
            return
        turn = loop.create_future()
        self._waiting.append(turn)
        await turn

    def _next(self) -> None:
        count = 1 + len(self._waiting) // SHARE
        while self._waiting and count:
            turn = self._waiting.popleft()
            if not turn.done():  # else it was cancelled
                turn.set_result(None)
                count -= 1
        self._is_taken = not count
        if self._is_taken:
            asyncio.get_running_loop().call_soon(self._next)
