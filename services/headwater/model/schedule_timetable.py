"""A timetable: all time specifications of one schedule, read and checked, with their zone."""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from headwater.model.calendar_rule import Exclusion, as_utc
from headwater.model.cron_expression import CronExpression
from headwater.model.cron_parse import parse_cron
from headwater.model.schedule_error import ScheduleError
from headwater.model.schedule_interval import Interval, parse_interval
from headwater.model.schedule_preset import PRESETS

MAX_CRONS = 100  # in one schedule: each costs a search per due time
# what people call a zone's clock, and a place that keeps it
_ABBREVIATIONS: Mapping[str, str] = MappingProxyType(
    {
        "z": "UTC", "pst": "America/Los_Angeles", "pdt": "America/Los_Angeles", "mdt": "America/Denver",
        "cst": "America/Chicago", "cdt": "America/Chicago", "edt": "America/New_York", "akst": "America/Anchorage",
        "bst": "Europe/London", "cest": "Europe/Berlin", "mez": "Europe/Berlin", "mesz": "Europe/Berlin",
        "eest": "Europe/Athens", "west": "Europe/Lisbon", "msk": "Europe/Moscow", "ist": "Asia/Kolkata",
        "jst": "Asia/Tokyo", "kst": "Asia/Seoul", "hkt": "Asia/Hong_Kong", "sgt": "Asia/Singapore",
        "aest": "Australia/Sydney", "aedt": "Australia/Sydney", "nzst": "Pacific/Auckland", "nzdt": "Pacific/Auckland",
        "brt": "America/Sao_Paulo", "art": "America/Argentina/Buenos_Aires",
    }
)  # fmt: skip
_NO_RULES = frozenset({"localtime", "posixrules", "Factory"})
_ZONE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+)*")


@dataclass(frozen=True, slots=True)
class Timetable:
    """Due whenever one of its specifications is; what falls on the same second is one due time.

    Nothing is due before `starts_at` or after `ends_at` (both aware UTC), nor at what the exclusions leave out.
    """

    crons: tuple[CronExpression, ...] = ()
    interval: Interval | None = None
    once: datetime | None = None  # aware UTC, whole seconds
    timezone: str = "UTC"
    preset: str | None = None
    hash_key: str = ""
    exclusions: tuple[Exclusion, ...] = ()
    starts_at: datetime | None = None
    ends_at: datetime | None = None

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)


def build_timetable(
    *,
    crons: Sequence[str],
    interval: str | None,
    once: datetime | None,
    preset: str | None,
    timezone: str,
    day_match: str,
    hash_key: str,
    anchor: datetime | None,
    exclusions: Sequence[Exclusion] = (),
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
) -> Timetable:
    """The timetable of these specifications (see `schedule.parse_timetable`)."""
    zone = find_zone(timezone)
    if day_match not in {"any", "all"}:
        raise ScheduleError("day_match", 1, f"`{day_match[:60]}` is no way to join days", "write any or all")
    expressions = list(crons)
    if preset is not None:
        chosen = _find_preset(preset)
        expressions += PRESETS[chosen].crons
        if interval is not None and PRESETS[chosen].interval is not None:
            raise ScheduleError(
                "interval", None, f"preset {chosen} is an interval itself", "keep one of the two"
            )
        interval = interval or PRESETS[chosen].interval
    if not expressions and interval is None and once is None:
        raise ScheduleError("cron", None, "no time is given", "give cron, interval, once or preset")
    first, last = _span(starts_at, ends_at, zone)
    return Timetable(
        crons=_read_crons(expressions, match_all=day_match == "all", hash_key=hash_key),
        interval=None if interval is None else parse_interval(interval, anchor),
        once=None if once is None else _instant(once, zone),
        timezone=timezone,
        preset=preset,
        hash_key=hash_key,
        exclusions=tuple(exclusions),
        starts_at=first,
        ends_at=last,
    )


