"""A schedule in the manifest: when streams are due, and how their runs live."""

import datetime as dt
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    StringConstraints,
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
from headwater.contracts.durations import Duration, seconds_of
from headwater.contracts.moments import Moment, ZonedMoment
from headwater.contracts.naming import HttpUrl, Name, StreamRef
from headwater.contracts.pagination import Expression

MAX_ATTEMPTS = 100
MAX_BUFFERED = 1000
_TIMES = ("once", "starts_at", "ends_at")
SPECIFICATIONS = ("cron", "crons", "interval", "once", "preset")
_DAY_S = 86_400


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


class BufferAll(Closed):
    """At most so many runs wait; what comes beyond that is skipped."""

    buffer_all: Annotated[int, Field(ge=1, le=MAX_BUFFERED)]


class Allow(Closed):
    """At most so many runs at once, for streams without a cursor; what comes beyond that is skipped."""

    allow: Annotated[int, Field(ge=1, le=MAX_BUFFERED)]


Overlap = Literal["skip", "buffer_one", "cancel_other"] | BufferAll | Allow


class CatchUp(Closed):
    """What is made up for after a time without a timer: nothing, the latest due time, or the latest `all`.

    Only due times that are not older than `window` count (`latest`: an hour by default; `all`: however old).
    """

    kind: Literal["none", "latest", "all"] = "latest"
    all: Annotated[int, Field(ge=1, le=1000)] | None = None
    window: Duration | None = None

    @model_validator(mode="before")
    @classmethod
    def _kind_of_all(cls, value: object) -> object:
        return (
            {**value, "kind": "all"}
            if isinstance(value, Mapping) and "all" in value and "kind" not in value
            else value
        )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.kind == "all") != (self.all is not None):
            raise ValueError("say how many are made up for; write {all: 10}")
        if self.kind == "none" and self.window is not None:
            raise ValueError("`none` has no window; leave `window` out, or write {kind: latest, window: 1h}")
        if self.window is not None and seconds_of(self.window) < 60:
            raise ValueError("the window is at least 1m; write 1m or more")
        return self


class Jitter(Closed):
    """A run starts up to `within` after its due time: always as much (`hash`), or each time anew (`random`)."""

    kind: Literal["none", "hash", "random"] = "none"
    within: Duration | None = None

    @model_validator(mode="after")
    def _has_a_bound(self) -> Self:
        if self.kind != "none" and self.within is None:
            raise ValueError(f"say how far; write {{kind: {self.kind}, within: 30s}}")
        if self.kind == "none" and self.within is not None:
            raise ValueError("say which; write {kind: hash, within: …} or {kind: random, within: …}")
        if self.within is not None and seconds_of(self.within) > _DAY_S:
            raise ValueError("more than a day is no jitter; write at most 24h")
        return self

    @property
    def within_s(self) -> int:
        return 0 if self.within is None else seconds_of(self.within)


class Retries(Closed):
    """A failed run is tried again up to `max` times, where that can help.

    The first time after `delay`; then always so (`fixed`), or after `factor` times the delay before (`exponential`),
    at most `max_delay`. With `jitter` the delay is drawn between half of that and all of it.
    """

    max: Annotated[int, Field(ge=0, le=MAX_ATTEMPTS)] = 3
    delay: Duration = "30s"
    backoff: Literal["fixed", "exponential"] = "fixed"
    factor: Annotated[float, Field(ge=1, le=100)] = 2.0
    max_delay: Duration = "1h"
    jitter: bool = True

    @model_validator(mode="before")
    @classmethod
    def _backoff_of_factor(cls, value: object) -> object:
        if (
            isinstance(value, Mapping)
            and "backoff" not in value
            and ("factor" in value or "max_delay" in value)
        ):
            return {**value, "backoff": "exponential"}
        return value

    @model_validator(mode="after")
    def _delays_fit(self) -> Self:
        if seconds_of(self.max_delay) < seconds_of(self.delay) and self.backoff == "exponential":
            raise ValueError("`max_delay` is shorter than `delay`; make it longer, or leave it out")
        return self


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


Exclusion = DateRange | ExcludedCron | ExcludedCalendar | dt.date
_OVERLAPS = ("skip", "buffer_one", "cancel_other", "buffer_all", "allow")
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


class After(Closed):
    """Runs when other schedules' runs have ended: any of them, or all of them since the last time.

    `schedules` is another word for `any_of`. With `debounce` it waits so long for more of them, and runs once.
    """

    schedules: tuple[Name, ...] = ()
    any_of: tuple[Name, ...] = ()
    all_of: tuple[Name, ...] = ()
    on: Literal["succeeded", "failed", "any"] = "succeeded"
    debounce: Duration | None = None

    @model_validator(mode="after")
    def _one_list(self) -> Self:
        if sum(bool(names) for names in (self.schedules, self.any_of, self.all_of)) != 1:
            raise ValueError("name the schedules in one of `schedules`, `any_of`, `all_of`")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        return self.schedules or self.any_of or self.all_of


