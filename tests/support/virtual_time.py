"""A clock that only the test moves: what waits on it wakes when `advance` says so, in the order of its times."""

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(slots=True, eq=False)
class _Waiting:
    callback: Callable[[], None] | None

    def cancel(self) -> None:
        self.callback = None


@dataclass(slots=True)
class VirtualTime:
    """A `Clock`, and the `Timer` of buses: nothing happens until `advance` or `advance_to_next`."""

    elapsed_s: float = 0.0
    _heap: list[tuple[float, int, _Waiting]] = field(default_factory=list)
    _tickets: "itertools.count[int]" = field(default_factory=itertools.count)

    def now(self) -> datetime:
        return START + timedelta(seconds=self.elapsed_s)

    def monotonic(self) -> float:
        return self.elapsed_s

    def time(self) -> float:
        return self.elapsed_s

    def call_later(self, delay: float, callback: Callable[[], None], /) -> _Waiting:
        waiting = _Waiting(callback)
        heapq.heappush(self._heap, (self.elapsed_s + delay, next(self._tickets), waiting))
        return waiting

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass; what becomes due on the way is called at its own time."""
        until = self.elapsed_s + seconds
        while self._heap and self._heap[0][0] <= until:
            self._call_first()
        self.elapsed_s = until

    def advance_to_next(self) -> bool:
        """Let time pass until the next thing is due; False when nothing waits."""
        while self._heap and self._heap[0][2].callback is None:
            heapq.heappop(self._heap)
        if not self._heap:
            return False
        self.advance(self._heap[0][0] - self.elapsed_s)
        return True

    def _call_first(self) -> None:
        due, _, waiting = heapq.heappop(self._heap)
        self.elapsed_s = max(self.elapsed_s, due)
        if waiting.callback is not None:
            waiting.callback()
