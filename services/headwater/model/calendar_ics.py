"""iCalendar files as days and stretches of time: a small reader for calendars of holidays.

Read are events (VEVENT) with DTSTART and DTEND or DURATION, whole days or times with or without a zone, RRULE of the
four usual frequencies, RDATE, EXDATE, and events moved by RECURRENCE-ID. What cannot be taken is told, not guessed.
Source: RFC 5545 §3.1 (folded lines), §3.3.10 (RRULE), §3.6.1 (VEVENT).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from headwater.model.calendar_recurrence import Rule, parse_rule
from headwater.model.errors import ConfigError

MOST_EVENTS = 5000
_LINE = re.compile(
    r"(?P<name>[A-Za-z0-9-]+)(?P<parameters>(?:;[^=;:]+=(?:\"[^\"]*\"|[^;:,]*)(?:,(?:\"[^\"]*\"|[^;:,]*))*)*):(?P<value>.*)",
    re.DOTALL,
)
_PARAMETER = re.compile(r";([^=;:]+)=(\"[^\"]*\"|[^;:]*)")
_DAY = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})")
_TIME = re.compile(r"([0-9]{8})T([0-9]{2})([0-9]{2})([0-9]{2})(Z?)")
_DURATION = re.compile(r"\+?P(?:([0-9]+)W)?(?:([0-9]+)D)?(?:T(?:([0-9]+)H)?(?:([0-9]+)M)?(?:([0-9]+)S)?)?")
_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Busy:
    """What a file's events take: whole days as ranges (both ends included), and stretches of time.

    A stretch without a zone shows the clock of the schedule's zone. `notes` say what was not taken, and why.
    """

    ranges: tuple[tuple[date, date], ...]
    moments: tuple[tuple[datetime, datetime], ...]
    event_count: int
    notes: tuple[str, ...]


@dataclass(slots=True)
class _Event:
    line: int
    properties: dict[str, list[tuple[Mapping[str, str], str]]] = field(default_factory=dict)

    def first(self, name: str) -> tuple[Mapping[str, str], str] | None:
        return self.properties.get(name, [None])[0]

    @property
    def title(self) -> str:
        found = self.first("SUMMARY")
        text = "" if found is None else found[1].replace("\\,", ",").replace("\\;", ";").replace("\\n", " ")
        return f"the event of line {self.line}" + (f" ({text[:60]})" if text else "")


def parse_ics(text: str) -> Busy:
    """What the events of an iCalendar text take. Raises: ConfigError when it is none, or too large."""
    events, notes = _events(text)
    ranges: list[tuple[date, date]] = []
    moments: list[tuple[datetime, datetime]] = []
    moved = _moved_starts(events)
    for event in events:
        try:
            _take(event, moved, ranges, moments, notes)
        except ValueError as error:
            notes.append(f"{event.title} was left out: {error}")
    return Busy(tuple(dict.fromkeys(ranges)), tuple(dict.fromkeys(moments)), len(events), tuple(notes[:100]))


def _unfolded(text: str) -> list[tuple[int, str]]:
    """Logical lines with the number of the line on which each begins."""
    lines: list[tuple[int, str]] = []
    for number, line in enumerate(
        text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1
    ):
        if line[:1] in (" ", "\t") and lines:
            lines[-1] = (lines[-1][0], lines[-1][1] + line[1:])
        elif line.strip():
            lines.append((number, line))
    return lines


def _events(text: str) -> tuple[list[_Event], list[str]]:
    lines = _unfolded(text)
    if not lines or lines[0][1].strip().upper() != "BEGIN:VCALENDAR":
        raise ConfigError("line 1: this is no iCalendar text; it begins with BEGIN:VCALENDAR")
    events: list[_Event] = []
    notes: list[str] = []
    stack: list[str] = []
    for number, line in lines:
        match = _LINE.fullmatch(line)
        if match is None:
            notes.append(f"line {number} cannot be read: it has no name and value")
            continue
        name, value = match["name"].upper(), match["value"].strip()
        if name == "BEGIN":
            stack.append(value.upper())
            if stack[-1] == "VEVENT":
                events.append(_Event(number))
        elif name == "END":
            if not stack or stack.pop() != value.upper():
                raise ConfigError(f"line {number}: END:{value[:40]} ends nothing that is open; mend the file")
        elif stack and stack[-1] == "VEVENT":
            given = {key.upper(): part.strip('"') for key, part in _PARAMETER.findall(match["parameters"])}
            events[-1].properties.setdefault(name, []).append((given, value))
    if stack:
        raise ConfigError(f"the text ends within {stack[-1]}: it was cut off; fetch it again")
    if len(events) > MOST_EVENTS:
        raise ConfigError(f"{len(events)} events are more than {MOST_EVENTS}; split the calendar")
    return events, notes


def _moved_starts(events: Sequence[_Event]) -> set[tuple[str, str]]:
    """Occurrences (UID, start) of recurring events that an event of their own stands for."""
    found = set()
    for event in events:
        uid, instead = event.first("UID"), event.first("RECURRENCE-ID")
        if uid is not None and instead is not None:
            found.add((uid[1], instead[1]))
    return found


def _take(
    event: _Event,
    moved: set[tuple[str, str]],
    ranges: list[tuple[date, date]],
    moments: list[tuple[datetime, datetime]],
    notes: list[str],
) -> None:
    """Add what the event takes. Raises: ValueError with the reason why it takes nothing."""
    status = event.first("STATUS")
    if status is not None and status[1].upper() == "CANCELLED":
        return
    given = event.first("DTSTART")
    if given is None:
        raise ValueError("it has no DTSTART")
    start = _when(*given)
    length = _length(event, start)
    uid = event.first("UID")
    without = {_when(*each) for name in ("EXDATE",) for each in _split(event, name)}
    for instead_uid, text in moved:
        if uid is not None and uid[1] == instead_uid and event.first("RECURRENCE-ID") is None:
            without.add(_when(given[0], text))
    for begin in (*_starts(event, start, notes), *(_when(*each) for each in _split(event, "RDATE"))):
        if begin in without:
            continue
        if isinstance(begin, datetime):
            moments.append((begin, begin + length))
        else:
            ranges.append((begin, begin + length - _ONE_DAY))


def _split(event: _Event, name: str) -> list[tuple[Mapping[str, str], str]]:
    return [
        (given, part)
        for given, value in event.properties.get(name, [])
        for part in value.split(",")
        if part.strip()
    ]


def _starts(event: _Event, start: date | datetime, notes: list[str]) -> list[date | datetime]:
    rule_text = event.first("RRULE")
    if rule_text is None:
        return [start]
    rule: Rule = parse_rule(rule_text[1])
    first = start.date() if isinstance(start, datetime) else start
    days, cut = rule.days_from(first)
    if cut:
        notes.append(f"{event.title} recurs for ever: taken up to {days[-1]:%Y-%m-%d}")
    if isinstance(start, datetime):
        return [datetime.combine(day, start.timetz()) for day in days]
    return list(days)


def _length(event: _Event, start: date | datetime) -> timedelta:
    """How long an occurrence lasts. RFC 5545 §3.6.1: without an end a day, or for a time no time at all."""
    if (end := event.first("DTEND")) is not None:
        last = _when(*end)
        if isinstance(last, datetime) != isinstance(start, datetime):
            raise ValueError("one of DTSTART and DTEND is a day and the other a time")
        length = _difference(start, last)
        # some programs write the last day itself, though the end is not included
        return (
            max(length, _ONE_DAY)
            if not isinstance(start, datetime) and length == timedelta()
            else _positive(length)
        )
    if (given := event.first("DURATION")) is not None:
        match = _DURATION.fullmatch(given[1])
        if match is None or not any(match.groups()):
            raise ValueError(f"its DURATION {given[1][:40]!r} cannot be read")
        weeks, days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        return _positive(timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds))
    if isinstance(start, datetime):
        raise ValueError("it begins at a time and has no end")  # noqa: TRY004 - the text is wrong, not a type
    return _ONE_DAY


def _difference(start: date | datetime, last: date | datetime) -> timedelta:
    if isinstance(start, datetime) and isinstance(last, datetime):
        if (start.tzinfo is None) != (last.tzinfo is None):
            raise ValueError("one of DTSTART and DTEND has a zone and the other none")
        return last - start
    return date(last.year, last.month, last.day) - date(start.year, start.month, start.day)


def _positive(length: timedelta) -> timedelta:
    if length <= timedelta():
        raise ValueError("it ends before it begins")
    return length


def _when(parameters: Mapping[str, str], value: str) -> date | datetime:
    """A DATE, or a DATE-TIME: aware with Z or TZID, else without a zone."""
    value = value.strip().partition("/")[0]  # RDATE may hold periods
    if match := _DAY.fullmatch(value):
        return date(*(int(part) for part in match.groups()))
    match = _TIME.fullmatch(value)
    if match is None:
        raise ValueError(f"{value[:40]!r} is neither a day nor a time")
    day = _when({}, match[1])
    moment = datetime.combine(day, time(int(match[2]), int(match[3]), min(int(match[4]), 59)))
    if match[5]:
        return moment.replace(tzinfo=UTC)
    zone = parameters.get("TZID")
    if zone is None:
        return moment
    try:
        return moment.replace(tzinfo=ZoneInfo(zone.lstrip("/")))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"its zone {zone[:60]!r} is no IANA name") from None
