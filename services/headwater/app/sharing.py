"""Commands that use one embedded database for a moment: whoever started it lets the others finish before it ends it.

Invariant: a database that a command started is stopped only while that command alone holds the file `users`.
"""

import asyncio
import fcntl
import logging
import os
import time
from pathlib import Path

logger = logging.getLogger("headwater.app")
_LOOK_S = 0.05
_OTHERS_S = 30.0  # a command that takes longer loses its database


class Share:
    """One command's use of the folder's database; `close` ends it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: int | None = None

    async def begin(self, timeout_s: float) -> None:
        """Returns when nobody is about to stop the database, or after `timeout_s`; nothing where there is no folder."""
        if self._file is None:
            try:
                self._file = os.open(self._folder / "users", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except FileNotFoundError:
                return
        await _locked(self._file, fcntl.LOCK_SH, timeout_s)

    async def alone(self) -> None:
        """Returns when the others are through; then none begins before `close`."""
        if self._file is not None and not await _locked(self._file, fcntl.LOCK_EX, _OTHERS_S):
            logger.warning("other commands still use the database of %s; it ends now", self._folder)

    def pause(self) -> None:
        """Stand in nobody's way while it is not used."""
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """The use is over."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


async def _locked(file: int, kind: int, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(_LOOK_S)
        else:
            return True
