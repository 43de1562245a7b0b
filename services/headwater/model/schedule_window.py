"""Execution windows: when runs may begin, by the wall clock of the schedule's zone."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from headwater.model.calendar_rule import as_utc

_DAY_S = 86_400
_WEEK = 8  # a week of days to look at, and the one that it begins on


@dataclass(frozen=True, slots=True)
class Window:
    """Open on `days` (0 = Monday) from `from_s` up to `to_s` seconds of the day; past midnight when it ends before
    it begins. `waits`: what is due outside waits for it, instead of being skipped.
    """

    days: frozenset[int]
    from_s: int
    to_s: int
    waits: bool = False

    def holds(self, wall: datetime) -> bool:
        """Whether the wall-clock time lies inside."""
        second = wall.hour * 3600 + wall.minute * 60 + wall.second
        if self.from_s < self.to_s:
            return wall.weekday() in self.days and self.from_s <= second < self.to_s
        if wall.weekday() in self.days and second >= self.from_s:
            return True
        return (wall.weekday() - 1) % 7 in self.days and second < self.to_s


def opening(windows: Sequence[Window], zone: ZoneInfo, moment: datetime) -> datetime | None:
    """When a run that is due at `moment` (aware) may begin: at `moment` itself, or when the next window opens that
    lets it wait; None when it is to be skipped.
    """
    wall = moment.astimezone(zone).replace(tzinfo=None, fold=0)
    if not windows or any(window.holds(wall) for window in windows):
        return moment
    openings = (
        opens
        for window in windows
        if window.waits
        for after in range(_WEEK)
        if (opens := _opening_on(window, zone, wall.date() + timedelta(days=after))) is not None
        and opens > moment
    )
    return min(openings, default=None)


def _opening_on(window: Window, zone: ZoneInfo, day: date) -> datetime | None:
    if day.weekday() not in window.days:
        return None
    return as_utc(zone, datetime.combine(day, time()) + timedelta(seconds=window.from_s % _DAY_S))
