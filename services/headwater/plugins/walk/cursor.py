"""The incremental cursor: the highest value of a field, compared by what it means and not how it is written.

A mark is the value as the API wrote it (text or number), so that it can be sent back to it unchanged.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from headwater.plugins.expressions import Getter

Mark = str | int | float | Decimal
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_INSTANT, _NUMBER, _TEXT = 2, 1, 0  # kinds do not mix well; where they do, this is their order


def order_of(mark: Mark) -> tuple[int, Any]:
    """What marks are compared by: instants as instants, whatever their offset; numbers; other texts as texts.

    Texts of digits count as numbers. An instant without a zone is UTC.
    """
    if not isinstance(mark, str):
        return (_NUMBER, Decimal(str(mark)))
    moment = instant_of(mark)
    if moment is not None:
        return (_INSTANT, (moment - _EPOCH) // _MICROSECOND)
    if mark.isascii() and mark.removeprefix("-").isdigit() and len(mark) <= 40:
        return (_NUMBER, Decimal(mark))
    return (_TEXT, mark)


def instant_of(text: str) -> datetime | None:
    """The instant that an ISO 8601 text means (aware UTC), or None when it is none."""
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


def highest(values: Iterable[Any]) -> Mark | None:
    """The highest mark among `values`; null, MISSING, booleans, "" and objects are passed over."""
    marks = [value for value in values if _is_mark(value)]
    return _highest_alike(marks) or max(marks, key=order_of, default=None)


def _highest_alike(marks: list[Mark]) -> Mark | None:
    """The highest of UTC instants that are all written alike, which are ordered as they are written; else None.

    Pages are mostly of this kind, and this way is ten times as fast.
    """
    if not marks or {type(mark) for mark in marks} != {str}:
        return None
    texts = [mark for mark in marks if isinstance(mark, str)]
    if len({(len(text), text[10:11], text[19:20], text[-1]) for text in texts}) != 1 or texts[0][-1] != "Z":
        return None
    lowest, highest_ = min(texts), max(texts)
    return highest_ if instant_of(lowest) and instant_of(highest_) else None


def highest_in(records: Iterable[Any], field: Getter) -> Mark | None:
    """The highest mark of `field` in `records`."""
    return highest(field(record) for record in records)


def _is_mark(value: Any) -> bool:
    if isinstance(value, str):
        return 0 < len(value) <= 1024
    if isinstance(value, bool):
        return False
    if isinstance(value, float | Decimal):
        return value == value and abs(value) != float("inf")  # noqa: PLR0124 - NaN is unequal to itself
    return isinstance(value, int)