def _span(
    starts_at: datetime | None, ends_at: datetime | None, zone: ZoneInfo
) -> tuple[datetime | None, datetime | None]:
    """Beginning and end in UTC. Raises: ScheduleError when nothing lies between."""
    first = None if starts_at is None else _instant(starts_at, zone)
    last = None if ends_at is None else as_utc(zone, ends_at).replace(microsecond=0)
    if first is not None and last is not None and last < first:
        raise ScheduleError("ends_at", None, "ends before it starts", "exchange `starts_at` and `ends_at`")
    return first, last


def find_zone(name: str) -> ZoneInfo:
    """The IANA zone of this name. Raises: ScheduleError of field `timezone`."""
    # "right/…" counts leap seconds, and what stands in _NO_RULES is whatever the machine says: no rule to keep.
    if _ZONE_NAME.fullmatch(name) and not name.startswith(("right/", "posix/")) and name not in _NO_RULES:
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            pass
    raise ScheduleError("timezone", 1, f"`{name[:60]}` is no IANA time zone", _mend_zone(name))


def _mend_zone(name: str) -> str:
    if offset := re.fullmatch(r"(?:UTC|GMT)?([+-])0?([0-9]{1,2})(?::?00)?", name.strip()):
        # POSIX signs: Etc/GMT-2 is two hours ahead of UTC
        return f"write Etc/GMT{'-' if offset[1] == '+' else '+'}{offset[2]}, or a place such as Europe/Berlin"
    if re.fullmatch(r"(?:UTC|GMT)?[+-][0-9]{1,2}(?::?[0-9]{2})?", name.strip()):
        return "an offset says nothing about clocks that change: write a place, such as Asia/Kolkata"
    if place := _ABBREVIATIONS.get(name.strip().lower()):
        return f"write {place}"
    by_lower = {zone.lower(): zone for zone in available_timezones() - _NO_RULES}
    wanted = name.strip()[:60].lower().replace(" ", "_")
    if ends := sorted(zone for lower, zone in by_lower.items() if lower.rpartition("/")[2] == wanted):
        return f"write {' or '.join(ends[:3])}"
    close = difflib.get_close_matches(wanted, by_lower, n=3)
    if not close:  # a misspelt place without its continent
        places = {lower.rpartition("/")[2]: zone for lower, zone in by_lower.items()}
        names = [places[place] for place in difflib.get_close_matches(wanted.rpartition("/")[2], places, n=3)]
    else:
        names = [by_lower[zone] for zone in close]
    return f"write {' or '.join(names)}" if names else "write for example UTC or Europe/Berlin"


def _find_preset(name: str) -> str:
    if name in PRESETS:
        return name
    close = difflib.get_close_matches(name[:60].lower(), PRESETS, n=3)
    mend = f"write {' or '.join(close)}" if close else f"write one of {', '.join(PRESETS)}"
    raise ScheduleError("preset", 1, f"`{name[:60]}` is no preset", mend)


def _read_crons(texts: Sequence[str], *, match_all: bool, hash_key: str) -> tuple[CronExpression, ...]:
    if len(texts) > MAX_CRONS:
        raise ScheduleError(
            "cron",
            None,
            f"{len(texts)} expressions in one schedule",
            f"keep to {MAX_CRONS}: use lists and ranges",
        )
    expressions = []
    for index, text in enumerate(texts):
        try:
            # without an H all schedules share what is read: it is kept, and so are its due times
            key = hash_key if "H" in text.upper() else ""
            expressions.append(parse_cron(text, match_all=match_all, hash_key=key))
        except ScheduleError as error:
            raise error.within(specification_name(index, len(texts))) from None
    return tuple(dict.fromkeys(expressions))


def specification_name(index: int, count: int) -> str:
    """How the cron expression at `index` of `count` is called in errors."""
    return "cron" if count == 1 else f"crons[{index}]"


def _instant(once: datetime, zone: ZoneInfo) -> datetime:
    """`once` in UTC, rounded up to a whole second: never early.

    Without a zone it is wall-clock time of the schedule's zone: in an overlap the first pass, in a gap the
    first instant after it.
    """
    moment = as_utc(zone, once)
    if moment.microsecond:
        moment = moment.replace(microsecond=0) + timedelta(seconds=1)
    return moment
