"""Runs: start, look, cancel, run again."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from headwater.contracts.messages import RunRequest
from headwater.control.frame import API
from headwater.control.paging import (
    Instant,
    ListQuery,
    after_numbers,
    after_run,
    in_utc,
    listing,
    token_of,
)
from headwater.control.problems import Refusal, conflict, invalid_at, not_found
from headwater.control.route import Answer, Call, Desk, NoQuery, Reply
from headwater.control.starting import (
    KeyReusedError,
    NotFinalError,
    NotStartableError,
    Starter,
    UnknownStreamError,
    rerun,
    start_run,
)
from headwater.model.run import RunState
from headwater.store import catalogue, runs
from headwater.store.runs import COUNTS, Outcome, RunFilter

State = Literal["queued", "running", "succeeded", "partial", "failed", "cancelled", "skipped"]


class RunsQuery(ListQuery):
    """Runs, newest first."""

    schedule: Annotated[str | None, Field(max_length=63)] = None
    stream: Annotated[str | None, Field(max_length=127, description="source.stream")] = None
    source: Annotated[str | None, Field(max_length=63)] = None
    state: State | None = None
    trigger: Literal["schedule", "api", "cli", "ui", "amqp", "webhook", "after"] | None = None
    backfill: UUID | None = None
    since: Instant | None = None
    until: Instant | None = None


class RunStarted(Answer):
    id: UUID


class RunCounts(Answer):
    pages: int
    requests: int
    received: int
    inserted: int
    updated: int
    unchanged: int
    rejected: int
    deleted: int
    late: int
    parents: Annotated[int, Field(description="Walks for records of a parent stream.")]
    skipped: Annotated[int, Field(description="Those of them whose parent is not there any more (404).")]


class RunFault(Answer):
    """Why a run failed."""

    kind: Annotated[str, Field(alias="class")]
    message: str


class RunTimings(Answer):
    """Moments, and the seconds between them where both are known."""

    created_at: datetime
    admitted_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    waited_s: float | None
    ran_s: float | None


class FailedAttempt(Answer):
    """An attempt that failed and was tried again, at `again_at` at the earliest."""

    attempt: int
    error: RunFault
    started_at: datetime | None
    failed_at: datetime
    again_at: datetime


class Run(Answer):
    """One execution of a stream.

    `waits_for` says why a queued run is not under way: retry, stream (another run of it), overlap, backfill,
    schedule_limit, source_limit, tenant_limit, admission, broker, fetcher; and what a running one is parked for.
    """

    id: UUID
    stream: Annotated[str, Field(description="source.stream")]
    stream_version: UUID | None
    schedule: str | None
    due_at: datetime
    trigger: str
    mode: str
    force: bool
    parameters: dict[str, Any]
    window: dict[str, Any] | None
    generation: int
    attempt: int
    attempts_max: int
    attempts: list[FailedAttempt]
    deadline_at: datetime | None
    started_by: str | None
    ended_by: str | None
    backfill_id: UUID | None
    state: State
    skip_reason: str | None
    waits_for: str | None
    parked_until: datetime | None
    warnings: list[str]
    stop_reason: str | None
    counts: RunCounts
    error: RunFault | None
    timings: RunTimings


class RunPage(Answer):
    """One page of a run. `sample`: the beginning of the answer, where the stream has no destination."""

    attempt: int
    walk: int
    number: int
    status: int | None
    received: int | None
    rejected: int | None
    body_bytes: int | None
    stop_reason: str | None
    begun_at: datetime
    settled_at: datetime | None
    sample: str | None


def run_view(row: Mapping[str, Any]) -> dict[str, Any]:
    """A run's row as the API tells it."""
    same = (
        "id", "stream_version", "schedule", "trigger", "mode", "force", "parameters", "generation", "attempt",
        "attempts_max", "deadline_at", "started_by", "ended_by", "backfill_id", "state", "skip_reason", "parked_until",
        "warnings", "stop_reason",
    )  # fmt: skip
    kind = row["error_kind"]
    return {
        **{name: row[name] for name in same},
        "stream": f"{row['source']}.{row['stream']}",
        "due_at": row["boundary"] or row["due_at"],
        "waits_for": row["waiting_for"],
        "attempts": [_failed_attempt(each) for each in row["failures"]],
        "window": row["time_window"],
        "counts": {name: row[name] for name in COUNTS},
        "error": None if kind is None else {"class": kind, "message": row["error_message"] or ""},
        "timings": {
            **{name: row[name] for name in ("created_at", "admitted_at", "started_at", "finished_at")},
            "waited_s": _seconds(row["created_at"], row["started_at"]),
            "ran_s": _seconds(row["started_at"], row["finished_at"]),
        },
    }


