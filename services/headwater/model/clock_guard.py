"""Whether the database's clock can be trusted: it is compared with how much time has passed here.

The database's clock alone decides what is due, so that the clocks of the timers do not matter. When it jumps ahead
(a fail-over to a machine whose clock is wrong, a hand on the clock), nothing is fired until it has come back or has
stood for `HOLD_S`. When it jumps back nothing is due early anyway.
"""

from datetime import datetime

TOLERANCE_S = 5.0  # more than a slow answer of the database takes
HOLD_S = 60.0


class ClockGuard:
    """Told the database's clock together with a clock of one's own that never jumps, at each look."""

    def __init__(self) -> None:
        self._seen: tuple[datetime, float] | None = None
        self._jump: tuple[float, float] | None = None  # by how much, and since when (own clock)

    @property
    def jump_s(self) -> float | None:
        """By how many seconds the clock has jumped and is not believed yet; None when all is well."""
        return None if self._jump is None else self._jump[0]

    def hold_s(self, now: datetime, monotonic_s: float) -> float:
        """For how many seconds nothing is to be fired: 0 when the database's clock is trusted.

        Args: `now` is the database's clock, `monotonic_s` was read after it.
        """
        if self._seen is None:
            self._seen = (now, monotonic_s)
            return 0.0
        drift_s = (now - self._seen[0]).total_seconds() - (monotonic_s - self._seen[1])
        if abs(drift_s) <= TOLERANCE_S:
            self._seen, self._jump = (now, monotonic_s), None
            return 0.0
        if self._jump is None or abs(drift_s - self._jump[0]) > TOLERANCE_S:
            self._jump = (drift_s, monotonic_s)
        held_s = monotonic_s - self._jump[1]
        if held_s >= HOLD_S:
            self._seen, self._jump = (now, monotonic_s), None
            return 0.0
        return HOLD_S - held_s if drift_s > 0 else 0.0
