"""One page is read in a turn of the event loop, so that between two pages the loop sends and takes what is there.

Pages that were asked for together come together. Read one after the other without a pause, they would all ask for the
next page only when the last of them was read, and so stay together for ever: the source would wait for the fetcher,
then the fetcher for the source.
"""

import asyncio
from collections import deque


class Turns:
    """Gives one turn in each round of the loop, in the order of asking."""

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
        while self._waiting and self._waiting[0].done():  # cancelled
            self._waiting.popleft()
        self._is_taken = bool(self._waiting)
        if self._is_taken:
            self._waiting.popleft().set_result(None)
            asyncio.get_running_loop().call_soon(self._next)
