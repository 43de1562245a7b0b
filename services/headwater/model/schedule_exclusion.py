"""Due times less what calendars leave out, or with it moved to a working day.

Invariant: what comes out is strictly increasing whatever the exclusions are; a moved due time that meets another is
one due time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from headwater.model.calendar_rule import Exclusion, OnExcluded, as_utc, start_of_day
from headwater.model.schedule_clock import Fire

MOST_STEPS = 5000  # tries until a schedule counts as over: 13 years of days that are all left out
MOST_SHIFT = 31  # days over which a due time is moved; beyond, it is left out
MOST_A_DAY = 200  # due times of one day that can be moved
_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)

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


def next_kept(base: Base, exclusions: Sequence[Exclusion], zone: ZoneInfo, moment: datetime) -> Fire | None:
    """The first due time after `moment` that is kept, or moved there; None when there is none."""
    if any(exclusion.on_excluded != "skip" for exclusion in exclusions):
        return _next_with_moves(base, exclusions, zone, moment)
    for _ in range(MOST_STEPS):
        fire = base(moment)
        if fire is None:
            return None
        left = excluded(exclusions, zone, fire.at)
        if left is None:
            return fire
        moment = left.until
    return None


def _next_with_moves(
    base: Base, exclusions: Sequence[Exclusion], zone: ZoneInfo, moment: datetime
) -> Fire | None:
    """The earliest of all that may come to lie after `moment`, from free days before it to those after the first."""
    found: Fire | None = None
    last = None
    seen = start_of_day(zone, _edge(exclusions, moment.astimezone(zone).date(), -1)) - _SECOND
    for _ in range(MOST_STEPS):
        fire = base(seen)
        if fire is None or (last is not None and fire.at.astimezone(zone).date() > last):
            break
        left = excluded(exclusions, zone, fire.at)
        seen = fire.at if left is None or left.on_excluded != "skip" else left.until
        placed = fire if left is None else _moved(exclusions, zone, fire.at, left.on_excluded)
        if placed is None or placed.at <= moment:
            continue
        if found is None or (placed.at, placed.shifted) < (found.at, found.shifted):
            found = placed
            last = _edge(exclusions, placed.at.astimezone(zone).date(), 1)
    return found


def _edge(exclusions: Sequence[Exclusion], day: date, step: int) -> date:
    """The last of the days next to `day`, backwards or forwards, from which a due time may be moved over it."""
    policy = "next" if step < 0 else "previous"
    movers = [exclusion for exclusion in exclusions if exclusion.on_excluded == policy]
    if any(exclusion.has_times for exclusion in movers):
        return day + step * MOST_SHIFT * _DAY
    for _ in range(MOST_SHIFT if movers else 0):
        if not _is_free(exclusions, day + step * _DAY):
            break
        day += step * _DAY
    return day


def _is_free(exclusions: Sequence[Exclusion], day: date) -> bool:
    """Whether nobody works on `day`: it is left out, or a weekend for a calendar that moves."""
    return any(
        exclusion.takes_day(day) or (exclusion.on_excluded != "skip" and day.weekday() in exclusion.weekend)
        for exclusion in exclusions
    )


def _moved(
    exclusions: Sequence[Exclusion], zone: ZoneInfo, moment: datetime, policy: OnExcluded
) -> Fire | None:
    """The same time of day on the next or previous working day; None when it is left out."""
    if policy == "skip":
        return None
    wall = moment.astimezone(zone).replace(tzinfo=None, fold=0)
    step = _DAY if policy == "next" else -_DAY
    for _ in range(MOST_SHIFT):
        wall += step
        if _is_free(exclusions, wall.date()):
            continue
        at = as_utc(zone, wall)
        if excluded(exclusions, zone, at) is None:
            return Fire(at, shifted=True)
    return None
