"""Runs: insertion, admission, and the one function by which every run reaches a final state."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from headwater.contracts.codec import dumps
from headwater.contracts.messages import RunClose, RunError, RunFinished
from headwater.model.ids import derive_id, time_of, to_millisecond
from headwater.model.run import RunState
from headwater.model.run_policy import Overlap, Retry
from headwater.store import outbox
from headwater.store.outbox import OutboxRow
from headwater.store.queries import queries

_Q = queries("runs")
COUNTS = (
    "pages", "requests", "received", "inserted", "updated", "unchanged", "rejected", "deleted", "late", "parents",
    "skipped",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run to be. Its id derives from who asks for it: a schedule's boundary, or a key of the caller's.

    `overlap` None: it waits for its turn, whatever of its schedule has not ended. `at_once`: it runs beside others of
    its stream, so many of its kind at once. `boundary`: the due time that it stands for, where that is not `due_at`.
    `skip_reason`: it is recorded as skipped from the start.
    """

    tenant: str
    source: str
    stream: str
    due_at: datetime
    trigger: str
    schedule: str | None = None
    key: str = ""
    mode: str = "auto"
    force: bool = False
    parameters: Mapping[str, Any] = field(default_factory=dict)
    window: Mapping[str, Any] | None = None
    generation: int = 1
    priority: int = 1
    started_by: str | None = None
    attempts_max: int = 1
    retry: Retry | None = None
    timeout_s: float | None = None
    overlap: Overlap | None = None
    at_once: int | None = None
    boundary: datetime | None = None
    backfill_id: UUID | None = None
    skip_reason: str | None = None

    @property
    def id(self) -> UUID:
        """Unique on (schedule or key, stream, boundary, generation)."""
        return derive_id(
            self.due_at,
            "run",
            self.tenant,
            self.schedule or "",
            self.key,
            self.source,
            self.stream,
            self.generation,
        )


async def insert(connection: Any, run: NewRun) -> UUID:
    """Insert the run unless it is there already; gives its id either way.

    One that overlaps runs of its schedule which have not ended may be recorded as skipped, and announced so.
    """
    await insert_many(connection, [run])
    return run.id


async def insert_many(connection: Any, new: Sequence[NewRun]) -> int:
    """As `insert`, many in one statement; gives how many were not there. They do not overlap one another."""
    if not new:
        return 0
    made = 0
    for row in await connection.fetch(_Q["insert_many"], *_columns(new)):
        made += 1
        if row["state"] == RunState.SKIPPED:
            await conclude(connection, row["due_at"], row["id"])
    return made


async def conclude(connection: Any, due_at: datetime, run_id: UUID) -> None:
    """What follows the end of a run that was skipped from the start."""
    await _conclude(connection, await connection.fetchrow(_Q["lock"], due_at, run_id))


def _columns(new: Sequence[NewRun]) -> list[list[Any]]:
    """What `insert_many` takes of each run, column by column."""
    return [list(column) for column in zip(*map(_values, new), strict=True)]


def _values(run: NewRun) -> tuple[Any, ...]:
    overlap = run.overlap
    retry = None if run.retry is None else run.retry.to_plain()
    others, at_once = (None, run.at_once) if overlap is None else (overlap.others, overlap.at_once)
    supersedes = overlap is not None and overlap.kind == "cancel_other"
    return (
        run.id, to_millisecond(run.due_at), run.tenant, run.source, run.stream, run.schedule, run.trigger, run.mode,
        run.force, json_text(run.parameters), json_text(run.window), run.generation, run.priority, run.started_by,
        run.attempts_max, json_text(retry), run.timeout_s, others, at_once, supersedes,
        run.boundary, run.backfill_id, run.skip_reason,
    )  # fmt: skip


def json_text(value: Mapping[str, Any] | None) -> str | None:
    """The value as JSON."""
    return None if value is None else dumps(dict(value)).decode()


async def get(connection: Any, run_id: UUID) -> Mapping[str, Any] | None:
    """The run's row as the transaction's tenant sees it."""
    return await connection.fetchrow(_Q["get"], time_of(run_id), run_id)  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs: each that is given applies. `stream` is source.stream; `since` and `until` are due times."""

    schedule: str | None = None
    stream: str | None = None
    source: str | None = None
    state: str | None = None
    trigger: str | None = None
    backfill_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def values(self) -> tuple[Any, ...]:
        source, _, stream = (self.stream or "").partition(".")
        of_stream = (source, stream) if self.stream is not None else (self.source, None)
        return (self.schedule, *of_stream, self.state, self.trigger, self.backfill_id, self.since, self.until)


async def list_runs(
    connection: Any, wanted: RunFilter, *, limit: int, after: UUID | None = None
) -> Sequence[Mapping[str, Any]]:
    """Runs of the transaction's tenant, newest first, after the run `after`."""
    after_at = None if after is None else time_of(after)
    return await connection.fetch(_Q["list"], *wanted.values, limit, after_at, after)  # type: ignore[no-any-return]


