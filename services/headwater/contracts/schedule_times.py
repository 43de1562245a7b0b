"""When a schedule is due, in the manifest: its time specifications, what they leave out, when runs may begin."""

import datetime as dt
import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from headwater.contracts.base import Closed
from headwater.contracts.calendars import (
    CronText,
    DateRange,
    OnExcluded,
    Weekday,
    day_or_moment,
    range_of,
    weekdays_of,
)
from headwater.contracts.durations import Duration
from headwater.contracts.moments import Moment, ZonedMoment
from headwater.contracts.naming import Name

_TIMES = ("once", "starts_at", "ends_at")
SPECIFICATIONS = ("cron", "crons", "interval", "once", "preset")


class IntervalForm(Closed):
    """An interval whose rhythm begins elsewhere than at 1970-01-01T00:00Z: `anchor` (a moment), `phase` (a shift)."""

    every: str
    anchor: ZonedMoment | None = None
    phase: Duration | None = None


def _form_of_interval(value: object) -> str:
    return "form" if isinstance(value, Mapping | IntervalForm) else "text"


AnyInterval = Annotated[
    Annotated[str, Tag("text")] | Annotated[IntervalForm, Tag("form")], Discriminator(_form_of_interval)
]


def _local_time(text: str) -> str:
    match = re.fullmatch(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?", text.strip())
    if match is None or not (
        (int(match[1]) < 24 and int(match[2]) < 60 and int(match[3] or 0) < 60)
        or text.strip() in {"24:00", "24:00:00"}
    ):
        raise ValueError(f"`{text[:20]}` is no time of day; write 08:00 to 24:00")
    return f"{int(match[1]):02}:{match[2]}" + (f":{match[3]}" if match[3] not in (None, "00") else "")


LocalTime = Annotated[str, AfterValidator(_local_time)]


class Window(Closed):
    """When runs may begin: on these `days`, from `from` up to `to` by the schedule's zone (`22:00` to `06:00` goes on
    into the next day). What is due outside is recorded as skipped, or waits until the window opens.
    """

    days: tuple[Weekday, ...] = Field(default=("mon", "tue", "wed", "thu", "fri", "sat", "sun"), min_length=1)
    from_: Annotated[LocalTime, Field(alias="from")] = "00:00"
    to: LocalTime = "24:00"
    outside: Literal["skip", "wait"] = "skip"

    @field_validator("days", mode="before", json_schema_input_type=tuple[Weekday, ...] | str)
    @classmethod
    def _days_spelled_out(cls, value: object) -> object:
        return weekdays_of(value)

    @field_validator("from_", "to", mode="before", json_schema_input_type=str)
    @classmethod
    def _not_sexagesimal(cls, value: object) -> object:
        """YAML 1.1 reads 22:30 without quotes as 22 * 60 + 30."""
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return f"{value // 60}:{value % 60:02}"
        return value

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.from_ == self.to:
            raise ValueError("begins when it ends; write from 00:00 to 24:00 for whole days")
        return self


class ExcludedCron(Closed):
    """The times that a cron expression matches."""

    cron: CronText


class ExcludedCalendar(Closed):
    """What a calendar of the manifest leaves out."""

    calendar: Name


def _form_of_exclusion(value: object) -> str:
    """Which of its forms a written exclusion has: faults are told of that one alone."""
    if isinstance(value, dt.date):
        return "day"
    given = value if isinstance(value, Mapping) else {}
    if isinstance(value, ExcludedCron) or "cron" in given:
        return "cron"
    return "calendar" if isinstance(value, ExcludedCalendar) or "calendar" in given else "range"


Exclusion = Annotated[
    Annotated[DateRange, Tag("range")]
    | Annotated[ExcludedCron, Tag("cron")]
    | Annotated[ExcludedCalendar, Tag("calendar")]
    | Annotated[dt.date, Tag("day")],
    Discriminator(_form_of_exclusion),
]
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?")


def _exclusion(item: object) -> object:
    """Texts by their look: a date, a range, the name of a calendar, else a cron expression."""
    if not isinstance(item, str):
        if isinstance(item, Mapping | Closed | dt.date):
            return item
        raise ValueError(
            f"`{str(item)[:40]}` is not to be left out; write a day, a range, a calendar's name or a cron"
        )
    text = item.strip()
    if _DATE.fullmatch(text):
        return day_or_moment(text)
    if _DATE.match(text):
        if (found := range_of(text)) is None:
            raise ValueError(
                f"`{text[:40]}` is neither a day nor a range; write 2026-12-24 or 2026-12-24..2026-12-31"
            )
        return found
    return {"calendar": text} if _NAME.fullmatch(text) else {"cron": text}


class Times(Closed):
    """Time specifications: several hold side by side, none is a manual schedule's.

    `once`, `starts_at`, `ends_at` need an offset, or a `timezone` whose wall clock they show. Nothing is due before
    `starts_at` or after `ends_at`. `exclude` is left out, or moved (`on_excluded` stands above what calendars say).
    """

    timezone: str = "UTC"
    cron: str | None = None
    crons: tuple[str, ...] = ()
    interval: AnyInterval | None = None
    once: Moment | None = None
    preset: str | None = None
    day_match: Literal["any", "all"] = "any"
    starts_at: Moment | None = None
    ends_at: Moment | None = None
    exclude: tuple[Exclusion, ...] = Field(default=(), max_length=1000)
    on_excluded: OnExcluded | None = None
    windows: tuple[Window, ...] = Field(default=(), max_length=50)

    @property
    def is_manual(self) -> bool:
        """Whether it has no time specification."""
        return all(getattr(self, name) in (None, ()) for name in SPECIFICATIONS)

    @model_validator(mode="before")
    @classmethod
    def _utc_where_it_is_said(cls, value: object) -> object:
        """Times without an offset show the clock of a zone that is written; the default is none that was meant."""
        if not isinstance(value, Mapping) or value.get("timezone") != "UTC":
            return value
        return {**value, **{name: _as_utc(value[name]) for name in _TIMES if value.get(name) is not None}}

    @field_validator("crons", mode="before", json_schema_input_type=tuple[str, ...] | str)
    @classmethod
    def _one_cron(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @field_validator("cron", mode="before", json_schema_input_type=str | None)
    @classmethod
    def _no_list(cls, value: object) -> object:
        if isinstance(value, list | tuple):
            raise ValueError("is one expression; write a list of them under `crons`")  # noqa: TRY004 - of pydantic
        return value

    @field_validator("interval", mode="before", json_schema_input_type=AnyInterval | None)
    @classmethod
    def _has_a_unit(cls, value: object) -> object:
        if isinstance(value, int | float) and not isinstance(value, bool):
            raise ValueError(f"`{value:g}` has no unit; write {value:g}s or {value:g}m")  # noqa: TRY004 - of pydantic
        return value

    @field_validator(*_TIMES, mode="after")
    @classmethod
    def _has_a_zone(cls, value: dt.datetime | None, info: ValidationInfo) -> dt.datetime | None:
        if value is not None and value.tzinfo is None and info.data.get("timezone", "UTC") == "UTC":
            shown = value.isoformat()
            raise ValueError(
                f"has no zone; write {shown}Z or another offset, or say in which `timezone` it is meant"
            )
        return value

    @field_validator("exclude", mode="before", json_schema_input_type=tuple[Exclusion | str, ...])
    @classmethod
    def _exclusions_spelled_out(cls, value: object) -> object:
        items = [value] if isinstance(value, str) else value
        return [_exclusion(item) for item in items] if isinstance(items, list | tuple) else value

    @field_validator("windows", mode="before", json_schema_input_type=tuple[Window, ...] | Window)
    @classmethod
    def _one_window(cls, value: object) -> object:
        return [value] if isinstance(value, Mapping) else value


def _as_utc(value: object) -> object:
    """A time without an offset as one of UTC; anything else as it is."""
    moment = value
    if isinstance(value, str):
        try:
            moment = dt.datetime.fromisoformat(value.strip())
        except ValueError:
            return value  # the field's own check says what is wrong
    return (
        moment.replace(tzinfo=dt.UTC) if isinstance(moment, dt.datetime) and moment.tzinfo is None else value
    )
