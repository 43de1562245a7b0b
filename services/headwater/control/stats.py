"""Statistics over runs: of a tenant, of a schedule."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import Field

from headwater.contracts.base import Closed
from headwater.control.paging import Instant, in_utc
from headwater.control.problems import invalid, not_found
from headwater.control.route import Answer, Call, Desk, Reply
from headwater.store import schedules, statistics

DAYS = 30
_STATES = ("total", "queued", "running", "succeeded", "partial", "failed", "cancelled", "skipped")
_RECORDS = ("pages", "requests", "received", "inserted", "updated", "unchanged", "rejected", "deleted")
_SINCE_EVER = ("total", "succeeded", "partial", "failed", "cancelled", "skipped")
SCHEDULE_STATES = ("active", "paused", "disabled", "failed", "expired", "error")


class StatsQuery(Closed):
    """Runs by their due times; without `since` those of the last 30 days."""

    since: Instant | None = None
    until: Instant | None = None


class StateCounts(Answer):
    total: int
    queued: int
    running: int
    succeeded: int
    partial: int
    failed: int
    cancelled: int
    skipped: int


class Durations(Answer):
    """Seconds from the start of a run's last attempt to its end, of runs that succeeded, partly or not at all."""

    avg_s: float | None
    min_s: float | None
    p50_s: float | None
    p95_s: float | None
    max_s: float | None


class Waits(Answer):
    """Seconds from a run's row to its start."""

    avg_s: float | None
    p95_s: float | None


class RecordCounts(Answer):
    pages: int
    requests: int
    received: int
    inserted: int
    updated: int
    unchanged: int
    rejected: int
    deleted: int


class ScheduleStates(Answer):
    total: int
    active: int
    paused: int
    disabled: int
    failed: int
    expired: int
    error: int


class RunStats(Answer):
    """The rates are shares (0 to 1) of the runs that succeeded, partly or not at all; null where there are none."""

    since: datetime
    until: datetime | None
    runs: StateCounts
    success_rate: float | None
    failure_rate: float | None
    durations: Durations
    waits: Waits
    records: RecordCounts
    last_success_at: datetime | None
    last_failure_at: datetime | None


class TenantStats(RunStats):
    schedules: ScheduleStates


class RecordSinceEver(Answer):
    """All that was ever counted, whatever is still kept of it."""

    total: int
    succeeded: int
    partial: int
    failed: int
    cancelled: int
    skipped: int


class ScheduleStats(RunStats):
    schedule: Annotated[str, Field(description="Its name.")]
    state: str
    next_at: datetime | None
    consecutive_failures: int
    ever: RecordSinceEver


def stats_view(row: Mapping[str, Any], since: datetime, until: datetime | None) -> dict[str, Any]:
    """What `statistics.of_runs` gives, as the API tells it."""
    ended = row["succeeded"] + row["partial"] + row["failed"]
    return {
        "since": since,
        "until": until,
        "runs": {name: row[name] for name in _STATES},
        "success_rate": None if not ended else round(row["succeeded"] / ended, 4),
        "failure_rate": None if not ended else round(row["failed"] / ended, 4),
        "durations": {name: _rounded(row[name]) for name in ("avg_s", "min_s", "p50_s", "p95_s", "max_s")},
        "waits": {name: _rounded(row[f"waited_{name}"]) for name in ("avg_s", "p95_s")},
        "records": {name: row[name] or 0 for name in _RECORDS},
        "last_success_at": row["last_success_at"],
        "last_failure_at": row["last_failure_at"],
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


async def tenant_stats_of(
    connection: Any, tenant: str, since: datetime | None, until: datetime | None
) -> dict[str, Any]:
    """The tenant's statistics; `since` None: of the last 30 days."""
    begin = since or await schedules.now(connection) - timedelta(days=DAYS)
    found = await statistics.of_runs(connection, tenant, None, begin, until)
    states = await statistics.of_schedules(connection, tenant)
    told = {name: states.get(name, 0) for name in SCHEDULE_STATES}
    return {**stats_view(found, begin, until), "schedules": {"total": sum(told.values()), **told}}


async def schedule_stats_of(
    connection: Any, tenant: str, schedule: str, since: datetime | None, until: datetime | None
) -> dict[str, Any] | None:
    """A schedule's statistics; None when there is no such schedule."""
    known = await statistics.record(connection, tenant, schedule)
    if known is None:
        return None
    begin = since or await schedules.now(connection) - timedelta(days=DAYS)
    found = await statistics.of_runs(connection, tenant, schedule, begin, until)
    return {
        **stats_view(found, begin, until),
        "schedule": schedule,
        "state": known["state"],
        "next_at": known["next_at"],
        "consecutive_failures": known["consecutive_failures"] or 0,
        "ever": {name: known[name] or 0 for name in _SINCE_EVER},
        "last_success_at": known["last_success_at"] or found["last_success_at"],
        "last_failure_at": known["last_failure_at"] or found["last_failure_at"],
    }


def _span(query: StatsQuery) -> tuple[datetime | None, datetime | None]:
    since, until = in_utc(query.since), in_utc(query.until)
    if since is not None and until is not None and since >= until:
        detail = "is not later than `since`"
        raise invalid("A parameter is not valid", [{"parameter": "until", "detail": detail}])
    return since, until


async def tenant_stats(desk: Desk, call: Call[StatsQuery, None]) -> Reply:
    since, until = _span(call.query)
    async with desk.acting(call) as connection:
        return Reply(await tenant_stats_of(connection, call.tenant, since, until))


async def schedule_stats(desk: Desk, call: Call[StatsQuery, None]) -> Reply:
    since, until = _span(call.query)
    async with desk.acting(call) as connection:
        found = await schedule_stats_of(connection, call.tenant, call.path["schedule"], since, until)
    if found is None:
        raise not_found("schedule")
    return Reply(found)
