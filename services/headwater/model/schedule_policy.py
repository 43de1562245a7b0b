"""What becomes of due times that were missed, and how far a run is moved from its due time.

Pure arithmetic over a timetable: the caller brings the moment and, for random jitter, the random number.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from headwater.model.schedule import Timetable, next_after

GRACE_S = 10  # a timer that is this late was busy, not down: 100,000 due at once are fired within 4 s
LEAST_WINDOW_S = 60
LATEST_S = 3600  # how old the latest due time may be that is made up for
MISSED_CAP = 100  # missed due times are counted up to here: each costs a search
MOST_RUNS = 1000  # made up for at once
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class CatchUp:
    """What is made up for after a time without a timer.

    `none`: nothing but the latest due time of the last GRACE_S. `latest`: the latest due time, if it is not
    older than `window_s` (None: an hour). `all`: the latest `most` due times, oldest first, that are not older
    than `window_s` (None: however old).
    """

    kind: Literal["none", "latest", "all"] = "latest"
    window_s: int | None = None
    most: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.most <= MOST_RUNS:
            raise ValueError(f"catch-up makes up for 1 to {MOST_RUNS} runs, not {self.most}")
        if self.window_s is not None and self.window_s < LEAST_WINDOW_S:
            raise ValueError(f"the window of a catch-up is at least {LEAST_WINDOW_S} s, not {self.window_s}")


@dataclass(frozen=True, slots=True)
class Due:
    """What is due now: boundaries to run, oldest first; how many were left out; when to look again.

    `missed_count` stops at MISSED_CAP: then it means "that many or more".
    """

    boundaries: tuple[datetime, ...]
    missed_count: int
    next_at: datetime | None


def due_now(timetable: Timetable, due_at: datetime, now: datetime, catch_up: CatchUp) -> Due:
    """What to run at `now` when the schedule has been due since `due_at`, one of its due times (both aware).

    Returns no boundaries and `due_at` itself as the next time when `due_at` is still to come.
    """
    if due_at > now:
        return Due((), 0, due_at)
    following = next_after(timetable, due_at)
    age_s = (now - due_at).total_seconds()
    if age_s <= GRACE_S and (following is None or following > now):
        return Due((due_at,), 0, following)  # the usual case: nothing was missed
    since = due_at - _SECOND
    match catch_up.kind:
        case "all":
            boundaries = _latest(timetable, _within(since, now, catch_up.window_s), now, catch_up.most)
        case "latest":
            boundaries = _latest(timetable, _within(since, now, catch_up.window_s or LATEST_S), now, 1)
        case "none":
            boundaries = _latest(timetable, max(since, _back(now, GRACE_S)), now, 1)
    missed_count = _missed_count(timetable, since, now, boundaries)
    return Due(boundaries, missed_count, next_after(timetable, now))


def latest_due(timetable: Timetable, after: datetime, until: datetime) -> datetime | None:
    """The last due time that is later than `after` and not later than `until`; None when there is none.

    Searched by halving, since cron expressions only count forward: some twenty steps for a year.
    """
    found = next_after(timetable, after)
    if found is None or found > until:
        return None
    low, high = found, until  # `low` is a due time; none is known between it and `high`
    while (following := next_after(timetable, low)) is not None and following <= until:
        low = following
        while high - low > _SECOND:
            middle = low + (high - low) // 2
            due = next_after(timetable, middle)
            if due is None or due > until:
                high = middle
            else:
                low = due
                break
    return low


def jitter_s(kind: Literal["none", "hash", "random"], most_s: int, key: str, uniform: float = 0.0) -> int:
    """Whole seconds from 0 to `most_s` by which a run starts after its due time.

    `hash` draws from `key` (tenant and schedule), so that a schedule keeps its distance and many spread out;
    `random` takes `uniform`, a number from 0 to below 1.
    """
    if kind == "none" or most_s <= 0:
        return 0
    if kind == "random":
        return min(most_s, int(uniform * (most_s + 1)))
    drawn = hashlib.sha256(f"jitter\0{key}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(drawn[:8]) % (most_s + 1)


def _within(since: datetime, now: datetime, window_s: int | None) -> datetime:
    return since if window_s is None else max(since, _back(now, window_s))


def _back(now: datetime, seconds: int) -> datetime:
    """One second before the window, so that its first second counts."""
    return now - timedelta(seconds=seconds) - _SECOND


def _latest(timetable: Timetable, after: datetime, until: datetime, count: int) -> tuple[datetime, ...]:
    """The last `count` due times in (after, until], ascending."""
    found: list[datetime] = []
    while len(found) < count and (due := latest_due(timetable, after, until)) is not None:
        found.append(due)
        until = due - _SECOND
    return tuple(reversed(found))


def _missed_count(
    timetable: Timetable, since: datetime, now: datetime, boundaries: tuple[datetime, ...]
) -> int:
    """Due times in (since, now] that are not among `boundaries`, which are the latest ones."""
    end = boundaries[0] - _SECOND if boundaries else now
    count, moment = 0, next_after(timetable, since)
    while moment is not None and moment <= end and count < MISSED_CAP:
        count += 1
        moment = next_after(timetable, moment)
    return count
