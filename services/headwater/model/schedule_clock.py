"""From wall-clock times to instants, by the one rule for changes of the clock.

A change of the offset, of whatever size and for whatever reason, either repeats a stretch of wall-clock
time (overlap) or leaves one out (gap). Overlap: an interval-like expression runs in both passes, a fixed one
in the first only. Gap: when the hours are a plain list, all matches that are missing become one run at the
first instant after the gap; else they are left out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

Step = Callable[[datetime], datetime | None]  # the first matching wall-clock time strictly after a given one
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class ClockChange:
    """An offset that changes at `at` (UTC); wall-clock times from `start` to before `end` are hit by it.

    In a gap they do not exist and `end` is what the clock shows at `at`; in an overlap they come twice.
    """

    at: datetime
    start: datetime  # naive
    end: datetime  # naive
    is_gap: bool


@dataclass(frozen=True, slots=True)
class Fire:
    """A due time in UTC; `moved` when it stands in for wall-clock times that a gap left out, `shifted` when a calendar
    moved it to another day.
    """

    at: datetime
    moved: bool = False
    shifted: bool = False


def offset_at(zone: ZoneInfo, wall: datetime, fold: int) -> timedelta:
    """The offset of a naive wall-clock time, in its first (fold 0) or second (fold 1) pass."""
    offset = wall.replace(tzinfo=zone, fold=fold).utcoffset()
    assert offset is not None  # a ZoneInfo always knows
    return offset


def to_utc(zone: ZoneInfo, wall: datetime, fold: int = 0) -> datetime:
    """The instant of a wall-clock time. A time inside a gap comes out as if the clock had not changed."""
    return (wall - offset_at(zone, wall, fold)).replace(tzinfo=UTC, fold=0)


def first_without(zone: ZoneInfo, before: timedelta, low: datetime, high: datetime) -> datetime:
    """The first whole second after `low` at which the zone's offset is no longer `before`; at `high` it is not."""
    while high - low > _SECOND:
        middle = low + (high - low) // 2 // _SECOND * _SECOND
        if middle.astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high


def change_at(zone: ZoneInfo, wall: datetime) -> ClockChange | None:
    """The change that makes `wall` (naive) missing or ambiguous; None for a plain time."""
    before, after = offset_at(zone, wall, 0), offset_at(zone, wall, 1)
    if before == after:
        return None
    # PEP 495: for such a time fold 0 and 1 give the offsets before and after the change, so it lies between.
    low, high = sorted(((wall - before).replace(tzinfo=UTC), (wall - after).replace(tzinfo=UTC)))
    high = first_without(zone, before, low, high)
    local = high.replace(tzinfo=None)
    return ClockChange(high, local + min(before, after), local + max(before, after), is_gap=before < after)


def first_fire(
    zone: ZoneInfo, step: Step, moment: datetime, *, is_interval: bool, makes_up: bool
) -> Fire | None:
    """The first due time strictly after `moment` (aware) of the wall-clock times that `step` gives.

    `is_interval`: both passes of an overlap count; `makes_up`: a gap's matches become one run after it.
    """
    local = moment.astimezone(zone)
    wall = local.replace(tzinfo=None, microsecond=0, fold=0)
    overlap = change_at(zone, wall)
    if overlap is not None:
        found = _within_overlap(zone, step, wall, overlap, fold=local.fold, both_passes=is_interval)
        if found is not None:
            return Fire(found)
        wall = overlap.end - _SECOND
    return _beyond(zone, step, wall, makes_up=makes_up)


def _within_overlap(
    zone: ZoneInfo, step: Step, wall: datetime, overlap: ClockChange, *, fold: int, both_passes: bool
) -> datetime | None:
    """The first due time after `wall` in the rest of its pass or in the second pass, if there is one."""
    starts = [(wall, fold)]
    if fold == 0:
        starts.append((overlap.start - _SECOND, 1))
    for start, pass_of in starts:
        if pass_of == 1 and not both_passes:
            continue
        found = step(start)
        if found is not None and found < overlap.end:
            return to_utc(zone, found, pass_of)
    return None


def _beyond(zone: ZoneInfo, step: Step, wall: datetime, *, makes_up: bool) -> Fire | None:
    while (found := step(wall)) is not None:
        change = change_at(zone, found)
        if change is None or not change.is_gap:
            return Fire(to_utc(zone, found))
        if makes_up:
            return Fire(change.at, moved=True)
        wall = change.end - _SECOND
    return None
