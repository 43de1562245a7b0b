"""Schedules, and what a time specification means before anybody relies on it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from headwater.contracts.schedule_running import After
from headwater.contracts.schedules import Schedule as ScheduleDefinition
from headwater.contracts.timetable import windows_of
from headwater.control.paging import ListQuery, after_name, listing, token_of
from headwater.control.route import Answer, Call, Desk, Reply
from headwater.model.errors import ConfigError
from headwater.model.schedule import describe
from headwater.model.schedule_words import joined
from headwater.store import catalogue
from headwater.store.schedule_verbs import timetable_of_row

State = Literal["active", "paused", "disabled", "failed", "expired", "error"]


class SchedulesQuery(ListQuery):
    """Each that is given applies."""

    state: State | None = None
    stream: Annotated[str | None, Field(max_length=127, description="source.stream")] = None
    source: Annotated[str | None, Field(max_length=63)] = None
    enabled: bool | None = None
    q: Annotated[str | None, Field(max_length=200, description="A part of name or description.")] = None


class LastRun(Answer):
    """The newest run, backfills aside."""

    id: UUID
    state: str
    started_at: datetime | None
    finished_at: datetime | None


class ScheduleCounts(Answer):
    """Its runs since it is there, whatever is still kept of them."""

    total: int
    succeeded: int
    failed: int
    skipped: int
    partial: int
    cancelled: int


class Schedule(Answer):
    """When streams are due. `timing` says it in words; null for one that only starts by hand."""

    name: str
    description: str
    timing: str | None
    streams: list[str]
    definition: dict[str, Any]
    state: State
    state_reason: str | None
    enabled: bool
    paused_by: str | None
    paused_at: datetime | None
    paused_until: datetime | None
    next_at: datetime | None
    last_due_at: datetime | None
    last_run: LastRun | None
    last_success_at: datetime | None
    counts: ScheduleCounts
    consecutive_failures: int
    created_by: str | None
    created_at: datetime
    updated_at: datetime


def schedule_view(row: Mapping[str, Any], tenant: str) -> dict[str, Any]:
    definition = row["definition"]
    last = None
    if row["run_id"] is not None:
        last = {name: row[f"run_{name}"] for name in LastRun.model_fields}
    same = (
        "name",
        "definition",
        "state",
        "state_reason",
        "next_at",
        "last_due_at",
        "last_success_at",
        "paused_by",
        "paused_at",
        "paused_until",
        "created_by",
        "created_at",
        "updated_at",
    )
    return {
        **{name: row[name] for name in same},
        "description": definition.get("description", ""),
        "timing": _timing(row, tenant),
        "streams": definition.get("streams", []),
        "last_run": last,
        "enabled": definition.get("enabled", True),
        "counts": {name: row[name] or 0 for name in ScheduleCounts.model_fields},
        "consecutive_failures": row["consecutive_failures"] or 0,
    }


def _timing(row: Mapping[str, Any], tenant: str) -> str | None:
    try:
        schedule = ScheduleDefinition.model_validate(row["definition"])
        timetable = timetable_of_row(row, tenant)
        windows = windows_of(schedule)
    except (ConfigError, ValueError):
        return None  # its state says `error` and why
    sentences = [] if timetable is None else [describe(timetable, windows)]
    if schedule.after is not None:
        sentences.append(following(schedule.after))
    return "; ".join(sentences) or None


def following(after: After) -> str:
    """`After orders or refunds has succeeded`."""
    ended = {"succeeded": "succeeded", "failed": "failed", "any": "ended"}[after.on]
    has = "have" if len(after.all_of) > 1 else "has"
    text = f"After {joined(after.names, 'and' if after.all_of else 'or')} {has} {ended}"
    return text if after.debounce is None else f"{text}, and nothing more for {after.debounce}"


async def list_schedules(desk: Desk, call: Call[SchedulesQuery, None]) -> Reply:
    query, tenant = call.query, call.tenant
    after = after_name(query, "schedules")
    async with desk.acting(call) as connection:
        rows = await catalogue.list_schedules(
            connection, tenant, _wanted(query), after=after, limit=query.limit + 1
        )
    return Reply(
        listing(
            rows,
            query.limit,
            lambda row: schedule_view(row, tenant),
            lambda row: token_of("schedules", row["name"]),
        )
    )


def _wanted(query: SchedulesQuery) -> catalogue.ScheduleFilter:
    return catalogue.ScheduleFilter(query.state, query.stream, query.source, query.enabled, query.q)
