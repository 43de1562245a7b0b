"""Reading of signed times: ASCII digits only, bounded, never a float's NaN."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from headwater.plugins.signatures.reasons import Refused

MAX_DIGITS = 16  # microseconds of this century fit; what is longer is no time
_FIRST_MS = 10**11  # as seconds that were in the year 5138

_ISO8601 = re.compile(
    rb"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(\.[0-9]{1,9})?"
    rb"(?:([Zz])|([+-])([0-9]{2}):([0-9]{2}))?"
)
_IMF_DATE = re.compile(
    rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), ([0-9]{2}) ([A-Z][a-z]{2}) ([0-9]{4}) "
    rb"([0-9]{2}):([0-9]{2}):([0-9]{2}) GMT"
)
_MONTHS: Final = (
    b"Jan",
    b"Feb",
    b"Mar",
    b"Apr",
    b"May",
    b"Jun",
    b"Jul",
    b"Aug",
    b"Sep",
    b"Oct",
    b"Nov",
    b"Dec",
)


def _number(text: bytes) -> int:
    if not text.isdigit() or len(text) > MAX_DIGITS:  # bytes.isdigit knows ASCII digits only
        raise ValueError("not a plain number")
    return int(text)


def _seconds(text: bytes) -> float:
    return float(_number(text))


def _milliseconds(text: bytes) -> float:
    return _number(text) / 1000


def _seconds_or_milliseconds(text: bytes) -> float:
    value = _number(text)
    return value / 1000 if value >= _FIRST_MS else float(value)


def _rfc3339(text: bytes) -> float:
    """RFC 3339 §5.6 with up to nine decimals; a leap second counts as the second after :59."""
    found = _ISO8601.fullmatch(text)
    if found is None or not (found[8] or found[9]):
        raise ValueError("not RFC 3339")
    return _moment(found)


def _iso8601(text: bytes) -> float:
    """The same, in UTC where no zone is said."""
    found = _ISO8601.fullmatch(text)
    if found is None:
        raise ValueError("not ISO 8601")
    return _moment(found)


def _moment(found: re.Match[bytes]) -> float:
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    zone = UTC
    if found[9]:
        shift = timedelta(hours=int(found[10]), minutes=int(found[11]))
        zone = timezone(-shift if found[9] == b"-" else shift)
    moment = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=zone)
    if second > 60:
        raise ValueError("no such second")
    return moment.timestamp() + (second == 60) + float(found[7] or 0)


def _imf_date(text: bytes) -> float:
    """IMF-fixdate, RFC 9110 §5.6.7."""
    found = _IMF_DATE.fullmatch(text)
    if found is None or found[2] not in _MONTHS:
        raise ValueError("not an HTTP date")
    day, year, hour, minute, second = (int(found[group]) for group in (1, 3, 4, 5, 6))
    return datetime(year, _MONTHS.index(found[2]) + 1, day, hour, minute, second, tzinfo=UTC).timestamp()


_READERS: Final[Mapping[str, Callable[[bytes], float]]] = {
    "s": _seconds,
    "s-str": _seconds,
    "ms": _milliseconds,
    "s-or-ms": _seconds_or_milliseconds,
    "rfc3339": _rfc3339,
    "iso8601": _iso8601,
    "http-date": _imf_date,
}


def read_timestamp(text: bytes, unit: str) -> float:
    """Epoch seconds. Raises Refused(`timestamp_malformed`)."""
    try:
        return _READERS[unit](text)
    except (ValueError, OverflowError):
        raise Refused("timestamp_malformed") from None


def outside_window(stamp_s: float, at_s: float, tolerance_s: float) -> str | None:
    """The reason if the stamp is not within the tolerance of `at_s`, past and future. Ends are inside."""
    age_s = at_s - stamp_s
    if not age_s <= tolerance_s:  # written so that NaN refuses
        return "timestamp_too_old"
    if not -age_s <= tolerance_s:
        return "timestamp_too_new"
    return None
