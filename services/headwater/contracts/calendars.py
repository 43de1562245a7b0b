"""Calendars: days and times on which schedules do not run, under a name that many schedules share."""

import datetime as dt
import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from headwater.contracts.base import Closed
from headwater.contracts.naming import Name

CronText = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
OnExcluded = Literal["skip", "next", "previous"]
YearlyDay = Annotated[
    str,
    StringConstraints(pattern=r"^(?:[0-9]{2}-[0-9]{2}(?:\.\.[0-9]{2}-[0-9]{2})?|easter(?:[+-][0-9]{1,2})?)$"),
]
_FULL_NAMES = {
    name: short
    for short, name in zip(
        WEEKDAYS, ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"), strict=True
    )
}
MAX_ITEMS = 5000


def weekday_of(text: object) -> object:
    """`Monday`, `MON` → `mon`; anything else as it is, for the next check to refuse."""
    lowered = text.strip().lower() if isinstance(text, str) else text
    return _FULL_NAMES.get(lowered, lowered) if isinstance(lowered, str) else lowered


def weekdays_of(value: object) -> object:
    """A day, a range (`MON-FRI`, `fri-mon`) or a list of these as a list of days."""
    items = re.split(r"[,\s]+", value.strip()) if isinstance(value, str) else value
    if not isinstance(items, list | tuple):
        return value
    found: list[object] = []
    for item in items:
        first, dash, last = item.partition("-") if isinstance(item, str) else (item, "", "")
        start, end = weekday_of(first), weekday_of(last)
        if dash and start in WEEKDAYS and end in WEEKDAYS:
            begin, stop = WEEKDAYS.index(start), WEEKDAYS.index(end)
            found += [WEEKDAYS[(begin + step) % 7] for step in range((stop - begin) % 7 + 1)]
        elif dash or start not in WEEKDAYS:
            raise ValueError(
                f"`{str(item)[:40]}` is no day of the week; write mon to sun, or a range such as mon-fri"
            )
        else:
            found.append(start)
    return tuple(dict.fromkeys(found))


class DateRange(Closed):
    """The days from `from` to `to`, both included; or, with times of day, from the one up to the other."""

    from_: Annotated[dt.date | dt.datetime, Field(alias="from")]
    to: dt.date | dt.datetime

    @field_validator("from_", "to", mode="before")
    @classmethod
    def _day_or_moment(cls, value: object) -> object:
        return day_or_moment(value)

    @model_validator(mode="after")
    def _forwards(self) -> Self:
        if isinstance(self.from_, dt.datetime) != isinstance(self.to, dt.datetime):
            raise ValueError("one end is a day and the other a time; write two days, or two times")
        first, last = self.from_, self.to
        if isinstance(first, dt.datetime) and isinstance(last, dt.datetime):
            if (first.tzinfo is None) != (last.tzinfo is None):
                raise ValueError("one end has an offset and the other none; give both one")
            if last <= first:
                raise ValueError("ends before it begins; exchange `from` and `to`")
        elif last < first:
            raise ValueError("ends before it begins; exchange `from` and `to`")
        return self


def day_or_moment(value: object) -> object:
    """A text that is a date as a date, one that is a time as a time. Raises: ValueError with the mend."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    try:
        return dt.date.fromisoformat(text) if len(text) == 10 else dt.datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"`{text[:40]}` is no date; write for example 2026-12-24") from None


def range_of(text: str) -> dict[str, Any] | None:
    """`2026-12-24..2026-12-31` (or with `/` between) as a range; None when it is not of this form."""
    first, mark, last = text.partition(".." if ".." in text else "/")
    return {"from": first.strip(), "to": last.strip()} if mark and first.strip() and last.strip() else None


class Calendar(Closed):
    """Days and times that schedules leave out which name it in `exclude`.

    `dates` and `ranges` are days in the schedule's zone; `yearly` comes each year (`12-25`, `12-24..12-26`, and
    `easter` with days before or after it, `easter-2`); `crons` leave out the times that they match (`* * * * SUN`
    is every Sunday); `ics` is the text of an iCalendar file. A due time that falls on one of these is left out
    (`on_excluded: skip`), or moves to the same time of the next or previous working day: one that is not left out
    either and not in `weekend`.
    """

    name: Name
    description: str = ""
    dates: tuple[dt.date, ...] = Field(default=(), max_length=MAX_ITEMS)
    ranges: tuple[DateRange, ...] = Field(default=(), max_length=MAX_ITEMS)
    yearly: tuple[YearlyDay, ...] = Field(default=(), max_length=400)
    crons: tuple[CronText, ...] = Field(default=(), max_length=100)
    ics: Annotated[str, StringConstraints(max_length=1_000_000)] | None = None
    weekend: tuple[Weekday, ...] = Field(default=("sat", "sun"), max_length=6)
    on_excluded: OnExcluded = "skip"

    @field_validator("dates", mode="before", json_schema_input_type=tuple[dt.date, ...])
    @classmethod
    def _days_only(cls, value: object) -> object:
        if not isinstance(value, list | tuple):
            return value
        days = [day_or_moment(item) for item in value]
        if any(isinstance(day, dt.datetime) for day in days):
            raise ValueError(
                "a time of day stands among the dates; write times as `ranges` with `from` and `to`"
            )
        return days

    @field_validator("ranges", mode="before", json_schema_input_type=tuple[DateRange | str, ...])
    @classmethod
    def _ranges_spelled_out(cls, value: object) -> object:
        if not isinstance(value, list | tuple):
            return value
        return [(range_of(item) or item) if isinstance(item, str) else item for item in value]

    @field_validator("yearly", mode="after")
    @classmethod
    def _days_exist(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            for day in () if text.startswith("easter") else text.split(".."):
                try:
                    dt.date.fromisoformat(f"2024-{day}")
                except ValueError:
                    raise ValueError(f"`{day}` is no day of a year; write month and day, 12-25") from None
        return value

    @field_validator("weekend", mode="before", json_schema_input_type=tuple[Weekday, ...] | str)
    @classmethod
    def _weekend_spelled_out(cls, value: object) -> object:
        return weekdays_of(value)
