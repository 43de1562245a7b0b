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
from headwater.store import outbox
from headwater.store.outbox import OutboxRow
from headwater.store.queries import queries

_Q = queries("runs")
COUNTS = ("pages", "requests", "received", "inserted", "updated", "unchanged", "rejected", "deleted", "late")


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run to be. Its id derives from who asks for it: a schedule's boundary, or a key of the caller's."""

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

    A scheduled run that overlaps an unfinished one of its schedule is recorded as skipped and announced so.
    """
    row = await connection.fetchrow(
        _Q["insert"], run.id, to_millisecond(run.due_at), run.tenant, run.source, run.stream, run.schedule,
        run.trigger, run.mode, run.force, dict(run.parameters), run.window and dict(run.window), run.generation,
        run.priority, run.started_by, run.attempts_max,
    )  # fmt: skip
    if row is not None and row["state"] == RunState.SKIPPED:
        await _announce(connection, row)
    return run.id


async def insert_scheduled(connection: Any, new: Sequence[NewRun]) -> None:
    """Insert runs that schedules start, as `insert` does. Of one schedule and stream the first goes first."""
    first: dict[tuple[str, str | None, str, str], NewRun] = {}
    for run in new:
        first.setdefault((run.tenant, run.schedule, run.source, run.stream), run)
    later = [run for run in new if first[run.tenant, run.schedule, run.source, run.stream] is not run]
    if first:
        for row in await connection.fetch(_Q["insert_many"], *_columns(list(first.values()))):
            await _announce(connection, row)
    for run in later:
        await insert(connection, run)


def _columns(new: Sequence[NewRun]) -> list[list[Any]]:
    """What `insert_many` takes, column by column."""
    rows = [
        (run.id, to_millisecond(run.due_at), run.tenant, run.source, run.stream, run.schedule, run.mode, run.force,
         dumps(dict(run.parameters)).decode(), run.generation, run.priority, run.started_by, run.attempts_max)
        for run in new
    ]  # fmt: skip
    return [list(column) for column in zip(*rows, strict=True)]


async def get(connection: Any, run_id: UUID) -> Mapping[str, Any] | None:
    """The run's row as the transaction's tenant sees it."""
    return await connection.fetchrow(_Q["get"], time_of(run_id), run_id)  # type: ignore[no-any-return]


async def list_runs(
    connection: Any,
    *,
    schedule: str | None,
    stream: str | None,
    state: str | None,
    since: datetime | None,
    limit: int,
    after: UUID | None,
) -> Sequence[Mapping[str, Any]]:
    """Runs of the transaction's tenant, newest first, after the run `after`."""
    after_at = None if after is None else time_of(after)
    return await connection.fetch(  # type: ignore[no-any-return]
        _Q["list"], schedule, stream, state, since, limit, after_at, after
    )


async def count_by_state(connection: Any) -> dict[str, int]:
    return {row["state"]: row["run_count"] for row in await connection.fetch(_Q["count_by_state"])}


async def admit(connection: Any, limit: int) -> int:
    """Give free streams' slots to waiting runs; gives how many. Nothing when another relay is at it."""
    if not await connection.fetchval(_Q["lock_admission"]):
        return 0
    return len(await connection.fetch(_Q["admit"], limit))


async def claim_unpublished(connection: Any, limit: int) -> Sequence[Mapping[str, Any]]:
    """Admitted runs whose `run.due` is owed, locked until the transaction ends."""
    return await connection.fetch(_Q["claim_unpublished"], limit)  # type: ignore[no-any-return]


async def mark_published(connection: Any, run_ids: Sequence[UUID]) -> None:
    await connection.execute(_Q["mark_published"], [time_of(run_id) for run_id in run_ids], list(run_ids))


async def begin(connection: Any, run_id: UUID, attempt: int) -> Mapping[str, Any] | None:
    """Start the attempt if it is queued; gives the run as it is now, None when it does not exist."""
    at = time_of(run_id)
    await connection.execute(_Q["begin"], at, run_id, attempt)
    return await connection.fetchrow(_Q["brief"], at, run_id)  # type: ignore[no-any-return]


async def open_walk(
    connection: Any,
    run_id: UUID,
    attempt: int,
    number: int,
    tenant: str,
    token: Mapping[str, Any],
    highest: Any = None,
) -> Mapping[str, Any]:
    """Make walk `number`; gives its first token, which is the stored one when it was there already.

    `highest` is the highest cursor value of the walk that this one goes on with.
    """
    at = time_of(run_id)
    await connection.execute(_Q["insert_walk"], run_id, at, attempt, number, tenant, dict(token), highest)
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


async def finish(connection: Any, run_id: UUID, outcome: Outcome) -> bool:
    """The one way to a final state: state, slot, announcement. False when the run was final already."""
    row = await connection.fetchrow(
        _Q["finish"], time_of(run_id), run_id, outcome.state.value, outcome.stop_reason, outcome.error_kind,
        outcome.error_message, outcome.skip_reason, list(outcome.warnings), outcome.deleted,
    )  # fmt: skip
    if row is None:
        return False
    await _release(connection, row)
    await _announce(connection, row)
    return True


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

    False when the run is final or in another attempt already.
    """
    row = await connection.fetchrow(_Q["lock"], time_of(run_id), run_id)
    if row is None or row["attempt"] != attempt or RunState(row["state"]).is_final:
        return False
    if retryable and row["state"] == RunState.RUNNING and attempt < row["attempts_max"]:
        await connection.fetchrow(_Q["requeue"], time_of(run_id), run_id, delay_s, kind, message)
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
        due_at=row["due_at"],
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


async def unpark(connection: Any, run_id: UUID) -> None:
    await connection.execute(_Q["unpark"], time_of(run_id), run_id)
