"""On what terms the runs of a schedule begin, whether a due time or another schedule's end starts them. Pure."""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from headwater.contracts.schedule_running import Jitter
from headwater.contracts.schedules import Schedule
from headwater.contracts.timetable import windows_of
from headwater.model.schedule import find_zone
from headwater.model.schedule_policy import jitter_s
from headwater.model.schedule_window import Window, opening
from headwater.plugins.expressions import Getter, compile_path
from headwater.store.runs import NewRun

OUTSIDE_WINDOW = "outside_window"


@dataclass(frozen=True, slots=True)
class Terms:
    """A schedule's windows, in `zone`, its condition and its jitter; how many of its runs may be under way at once."""

    zone: ZoneInfo
    windows: tuple[Window, ...]
    condition: Getter | None
    jitter: Jitter
    max_running: int | None


@dataclass(frozen=True, slots=True)
class Started:
    """A run to be. It waits until `begin_at` for `waits_for` (None: it goes at once).

    `fault`: why its condition cannot be asked.
    """

    run: NewRun
    terms: Terms
    begin_at: datetime | None = None
    waits_for: str | None = None
    fault: str | None = None

    def but_for(self, skipped: Container[UUID]) -> "Started":
        """The same, known to be skipped where its run is one of these."""
        return replace(self, run=replace(self.run, skip_reason="overlap")) if self.run.id in skipped else self


def terms_of(schedule: Schedule) -> Terms:
    """Raises: ConfigError where they cannot be read."""
    condition = None if schedule.when is None else compile_path(schedule.when)
    zone = find_zone(schedule.timezone)
    return Terms(zone, windows_of(schedule), condition, schedule.jitter, schedule.max_running)


def begun(
    terms: Terms, run: NewRun, moment: datetime, now: datetime, uniform: Callable[[], float]
) -> Started:
    """What becomes of a run that is to begin at `moment`: it goes, waits, or is skipped.

    `uniform` draws numbers from 0 to below 1. The condition is not asked here: that needs the last run.
    """
    begin = opening(terms.windows, terms.zone, moment) if terms.windows else moment
    if begin is None:
        return Started(replace(run, skip_reason=OUTSIDE_WINDOW), terms)
    waits_for = None if begin == moment else "window"
    if terms.jitter.kind != "none":
        drawn = uniform() if terms.jitter.kind == "random" else 0.0
        shift_s = jitter_s(terms.jitter.kind, terms.jitter.within_s, f"{run.tenant}/{run.schedule}", drawn)
        begin += timedelta(seconds=shift_s)
        waits_for = waits_for or "jitter"
    return Started(run, terms, begin, waits_for) if waits_for and begin > now else Started(run, terms)


def faults(started: Sequence[Started]) -> list[tuple[UUID, str]]:
    """Those whose conditions cannot be asked: id, why."""
    return [(each.run.id, each.fault) for each in started if each.fault is not None]


def waits(started: Sequence[Started]) -> list[tuple[UUID, datetime, str]]:
    """Those that wait: id, until when, what for."""
    return [
        (each.run.id, each.begin_at, each.waits_for)
        for each in started
        if each.begin_at is not None and each.waits_for is not None
    ]
