"""Instants as APIs write them: ISO 8601 with any offset, dates, seconds or milliseconds since 1970."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MILLISECONDS_FROM = 100_000_000_000  # as seconds this would be the year 5138
_DOT_NET = re.compile(r"/Date\((-?[0-9]{1,15})(?:[+-][0-9]{4})?\)/")
_LARGEST = 8_640_000_000_000_000


def instant_of(text: str) -> datetime | None:
    """The instant that an ISO 8601 text means (aware UTC; without a zone it is UTC), or None.

    So do `/Date(1573755038314+0000)/` and its like, as .NET writes milliseconds since 1970.
    """
    if not 10 <= len(text) <= 40 or text[4:5] != "-":
        found = _DOT_NET.fullmatch(text) if text.startswith("/Date(") else None
        return instant_of_number(Decimal(found[1]) / 1000) if found else None
    try:
        moment = datetime.fromisoformat(text.strip().replace(" ", "T", 1))
    except ValueError:
        return _instant_of_day(text)
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        return None


def _instant_of_day(text: str) -> datetime | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def instant_of_number(number: float | Decimal) -> datetime | None:
    """The instant of seconds since 1970, or of milliseconds where they would be absurd as seconds; or None."""
    exact = Decimal(str(number))
    if not -_LARGEST <= exact <= _LARGEST:
        return None
    seconds = exact / (1000 if abs(exact) >= _MILLISECONDS_FROM else 1)
    try:
        return _EPOCH + timedelta(microseconds=int(seconds * 1_000_000))
    except OverflowError:
        return None


def microseconds_of(moment: datetime) -> int:
    """Microseconds since 1970."""
    return (moment - _EPOCH) // _MICROSECOND


def iso(moment: datetime) -> str:
    """ISO 8601 in UTC with a Z."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def writer_of(form: str) -> Callable[[datetime], Any]:
    """How an instant is written in the format `form`: one of WRITERS, or a pattern of strftime, in UTC, in which `%L`
    are milliseconds.
    """
    return WRITERS.get(form) or partial(_by_pattern, form)


def _by_pattern(pattern: str, moment: datetime) -> str:
    moment = moment.astimezone(UTC)
    return moment.strftime(pattern.replace("%L", f"{moment.microsecond // 1000:03d}"))


def read_by(pattern: str, text: str) -> datetime | None:
    """The instant that `text`, written in this pattern, means (aware UTC; without a zone it is UTC), or None."""
    try:
        moment = datetime.strptime(text.strip(), pattern.replace("%L", "%f"))  # noqa: DTZ007 - has its zone below
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def coarseness_s(form: str) -> float:
    """The seconds that a time may be off by when it is written in `form`; a day in whatever zone is two."""
    if "%" not in form:
        return _COARSE_S.get(form, 0.0)
    finest = next((seconds for letters, seconds in _FINEST if any(f"%{one}" in form for one in letters)), 0.0)
    return finest or 366 * 86_400.0


_COARSE_S = {"date": 172_800.0, "epoch_s": 1.0, "epoch_ms": 0.001}
_FINEST = (
    ("f", 0.000001),
    ("L", 0.001),
    ("S", 1.0),
    ("M", 60.0),
    ("HI", 3600.0),
    ("dj", 172_800.0),
    ("mbB", 32 * 86_400.0),
)
WRITERS: dict[str, Callable[[datetime], Any]] = {
    "iso": iso,
    "date": lambda moment: moment.astimezone(UTC).date().isoformat(),
    "epoch_s": lambda moment: microseconds_of(moment) // 1_000_000,
    "epoch_ms": lambda moment: microseconds_of(moment) // 1000,
}
