"""A schedule in the manifest: when streams are due, and how their runs live."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from headwater.contracts.base import Closed
from headwater.contracts.durations import Duration
from headwater.contracts.naming import Expression, HttpUrl, Name, StreamRef
from headwater.contracts.schedule_running import (
    MAX_BUFFERED,
    After,
    Allow,
    BufferAll,
    CatchUp,
    Jitter,
    NotifyRule,
    Overlap,
    Retries,
)
from headwater.contracts.schedule_times import Times

_DAY_S = 86_400
_OVERLAPS = ("skip", "buffer_one", "cancel_other", "buffer_all", "allow")


_Streams = Annotated[tuple[StreamRef, ...], Field(min_length=1)]


class _Named(Closed):
    """What it is called, and what it is for."""

    name: Name
    description: Annotated[str, StringConstraints(max_length=2000)] = ""
    streams: _Streams

    @field_validator("streams", mode="before", json_schema_input_type=_Streams | StreamRef)
    @classmethod
    def _one_stream(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value


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
