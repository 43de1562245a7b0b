"""One item of a cron field, between two commas: what it may be and which values it stands for."""

import hashlib
import re
from dataclasses import dataclass
from typing import NoReturn

from headwater.model.cron_field import DAY_OF_MONTH, HOUR, MINUTE, MONTH, YEAR, CronField
from headwater.model.schedule_error import ScheduleError

_NUMBER = re.compile(r"[0-9]+")
_HASHED = re.compile(r"H(?:\(([^()]*)\))?")
_LAST_HASHED_DAY = 28  # every month has it, so that H never skips a month


@dataclass(frozen=True, slots=True)
class Item:
    """The text of one item, in capitals, and where it begins in the expression (from 1)."""

    field: CronField
    text: str
    position: int
    hash_key: str = ""

    def fault(self, cause: str, mend: str, *, offset: int = 0) -> NoReturn:
        raise ScheduleError(self.field.name, self.position + offset, cause, mend)


def values_of(item: Item) -> list[int]:
    """The values of `* a a-b */s a/s a-b/s H H/s H(a-b) H(a-b)/s`, in the order of the range.

    Raises: ScheduleError, also for what the field cannot hold.
    """
    base, slash, step_text = item.text.partition("/")
    step = _step(item, step_text, len(base) + 1) if slash else 1
    if hashed := _HASHED.fullmatch(base):
        return _hashed(item, hashed, step, stepped=bool(slash))
    if base == "*":
        return item.field.span(item.field.low, item.field.high, step)
    first_text, dash, last_text = base.partition("-")
    first = value(item, first_text)
    if not dash:
        return item.field.span(first, item.field.top if slash else first, step)
    return _range(item, first, value(item, last_text, offset=len(first_text) + 1), step)


def value(item: Item, text: str, *, offset: int = 0) -> int:
    """The number or name `text`, checked against the field's bounds."""
    field = item.field
    if text in field.names:
        return field.names[text]
    if not text:
        item.fault("a value is missing", f"write {field.allowed}", offset=offset)
    if not _NUMBER.fullmatch(text):
        item.fault(f"`{text}` is not a value of this field", _mend_word(field, text), offset=offset)
    # A long row of digits is out of bounds anyway: int() of it could take long.
    number = int(text) if len(text.lstrip("0")) <= len(str(field.top)) else field.top + 1
    if not field.low <= number <= field.top:
        item.fault(f"{text} is outside {field.allowed}", _mend_number(field, text), offset=offset)
    return number


def _range(item: Item, first: int, last: int, step: int) -> list[int]:
    if item.field is YEAR and last < first:
        item.fault(f"the years {first}-{last} run backwards", f"write {last}-{first}")
    return item.field.span(first, last, step)


def _step(item: Item, text: str, offset: int) -> int:
    field = item.field
    if not text:
        item.fault(
            "a step is missing after `/`", f"write a whole number from 1 to {field.top}", offset=offset
        )
    if not _NUMBER.fullmatch(text):
        item.fault(
            f"the step `{text}` is not a number", f"write a whole number from 1 to {field.top}", offset=offset
        )
    digits = text.lstrip("0")
    if not digits:
        item.fault("a step of 0 never moves on", f"write a step from 1 to {field.top}", offset=offset)
    if len(digits) > len(str(field.top)) or int(digits) > field.top:
        item.fault(
            f"the step {text} is above this field's maximum of {field.top}",
            _mend_step(field, digits),
            offset=offset,
        )
    return int(digits)


def _hashed(item: Item, matched: re.Match[str], step: int, *, stepped: bool) -> list[int]:
    """The value or values that the name of the schedule draws, the same each time."""
    field = item.field
    if field is YEAR:
        item.fault("H has no meaning in the year", "write the years, or `*`")
    candidates = _hash_candidates(item, matched[1])
    drawn = hashlib.sha256(f"{field.name}\0{item.hash_key}".encode("utf-8", "surrogatepass")).digest()
    number = int.from_bytes(drawn[:8])
    if not stepped:
        return [candidates[number % len(candidates)]]
    return candidates[number % min(step, len(candidates)) :: step]


def _hash_candidates(item: Item, bounds: str | None) -> list[int]:
    field = item.field
    if bounds is None:
        return field.span(field.low, _LAST_HASHED_DAY if field is DAY_OF_MONTH else field.high)
    first_text, dash, last_text = bounds.partition("-")
    if not dash:
        item.fault(f"`H({bounds})` names no range", "write H(a-b), for example H(0-29)")
    first = value(item, first_text, offset=2)
    last = value(item, last_text, offset=3 + len(first_text))
    return list(dict.fromkeys(_range(item, first, last, 1)))


def _mend_word(field: CronField, text: str) -> str:
    if "#" in text or text.endswith(("L", "W")):
        return f"write {field.allowed}; L and W belong to the day of month, 5L and 5#3 to the day of week"
    if field.names and text[:3] in field.names:
        return f"write {text[:3]}"
    return f"write {field.allowed}"


def _mend_number(field: CronField, text: str) -> str:
    if field is HOUR and text == "24":
        return "midnight is hour 0"
    if field is MINUTE and text == "60":
        return "write minute 0 and the next hour"
    if field in (DAY_OF_MONTH, MONTH) and not text.strip("0"):
        return f"the first {field.words.split()[0]} is 1"
    return f"write {field.allowed}"


def _mend_step(field: CronField, step: str) -> str:
    if field.unit and len(step) <= len("86400"):
        return f"use interval {step}{field.unit}"
    if field is MONTH:
        return "name the months, and with seven fields the years"
    return f"write a step from 1 to {field.top}" + (", or use an interval" if field.unit else "")