async def count_by_state(connection: Any) -> dict[str, int]:
    return {row["state"]: row["run_count"] for row in await connection.fetch(_Q["count_by_state"])}


async def claim_unpublished(
    connection: Any, limit: int, grace_s: float, since: datetime
) -> Sequence[Mapping[str, Any]]:
    """Runs admitted since `since`, `grace_s` seconds ago, whose `run.due` is owed still; locked."""
    return await connection.fetch(_Q["claim_unpublished"], limit, grace_s, since)  # type: ignore[no-any-return]


async def mark_published(connection: Any, taken: Sequence[Mapping[str, Any]], since_s: float = 0.0) -> None:
    """Write down that the `run.due` of these runs (id and attempt) is safe, since so many seconds."""
    by_attempt: dict[int, list[UUID]] = {}
    for row in taken:
        by_attempt.setdefault(row["attempt"], []).append(row["id"])
    for attempt, run_ids in by_attempt.items():
        times = sorted({time_of(run_id) for run_id in run_ids})
        await connection.execute(_Q["mark_published"], times[0], times[-1], times, run_ids, attempt, since_s)


async def begin(connection: Any, run_id: UUID, attempt: int) -> Mapping[str, Any] | None:
    """Start the attempt if it is queued; gives the run as it is now, None when it does not exist."""
    at = time_of(run_id)
    await connection.execute(_Q["begin"], at, run_id, attempt)
    return await connection.fetchrow(_Q["brief"], at, run_id)  # type: ignore[no-any-return]


async def skipped_of(connection: Any, run_ids: Sequence[UUID]) -> frozenset[UUID]:
    """Those of the runs that are skipped."""
    if not run_ids:
        return frozenset()
    rows = await connection.fetch(_Q["skipped_of"], [time_of(run_id) for run_id in run_ids], list(run_ids))
    return frozenset(row["id"] for row in rows)


async def has_retries(connection: Any, run_id: UUID) -> bool:
    """Whether the run's schedule says when a failed attempt is tried again."""
    return bool(await connection.fetchval(_Q["has_retries"], time_of(run_id), run_id))


