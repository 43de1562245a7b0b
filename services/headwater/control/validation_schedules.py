"""What is wrong with schedules and calendars beyond their form."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from headwater.contracts.calendars import Calendar
from headwater.contracts.manifest import Manifest
from headwater.contracts.problem import Part
from headwater.contracts.schedule_times import SPECIFICATIONS, ExcludedCalendar
from headwater.contracts.schedules import Schedule
from headwater.contracts.timetable import exclusion_of, span_of, timetable_of
from headwater.control.finding import Finding, Path, Surroundings, split_sentence
from headwater.control.validation_sources import twice
from headwater.model.errors import ConfigError
from headwater.model.schedule import ScheduleError, short_text, smallest_gap_s, surely_minutes_apart
from headwater.model.schedule_timetable import find_zone
from headwater.plugins.expressions import compile_path

_ANY_ZONE = ZoneInfo("UTC")
_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`")
_LOST_NOT = re.compile(r"(!\s*[A-Za-z_][A-Za-z0-9_]*)((?:\.[A-Za-z_][A-Za-z0-9_]*)+)")


def in_calendars(manifest: Manifest) -> Iterator[Finding]:
    yield from twice(("calendars",), [calendar.name for calendar in manifest.calendars], "calendar")
    for index, calendar in enumerate(manifest.calendars):
        try:
            exclusion_of(calendar, _ANY_ZONE)
        except ScheduleError as error:
            yield _finding(("calendars", index, *_path(error.specification)), error)


def in_schedules(manifest: Manifest, around: Surroundings, now: datetime) -> Iterator[Finding]:
    yield from twice(("schedules",), [schedule.name for schedule in manifest.schedules], "schedule")
    known = {**(around.calendars or {}), **{calendar.name: calendar for calendar in manifest.calendars}}
    for index, schedule in enumerate(manifest.schedules):
        path = ("schedules", index)
        yield from _condition(path, schedule)
        if around.calendars is None:  # nobody knows which there are
            missing = {
                item.calendar for item in schedule.exclude if isinstance(item, ExcludedCalendar)
            } - set(known)
            yield from _times(
                path,
                schedule,
                manifest.tenant,
                around,
                now,
                {**known, **{n: Calendar(name=n) for n in missing}},
            )
        else:
            yield from _times(path, schedule, manifest.tenant, around, now, known)


def _condition(path: Path, schedule: Schedule) -> Iterator[Finding]:
    if schedule.when is None:
        return
    try:
        compile_path(schedule.when)
    except ConfigError as error:
        what, mend = split_sentence(str(error), "write a JMESPath over `parameters` and `last_run`")
        yield Finding((*path, "when"), what, mend)
        return
    # JMESPath binds `!` closer than the dot: !a.b is (!a).b, and the truth of something has no members
    if lost := _LOST_NOT.search(_QUOTED.sub(lambda quoted: " " * len(quoted[0]), schedule.when)):
        what = f"`{lost[0]}` means ({lost[1]}){lost[2]}, which is nothing whatever is asked"
        yield Finding((*path, "when"), what, f"write !({lost[0].lstrip('! ')})")


def _times(
    path: Path,
    schedule: Schedule,
    tenant: str,
    around: Surroundings,
    now: datetime,
    calendars: Mapping[str, Calendar],
) -> Iterator[Finding]:
    try:
        find_zone(
            schedule.timezone
        )  # one without times has a zone as well: of its windows, and of times to come
    except ScheduleError as error:
        yield _finding((*path, *_place_of(schedule, error)), error)
        schedule = schedule.model_copy(update={"timezone": "UTC"})  # what else is wrong is so in any zone
    try:
        timetable = timetable_of(
            schedule, tenant, None if _may_be_over(schedule, around, now) else now, calendars
        )
        is_seldom = timetable is None or (around.minimum_interval_s <= 60 and surely_minutes_apart(timetable))
        gap_s = None if timetable is None or is_seldom else smallest_gap_s(timetable, now)
    except ScheduleError as error:
        yield _finding((*path, *_place_of(schedule, error)), error)
        return
    except OverflowError:
        yield Finding((*path, *_first_given(schedule)), "is out of the range of time", "write a nearer time")
        return
    if gap_s is not None and gap_s < around.minimum_interval_s:
        least = short_text(int(around.minimum_interval_s))
        minimum = f"this tenant's minimum is {least}"
        if not around.knows_minimum:
            minimum = f"a tenant's minimum is {least} unless it says otherwise"
        what = f"two due times are {short_text(int(gap_s))} apart; {minimum}"
        yield Finding((*path, *_first_given(schedule)), what, f"leave at least {least} between them")


def _may_be_over(schedule: Schedule, around: Surroundings, now: datetime) -> bool:
    """Whether it may have no due time left, and is expired then.

    Its end has passed, and a configuration of yesterday can be brought back; or it was defined before.
    """
    _, last = span_of(schedule)
    if last is not None and last <= now:
        return True
    return around.stored is not None and around.stored.get(schedule.name) == schedule.model_dump(
        mode="json", by_alias=True
    )


def _finding(path: Path, error: ScheduleError) -> Finding:
    """What is wrong with an expression, with the name of its field where the place does not say it."""
    named = "" if error.field in path else error.field.replace("_", " ")
    at = "" if error.position is None else f"character {error.position}"
    place = ", ".join(word for word in (named, at) if word)
    what = f"{place}: {error.cause}" if place else error.cause
    return Finding(path, what, error.mend, Part(error.field, error.position, error.cause))


def _place_of(schedule: Schedule, error: ScheduleError) -> Path:
    """`crons[1]` is item 1 of the list; `cron` may be the only item of it."""
    path = _path(error.specification)
    if path == ("cron",) and schedule.cron is None:
        return ("crons", 0) if schedule.crons else ("preset",)
    return path


def _path(specification: str) -> Path:
    """`exclude[2].cron` → exclude, 2, cron."""
    found: list[str | int] = []
    for part in specification.replace("]", "").split("."):
        name, bracket, index = part.partition("[")
        found.append(name)
        if bracket:
            found.append(int(index))
    return tuple(found)


def _first_given(schedule: Schedule) -> Path:
    return next(((name,) for name in SPECIFICATIONS if getattr(schedule, name) not in (None, ())), ())
