"""How the runs of a schedule live, in the manifest: overlap, catch-up, jitter, retries, chains, who is told."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from headwater.contracts.base import Closed
from headwater.contracts.durations import Duration, seconds_of
from headwater.contracts.naming import Name

MAX_ATTEMPTS = 100
MAX_BUFFERED = 1000
_DAY_S = 86_400


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
