"""When publishes keep timing out, the next ones are refused at once instead of waiting in their turn."""

from collections import deque

TIME_OUTS_TO_REFUSE = 3
TIME_OUT_WINDOW_S = 10.0
PROBE_EVERY_S = 1.0


class Breaker:
    """Refuses at once after three time-outs in ten seconds, but for one probe a second, until one is
    confirmed.
    """

    def __init__(self) -> None:
        self._time_outs: deque[float] = deque(maxlen=TIME_OUTS_TO_REFUSE)
        self._is_open = False
        self._probed_at = 0.0

    @property
    def is_open(self) -> bool:
        return self._is_open

    def admits(self, now: float) -> bool:
        """Whether a publish may be tried at `now` (monotonic seconds)."""
        if not self._is_open:
            return True
        if now - self._probed_at < PROBE_EVERY_S:
            return False
        self._probed_at = now
        return True

    def timed_out(self, now: float) -> None:
        self._time_outs.append(now)
        if len(self._time_outs) == TIME_OUTS_TO_REFUSE and now - self._time_outs[0] <= TIME_OUT_WINDOW_S:
            self._is_open = True
            self._probed_at = now

    def confirmed(self) -> None:
        if self._time_outs:
            self._is_open = False
            self._time_outs.clear()
