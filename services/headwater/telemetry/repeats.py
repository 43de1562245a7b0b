"""Log lines that would come again and again, such as those of loops whose means are away."""

import time
from collections.abc import Callable

AGAIN_S = 60.0
MAX_KNOWN = 100


class Repeats:
    """Says of a text whether it is time to log it: at first, and then once in AGAIN_S while it comes again. `seconds`
    never goes back.
    """

    def __init__(self, seconds: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._told_at: dict[str, float] = {}

    def is_due(self, text: str) -> bool:
        now = self._seconds()
        told_at = self._told_at.get(text)
        if told_at is not None and now - told_at < AGAIN_S:
            return False
        self._told_at.pop(text, None)
        self._told_at[text] = now
        if len(self._told_at) > MAX_KNOWN:  # the one that was told longest ago
            self._told_at.pop(next(iter(self._told_at)))
        return True