Event = Literal[
    "succeeded",
    "partial",
    "failed",
    "recovered",
    "cancelled",
    "skipped",
    "late",
    "auto_disabled",
    "expired",
    "error",
    "silence",
]


class NotifyRule(Closed):
    """Which of the manifest's notifications are told of which events."""

    events: tuple[Event, ...] = Field(default=("failed", "recovered", "auto_disabled"), min_length=1)
    to: tuple[Name, ...] = Field(min_length=1)

    @field_validator("events", mode="before", json_schema_input_type=tuple[Event, ...])
    @classmethod
    def _underscores(cls, value: object) -> object:
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list | tuple):
            return value
        return [item.replace("-", "_") if isinstance(item, str) else item for item in items]

    @field_validator("to", mode="before", json_schema_input_type=tuple[Name, ...] | Name)
    @classmethod
    def _one_name(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value


class _Named(Closed):
    """What it is called, and what it is for."""

    name: Name
    description: Annotated[str, StringConstraints(max_length=2000)] = ""
    streams: tuple[StreamRef, ...] = Field(min_length=1)


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


class Schedule(Times, _Named):
    """When streams are due. Without a time specification a schedule is manual; several hold side by side.

    After `max_runs` due times that made runs it is over. `when` (JMESPath over `parameters` and `last_run`) is asked
    when a run is due; where it is false the run is recorded as skipped. At most `max_running` of its runs are under
    way at once. After `auto_disable_after` failures in a row the schedule stops; 0: never.
    """

    enabled: bool = True
    mode: Literal["auto", "incremental", "full"] = "auto"
    force: bool = False
    parameters: dict[str, Any] = {}
    max_runs: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    when: Expression | None = None
    overlap: Overlap = "skip"
    catch_up: CatchUp = CatchUp()
    jitter: Jitter = Jitter()
    retries: Retries | None = None
    timeout_s: Annotated[float, Field(gt=0, le=7 * _DAY_S)] | None = None
    auto_disable_after: Annotated[int, Field(ge=0, le=10_000)] = 5
    max_running: Annotated[int, Field(ge=1, le=10_000)] | None = None
    after: After | None = None
    callback_url: HttpUrl | None = None
    notify: tuple[Name | NotifyRule, ...] = Field(default=(), max_length=50)

    @field_validator("overlap", mode="before", json_schema_input_type=Overlap)
    @classmethod
    def _known_overlap(cls, value: object) -> object:
        kind = next(iter(value), None) if isinstance(value, Mapping) and len(value) == 1 else value
        if kind in ("buffer_all", "allow") and not isinstance(value, Mapping):
            raise ValueError(f"say how many; write {{{kind}: 10}}")
        if not isinstance(value, BufferAll | Allow) and kind not in _OVERLAPS:
            raise ValueError(
                "is no way to overlap; write skip, buffer_one, cancel_other, {buffer_all: 10} or {allow: 2}"
            )
        if isinstance(value, Mapping) and not _is_count(value[kind]):
            raise ValueError(
                f"`{kind}` is a number of runs; write {{{kind}: 1}} to {{{kind}: {MAX_BUFFERED}}}"
            )
        return value

    @field_validator("catch_up", mode="before", json_schema_input_type=CatchUp | Literal["none", "latest"])
    @classmethod
    def _catch_up_by_name(cls, value: object) -> object:
        return {"kind": value} if isinstance(value, str) else {"kind": "none"} if value is False else value

    @field_validator("jitter", mode="before", json_schema_input_type=Jitter | Literal["none"] | Duration)
    @classmethod
    def _jitter_by_name(cls, value: object) -> object:
        if value in (None, "none", False):
            return {"kind": "none"}
        return {"kind": "hash", "within": value} if isinstance(value, str) else value

    @field_validator("retries", mode="before", json_schema_input_type=Retries | int | None)
    @classmethod
    def _retries_by_number(cls, value: object) -> object:
        return {"max": value} if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("auto_disable_after", mode="before", json_schema_input_type=int | None)
    @classmethod
    def _never(cls, value: object) -> object:
        return 0 if value is None or value is False else value

    @field_validator("after", mode="before", json_schema_input_type=After | Name | tuple[Name, ...] | None)
    @classmethod
    def _after_by_name(cls, value: object) -> object:
        if isinstance(value, str):
            return {"any_of": [value]}
        return {"any_of": value} if isinstance(value, list | tuple) else value

    @field_validator("notify", mode="before", json_schema_input_type=tuple[Name | NotifyRule, ...] | Name)
    @classmethod
    def _one_target(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.cron is not None and self.crons:
            raise ValueError("give `cron` or the list `crons`, not both")
        if self.force and self.mode != "full":
            raise ValueError("`force` rebuilds the table from what the run brings: it needs `mode: full`")
        if self.after is not None and self.name in self.after.names:
            raise ValueError("waits for itself; name other schedules in `after`")
        return self


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_BUFFERED


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
