"""Due times less what calendars leave out. Where they move some to a working day, `schedule_moves` finds the next.

Invariant: what comes out is strictly increasing whatever the exclusions are, and no search goes on for ever.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from headwater.model.calendar_rule import Exclusion, OnExcluded
from headwater.model.schedule_clock import Fire
from headwater.model.schedule_error import ScheduleError

MOST_STEPS = 5000  # tries until a schedule counts as over: 13 years of days that are all left out
MOST_WORK = 100_000  # looks at expressions in vain, of one search: some seconds at worst
_NEVER = timedelta(days=1826)  # nothing for so long: it counts as over

Base = Callable[[datetime], Fire | None]  # the first due time strictly after a moment (UTC, whole seconds)


@dataclass(frozen=True, slots=True)
class Left:
    """Why a due time is left out, until when all others are as well, and what is to be done about it."""

    until: datetime
    on_excluded: OnExcluded
    name: str


def excluded(exclusions: Sequence[Exclusion], zone: ZoneInfo, moment: datetime) -> Left | None:
    """What leaves out `moment` (aware UTC); None when nothing does. Where several do, `skip` stands above moving."""
    found: Left | None = None
    for exclusion in exclusions:
        last = exclusion.last_excluded(zone, moment)
        if last is None:
            continue
        if exclusion.on_excluded == "skip":
            return Left(last, "skip", exclusion.name)
        found = found or Left(last, exclusion.on_excluded, exclusion.name)
    return found


class Patience:
    """What one search, or one preview, may cost yet. Only what is left out costs anything."""

    def __init__(self, timetable_size: int, exclusions: Sequence[Exclusion], work: int = MOST_WORK) -> None:
        self._cost = 1 + timetable_size + sum(len(exclusion.crons) for exclusion in exclusions)
        self._left = work

    def spend(self) -> None:
        """One due time was left out. Raises: ScheduleError when nothing is left to spend."""
        self._left -= self._cost
        if self._left < 0:
            raise too_long()


def too_long() -> ScheduleError:
    """What is left out is not proven to be everything: it is only too much to look through."""
    return ScheduleError(
        "exclude",
        None,
        "so many due times are left out that the next one is not found in reasonable time",
        "leave out whole hours or days instead of seconds or minutes, with fewer expressions, or make it rarer",
    )


def next_kept(
    base: Base, exclusions: Sequence[Exclusion], zone: ZoneInfo, moment: datetime, patience: Patience
) -> Fire | None:
    """The first due time after `moment` that is kept; None when there is none. All exclusions skip.

    Raises: ScheduleError when that cannot be told in reasonable time.
    """
    since = moment
    for _ in range(MOST_STEPS):
        fire = base(moment)
        if fire is None:
            return None
        left = excluded(exclusions, zone, fire.at)
        if left is None:
            return fire
        patience.spend()
        moment = left.until
    if moment - since < _NEVER:
        raise too_long()
    return None
