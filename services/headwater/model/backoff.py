"""Waits between attempts."""

RETRY_DELAYS_S = (1, 5, 30, 120)  # the steps of the delay queues `headwater.wait.<seconds>`


def retry_delay_s(attempt: int) -> int:
    """The delay before attempt number `attempt` + 1 (attempts count from 1)."""
    return RETRY_DELAYS_S[min(max(attempt, 1), len(RETRY_DELAYS_S)) - 1]


def full_jitter_s(attempt: int, uniform: float, *, base_s: float = 0.5, cap_s: float = 60.0) -> float:
    """A wait drawn evenly from 0 to base × 2^attempt, capped; `uniform` is a number from 0 to 1."""
    return uniform * min(cap_s, base_s * float(2 ** min(attempt, 30)))


def step_for(delay_s: float) -> int | None:
    """The smallest delay queue that waits at least `delay_s`; None when none is long enough."""
    return next((step for step in RETRY_DELAYS_S if step >= delay_s), None)
