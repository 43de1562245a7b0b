"""Instants as APIs write them: ISO 8601 with any offset, dates, seconds or milliseconds since 1970."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MILLISECONDS_FROM = 100_000_000_000  # as seconds this would be the year 5138
_LARGEST = 8_640_000_000_000_000


def instant_of(text: str) -> datetime | None:
    """The instant that an ISO 8601 text means (aware UTC; without a zone it is UTC), or None."""
    if not 10 <= len(text) <= 40 or text[4:5] != "-":
        return None
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


WRITERS: dict[str, Callable[[datetime], Any]] = {
    "iso": iso,
    "date": lambda moment: moment.astimezone(UTC).date().isoformat(),
    "epoch_s": lambda moment: microseconds_of(moment) // 1_000_000,
    "epoch_ms": lambda moment: microseconds_of(moment) // 1000,
}
