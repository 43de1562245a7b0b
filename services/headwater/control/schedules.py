"""Schedules, and what a time specification means before anybody relies on it."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from headwater.contracts.base import Closed
from headwater.contracts.manifest import Schedule as ScheduleDefinition
from headwater.contracts.timetable import timetable_of
from headwater.control.paging import ListQuery, after_name, listing, token_of
from headwater.control.problems import invalid_at, schedule_refusal
from headwater.control.route import Answer, Call, Desk, NoQuery, Reply
from headwater.control.validation import MINIMUM_INTERVAL_S
from headwater.model.errors import ConfigError
from headwater.model.schedule import (
    ScheduleError,
    Timetable,
    describe,
    parse_timetable,
    preview,
    short_text,
    smallest_gap_s,
    warnings_for,
)
from headwater.store import catalogue

MAX_PREVIEW = 1000
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
    """When streams are due. `timing` says it in words; null for a manual schedule."""

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


class PreviewRequest(Closed):
    """One or several specifications. `once` without a zone is wall-clock time of `timezone`."""

    cron: Annotated[str | None, Field(max_length=1000)] = None
    crons: Annotated[list[Annotated[str, Field(max_length=1000)]] | None, Field(max_length=100)] = None
    interval: Annotated[str | None, Field(max_length=200)] = None
    once: datetime | None = None
    preset: Annotated[str | None, Field(max_length=200)] = None
    timezone: Annotated[str, Field(max_length=200)] = "UTC"
    day_match: Annotated[str, Field(max_length=20)] = "any"
    after: AwareDatetime | None = None
    count: Annotated[int, Field(ge=1, le=MAX_PREVIEW)] = 10
    schedule: Annotated[str, Field(max_length=63, description="Its name, from which H is drawn.")] = ""


class PreviewOccurrence(Answer):
    """One due time with its offset, and the same instant in UTC."""

    at: datetime
    utc: datetime
    marks: list[str]


class Preview(Answer):
    next: list[PreviewOccurrence]
    description: str
    warnings: list[str]


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
        "timing": _timing(definition, tenant),
        "streams": definition.get("streams", []),
        "last_run": last,
        "enabled": definition.get("enabled", True),
        "counts": {name: row[name] or 0 for name in ScheduleCounts.model_fields},
        "consecutive_failures": row["consecutive_failures"] or 0,
    }


def _timing(definition: Mapping[str, Any], tenant: str) -> str | None:
    try:
        timetable = timetable_of(ScheduleDefinition.model_validate(definition), tenant)
    except (ConfigError, ValueError):
        return None  # its state says `error` and why
    return None if timetable is None else describe(timetable)


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


async def preview_schedule(desk: Desk, call: Call[NoQuery, PreviewRequest]) -> Reply:
    """The next due times; nothing is written."""
    async with desk.acting(call) as connection:
        row = await catalogue.get_tenant(connection, call.tenant)
    minimum_s = (row["settings"] if row else {}).get("minimum_interval_s", MINIMUM_INTERVAL_S)
    now = desk.clock.now()
    try:
        return Reply(await asyncio.to_thread(_preview, call.body, call.tenant, now, minimum_s))
    except ScheduleError as error:
        raise schedule_refusal(error) from error
    except OverflowError:
        raise invalid_at("/after", "is out of the range of time") from None


def _preview(wanted: PreviewRequest, tenant: str, now: datetime, minimum_s: float) -> dict[str, Any]:
    after = (wanted.after or now).astimezone(UTC)
    timetable = parse_timetable(
        crons=(*(() if wanted.cron is None else (wanted.cron,)), *(wanted.crons or ())),
        interval=wanted.interval,
        once=wanted.once,
        preset=wanted.preset,
        timezone=wanted.timezone,
        day_match=wanted.day_match,
        hash_key=f"{tenant}/{wanted.schedule}" if wanted.schedule else "",
        now=after,
    )
    return {
        "next": [
            {"at": each.at, "utc": each.utc, "marks": list(each.marks)}
            for each in preview(timetable, after, wanted.count)
        ],
        "description": describe(timetable),
        "warnings": [*warnings_for(timetable, now), *_too_often(timetable, after, minimum_s)],
    }


def _too_often(timetable: Timetable, after: datetime, minimum_s: float) -> list[str]:
    gap_s = smallest_gap_s(timetable, after)
    if gap_s is None or gap_s >= minimum_s:
        return []
    return [
        f"Two due times are {short_text(int(gap_s))} apart; the tenant's minimum is {short_text(int(minimum_s))}."
    ]