async def open_walk(
    connection: Any,
    run_id: UUID,
    attempt: int,
    number: int,
    tenant: str,
    token: Mapping[str, Any],
    highest: Any = None,
    children_at_once: int | None = None,
) -> Mapping[str, Any]:
    """Make walk `number`; gives its first token, which is the stored one when it was there already.

    `highest` is the highest cursor value of the walk that this one goes on with; `children_at_once`: how many walks of
    children may be under way at once, where its records are parents.
    """
    at = time_of(run_id)
    await connection.execute(
        _Q["insert_walk"], run_id, at, attempt, number, tenant, dict(token), highest, children_at_once
    )
    stored: Mapping[str, Any] = await connection.fetchval(_Q["first_token"], at, run_id, attempt, number)
    return stored


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ends."""

    state: RunState
    stop_reason: str | None = None
    warnings: Sequence[str] = ()
    error_kind: str | None = None
    error_message: str | None = None
    skip_reason: str | None = None
    deleted: int = 0
    ended_by: str | None = None


async def finish(connection: Any, run_id: UUID, outcome: Outcome) -> bool:
    """The one way to a final state: state, slot, announcement. False when the run was final already."""
    row = await connection.fetchrow(
        _Q["finish"], time_of(run_id), run_id, outcome.state.value, outcome.stop_reason, outcome.error_kind,
        outcome.error_message, outcome.skip_reason, list(outcome.warnings), outcome.deleted,
        outcome.ended_by,
    )  # fmt: skip
    if row is None:
        return False
    await _release(connection, row)
    await _conclude(connection, row)
    return True


async def _conclude(connection: Any, row: Mapping[str, Any]) -> None:
    """What every final state is followed by: `run.finished`, and the count and chains of its schedule."""
    await _announce(connection, row)
    if row["schedule"] is not None:
        await connection.execute(
            _Q["end"], row["tenant"], row["schedule"], row["id"], row["due_at"], row["generation"]
        )


async def fail_attempt(
    connection: Any,
    run_id: UUID,
    attempt: int,
    kind: str,
    message: str,
    *,
    retryable: bool,
    delay_s: float = 1.0,
) -> bool:
    """End attempt `attempt` of a run: the same run again where attempts are left, else failed.

    It waits as its retries say, else `delay_s`. False when the run is final or in another attempt already.
    """
    row = await connection.fetchrow(_Q["lock"], time_of(run_id), run_id)
    if row is None or row["attempt"] != attempt or RunState(row["state"]).is_final:
        return False
    if retryable and row["state"] == RunState.RUNNING and attempt < row["attempts_max"]:
        wait_s = delay_s if row["retry"] is None else Retry.of(row["retry"]).wait_s(run_id, attempt)
        await connection.fetchrow(_Q["requeue"], time_of(run_id), run_id, wait_s, kind, message)
        await _release(connection, row)
        return True
    outcome = Outcome(RunState.FAILED, stop_reason="error", error_kind=kind, error_message=message)
    return await finish(connection, run_id, outcome)


async def _release(connection: Any, row: Mapping[str, Any]) -> None:
    await connection.execute(_Q["release_slot"], row["tenant"], row["source"], row["stream"], row["id"])


async def _announce(connection: Any, row: Mapping[str, Any]) -> None:
    message = RunFinished(
        run_id=row["id"],
        tenant=row["tenant"],
        stream=f"{row['source']}.{row['stream']}",
        schedule=row["schedule"],
        due_at=row["boundary"] or row["due_at"],
        attempt=row["attempt"],
        trigger=row["trigger"],
        mode=row["mode"],
        state=row["state"],
        stop_reason=row["stop_reason"],
        warnings=tuple(row["warnings"]),
        counts={name: row[name] for name in COUNTS},
        error=row["error_kind"] and RunError(kind=row["error_kind"], message=row["error_message"] or ""),
        started_at=row["started_at"],
        finished_at=row["finished_at"],
    )
    identifier = derive_id(row["due_at"], "run.finished", row["id"])
    body = dumps(message.model_dump(mode="json"))
    await outbox.add(connection, OutboxRow(identifier, row["tenant"], RunFinished.type, body))


async def owe_close(connection: Any, run_id: UUID, attempt: int, tenant: str) -> None:
    """Owe the message that closes the run."""
    body = dumps(RunClose(run_id=run_id, attempt=attempt, tenant=tenant).model_dump(mode="json"))
    identifier = derive_id(time_of(run_id), "run.close", run_id, attempt)
    await outbox.add(connection, OutboxRow(identifier, tenant, RunClose.type, body))


async def lock(connection: Any, run_id: UUID) -> Mapping[str, Any] | None:
    """The run's row, locked until the transaction ends."""
    return await connection.fetchrow(_Q["lock"], time_of(run_id), run_id)  # type: ignore[no-any-return]


async def release_orphaned_slots(connection: Any) -> None:
    await connection.execute(_Q["release_orphaned_slots"])


async def without_stream(connection: Any) -> list[UUID]:
    return [row["id"] for row in await connection.fetch(_Q["without_stream"])]


async def stalled(connection: Any, quiet_s: float) -> Sequence[Mapping[str, Any]]:
    """Running runs without progress for `quiet_s` seconds; each is given once per that time."""
    return await connection.fetch(_Q["stalled"], quiet_s)  # type: ignore[no-any-return]


async def missing_pages(
    connection: Any, run_id: UUID, attempt: int, limit: int
) -> Sequence[Mapping[str, Any]]:
    """Pages that have not settled, as (walk, number, token); at most `limit`, the first ones."""
    rows = await connection.fetch(_Q["missing_pages"], time_of(run_id), run_id, attempt, limit)
    return [row for row in rows if row["token"] is not None]


async def park(connection: Any, run_id: UUID, delay_s: float, waits_for: str) -> None:
    """Show that the run waits for its API for `delay_s` seconds; the reaper leaves it alone until then."""
    await connection.execute(_Q["park"], time_of(run_id), run_id, delay_s, waits_for)


async def note_fault(
    connection: Any, run_id: UUID, attempt: int, wait_s: float, kind: str, message: str
) -> None:
    """Show what a page of the attempt met, and that it is tried again in `wait_s` seconds."""
    await connection.execute(_Q["note_fault"], time_of(run_id), run_id, attempt, wait_s, kind, message[:2000])


async def count_requests(connection: Any, run_id: UUID, attempt: int, requests: int) -> None:
    """Add requests of the attempt that brought no page."""
    await connection.execute(_Q["count_requests"], time_of(run_id), run_id, attempt, requests)


async def unpark(connection: Any, run_id: UUID) -> None:
    await connection.execute(_Q["unpark"], time_of(run_id), run_id)
