"""A circuit breaker: when publishes keep timing out, the next ones do not wait for it."""

from collections import deque

FAILURES = 3
WITHIN_S = 10.0
PAUSE_S = 1.0  # between two probes


class Breaker:
    """Open (publishing is not tried) after some time-outs in a short time; one probe at a time finds the end of it."""

    def __init__(self) -> None:
        self._failures: deque[float] = deque(maxlen=FAILURES)
        self._probe_at = 0.0
        self.is_open = False

    def may_try(self, now_s: float) -> bool:
        """Whether this publish is to be tried. While open, one a second is."""
        if not self.is_open:
            return True
        if now_s < self._probe_at:
            return False
        self._probe_at = now_s + PAUSE_S
        return True

    def failed(self, now_s: float) -> None:
        """A publish was not confirmed in time."""
        self._failures.append(now_s)
        if self.is_open or (len(self._failures) == FAILURES and now_s - self._failures[0] <= WITHIN_S):
            self.is_open = True
            self._probe_at = now_s + PAUSE_S

    def succeeded(self) -> None:
        if self._failures:
            self.is_open = False
            self._failures.clear()