def _failed_attempt(failure: Mapping[str, Any]) -> dict[str, Any]:
    same = {name: failure[name] for name in ("attempt", "started_at", "failed_at", "again_at")}
    return {**same, "error": {"class": failure["class"], "message": failure["message"] or ""}}


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    return None if start is None or end is None else round((end - start).total_seconds(), 3)


async def list_runs(desk: Desk, call: Call[RunsQuery, None]) -> Reply:
    query = call.query
    async with desk.acting(call) as connection:
        rows = await runs.list_runs(connection, _wanted(query), limit=query.limit + 1, after=after_run(query))
    return Reply(listing(rows, query.limit, run_view, lambda row: token_of("runs", row["id"])))


def _wanted(query: RunsQuery) -> RunFilter:
    return RunFilter(
        schedule=query.schedule,
        stream=query.stream,
        source=query.source,
        state=query.state,
        trigger=query.trigger,
        backfill_id=query.backfill,
        since=in_utc(query.since),
        until=in_utc(query.until),
    )


async def create_run(desk: Desk, call: Call[NoQuery, RunRequest]) -> Reply:
    starter = Starter(call.trigger, call.started_by, call.key)
    try:
        async with desk.acting(call) as connection:
            run_id = await start_run(connection, call.tenant, call.body, starter)
    except UnknownStreamError as error:
        raise invalid_at("/stream", str(error)) from error
    except NotStartableError as error:
        raise invalid_at(f"/{error.place}", str(error)) from error
    except KeyReusedError as error:
        raise key_reused(error) from error
    desk.bell.ring()
    return _started(run_id)


def key_reused(error: KeyReusedError) -> Refusal:
    return Refusal(
        422, "The Idempotency-Key is not valid", faults=[{"header": "Idempotency-Key", "detail": str(error)}]
    )


def _started(run_id: UUID) -> Reply:
    return Reply({"id": run_id}, headers={"Location": f"{API}/runs/{run_id}"})


async def show_run(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    async with desk.acting(call) as connection:
        return Reply(run_view(await _found(connection, call)))


async def _found(connection: Any, call: Call[Any, Any]) -> Mapping[str, Any]:
    row = await runs.get(connection, call.id("run"))
    if row is None:
        raise not_found("run")
    return row


async def list_pages(desk: Desk, call: Call[ListQuery, None]) -> Reply:
    attempt, walk, number = after_numbers(call.query, "pages", (0, -1, 0))
    async with desk.acting(call) as connection:
        run = await _found(connection, call)
        rows = await catalogue.list_pages(
            connection, run["id"], after=(attempt, walk, number), limit=call.query.limit + 1
        )
    return Reply(
        listing(
            rows,
            call.query.limit,
            dict,
            lambda row: token_of("pages", row["attempt"], row["walk"], row["number"]),
        )
    )


async def cancel_run(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    """A run that is cancelled already stays so."""
    async with desk.acting(call) as connection:
        run = await _found(connection, call)
        cancelled = await runs.finish(
            connection, run["id"], Outcome(RunState.CANCELLED, ended_by=call.started_by)
        )
        run = await _found(connection, call)
    if not cancelled and run["state"] != RunState.CANCELLED:
        raise conflict(f"The run has ended already: it is {run['state']}")
    desk.bell.ring()
    return Reply(run_view(run))


async def rerun_run(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    starter = Starter(call.trigger, call.started_by, call.key)
    try:
        async with desk.acting(call) as connection:
            run_id = await rerun(connection, await _found(connection, call), starter)
    except (NotFinalError, UnknownStreamError) as error:
        raise conflict(str(error)) from error
    except KeyReusedError as error:
        raise key_reused(error) from error
    desk.bell.ring()
    return _started(run_id)
