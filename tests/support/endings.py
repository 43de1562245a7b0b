"""Runs that end as a test wants, with all that follows from their ends."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from tests.support.spine import Spine

from headwater.model.run import RunState
from headwater.store import runs
from headwater.store.runs import NewRun, Outcome

NOW = datetime.now(UTC)


async def run_ends(
    spine: Spine,
    state: str,
    *,
    ago_s: float = 0.0,
    schedule: str | None = None,
    stream: str = "orders",
    error: tuple[str, str] | None = None,
    tenant: str = "default",
) -> UUID:
    """A run of shop.<stream>, due `ago_s` seconds ago, that reached `state` now; its id."""
    due_at = NOW - timedelta(seconds=ago_s)
    new = NewRun(
        tenant, "shop", stream, due_at, "schedule" if schedule else "api", schedule=schedule, key=f"{ago_s}"
    )
    kind, message = error or (("http_500", "the API answered 500") if state == "failed" else (None, None))
    async with spine.worker.transaction() as connection:
        run_id = await runs.insert(connection, new)
        if state in ("succeeded", "partial"):
            await connection.execute(
                "UPDATE run SET state = 'running', started_at = clock_timestamp() WHERE id = $1", run_id
            )
        outcome = Outcome(RunState(state), "error" if state == "failed" else None, (), kind, message)
        assert await runs.finish(connection, run_id, outcome)
    return run_id
