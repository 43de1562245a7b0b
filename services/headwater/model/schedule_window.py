"""Execution windows: when runs may begin, by the wall clock of the schedule's zone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from headwater.model.calendar_rule import as_utc
from headwater.model.schedule_clock import change_at, first_without, to_utc

_DAY_S = 86_400
_DAYS = 15  # to look at: two weeks, since one day's window may be left out, and the day that they begin on


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
    waiting = [window for window in windows if window.waits]
    openings = (
        opens
        for window in waiting
        for after in range(_DAYS)
        for opens in _openings_on(window, zone, wall.date() + timedelta(days=after))
        if opens > moment and window.holds(opens.astimezone(zone))  # a gap may leave a window out
    )
    first = min(openings, default=None)
    back = None if first is None else _clock_back(zone, moment, first)
    if back is not None and any(window.holds(back.astimezone(zone)) for window in waiting):
        return back
    return first


def _openings_on(window: Window, zone: ZoneInfo, day: date) -> Iterator[datetime]:
    """When the window opens on a day: twice where the clock shows that time twice."""
    if day.weekday() not in window.days:
        return
    wall = datetime.combine(day, time()) + timedelta(seconds=window.from_s % _DAY_S)
    yield as_utc(zone, wall)
    change = change_at(zone, wall)
    if change is not None and not change.is_gap:
        yield to_utc(zone, wall, fold=1)


def _clock_back(zone: ZoneInfo, since: datetime, until: datetime) -> datetime | None:
    """The instant after `since` and up to `until` at which the clock goes back: it may go back into a window."""
    before = since.astimezone(zone).utcoffset()
    low, high = since.astimezone(UTC).replace(microsecond=0), until.astimezone(UTC)
    after = high.astimezone(zone).utcoffset()
    if before is None or after is None or after >= before:
        return None
    return first_without(zone, before, low, high)
