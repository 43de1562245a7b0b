"""After how long something is late: by what it used to take."""

LEAST_S = 900.0  # nothing is late by habit before this
UNKNOWN_S = 3600.0  # the limit of what has no habit yet
HABIT_COUNT = 3
HABIT_FACTOR = 3.0


def late_after_s(longest_s: float | None, count: int) -> float:
    """The limit in seconds for what took `longest_s` at most, `count` times of late."""
    if count < HABIT_COUNT or longest_s is None:
        return UNKNOWN_S
    return max(LEAST_S, HABIT_FACTOR * longest_s)
