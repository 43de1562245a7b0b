"""Due times that calendars move to the next or previous working day.

Invariant: what comes out is strictly increasing; a moved due time that meets another is one due time.
"""

from bisect import bisect_right, insort
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from headwater.model.calendar_rule import Exclusion, OnExcluded, as_utc, end_of_day, start_of_day
from headwater.model.schedule_clock import Fire
from headwater.model.schedule_exclusion import MOST_STEPS, Base, Patience, excluded

MOST_SHIFT = 31  # days over which a due time is moved; beyond, it is left out
MOST_A_DAY = 200  # due times of one day that can be moved
_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)


def moves(exclusions: Sequence[Exclusion]) -> bool:
    """Whether some of them move due times."""
    return any(exclusion.on_excluded != "skip" for exclusion in exclusions)


class Moves:
    """Where the due times of some days in a row come to lie; later days are added as they are asked for."""

    def __init__(
        self, base: Base, exclusions: Sequence[Exclusion], zone: ZoneInfo, patience: Patience
    ) -> None:
        self._base = base
        self._exclusions = exclusions
        self._zone = zone
        self._patience = patience
        self._first: date | None = None  # of the days that are placed
        self._seen: datetime | None = None  # their last second
        self._placed: list[Fire] = []

    def next_after(self, moment: datetime) -> Fire | None:
        """The first due time after `moment` that is kept, or moved there; None when there is none.

        Raises: ScheduleError when that cannot be told in reasonable time.
        """
        first = self._edge(moment.astimezone(self._zone).date(), -1)
        if self._seen is None or self._first is None or first < self._first:
            self._first, self._seen, self._placed = first, start_of_day(self._zone, first) - _SECOND, []
        for _ in range(MOST_STEPS):
            place = bisect_right(self._placed, moment, key=lambda fire: fire.at)
            found = self._placed[place] if place < len(self._placed) else None
            # what lies on later days may be moved before it
            if found is not None and self._seen >= end_of_day(self._zone, self._last_before(found)):
                return found
            fire = self._base(self._seen)
            if fire is None:
                return found
            self._seen = self._place_day(fire)
        return None

    def _last_before(self, found: Fire) -> date:
        return self._edge(found.at.astimezone(self._zone).date(), 1)

    def _place_day(self, fire: Fire | None) -> datetime:
        """Place the due times of a day, of which `fire` is the first; gives the day's last second."""
        assert fire is not None
        last = end_of_day(self._zone, fire.at.astimezone(self._zone).date())
        while fire is not None and fire.at <= last:
            left = excluded(self._exclusions, self._zone, fire.at)
            placed: Fire | None = fire
            if left is not None:
                self._patience.spend()
                placed = self._moved(fire.at, left.on_excluded)
            if placed is not None:
                insort(self._placed, placed, key=lambda each: (each.at, each.shifted))
            fire = self._base(
                fire.at if left is None or left.on_excluded != "skip" else min(left.until, last)
            )
        return last

    def _edge(self, day: date, step: int) -> date:
        """The last of the days next to `day`, backwards or forwards, from which a due time may be moved over it."""
        policy = "next" if step < 0 else "previous"
        movers = [exclusion for exclusion in self._exclusions if exclusion.on_excluded == policy]
        if any(exclusion.has_times for exclusion in movers):
            return day + step * MOST_SHIFT * _DAY
        for _ in range(MOST_SHIFT if movers else 0):
            if not self._is_free(day + step * _DAY):
                break
            day += step * _DAY
        return day

    def _is_free(self, day: date) -> bool:
        """Whether nobody works on `day`: it is left out, or a weekend for a calendar that moves."""
        return any(
            exclusion.takes_day(day)
            or (exclusion.on_excluded != "skip" and day.weekday() in exclusion.weekend)
            for exclusion in self._exclusions
        )

    def _moved(self, moment: datetime, policy: OnExcluded) -> Fire | None:
        """The same time of day on the next or previous working day; None when it is left out."""
        if policy == "skip":
            return None
        wall = moment.astimezone(self._zone).replace(tzinfo=None, fold=0)
        step = _DAY if policy == "next" else -_DAY
        for _ in range(MOST_SHIFT):
            wall += step
            self._patience.spend()
            if self._is_free(wall.date()):
                continue
            at = as_utc(self._zone, wall)
            if excluded(self._exclusions, self._zone, at) is None:
                return Fire(at, shifted=True)
        return None
