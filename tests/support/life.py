"""Runs without the services that walk: rows, the relay that admits, and ends by hand. For tests of the life of runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from tests.support.spine import Spine, open_spine

from headwater.contracts.schedules import Schedule
from headwater.model.run import RunState
from headwater.store import runs
from headwater.store.runs import NewRun, Outcome
from headwater.store.scheduled_runs import scheduled_run
from headwater.timer.relay import Relay

HEAD = """
version: 1
sources:
  - name: far
    base_url: https://api.example.com
"""
STREAMS = "    streams:\n" + "".join(
    f"      - {{name: s{number}, destination: {{table: t{number}, key: id}}}}\n" for number in range(1, 5)
)


@dataclass
class Life:
    """`spine` without services; `relay` does a round when it is told to."""

    spine: Spine
    relay: Relay

    async def apply(self, schedules: str = "", source: str = "") -> None:
        """Source `far` with streams s1 to s4, and these schedules (YAML list items)."""
        await self.spine.apply(HEAD + source + STREAMS + (f"schedules:\n{schedules}" if schedules else ""))

    async def start(self, stream: str = "s1", **more: Any) -> UUID:
        due_at = more.pop("due_at", None) or datetime.now(UTC)
        new = NewRun("default", "far", stream, due_at, more.pop("trigger", "api"), **more)
        async with self.spine.worker.transaction() as connection:
            return await runs.insert(connection, new)

    async def fire(self, schedule: str, ago_s: float = 0.0) -> None:
        """The runs of a due time of the schedule, `ago_s` seconds ago."""
        due_at = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=ago_s)
        row = await self.spine.row("SELECT definition FROM schedule WHERE name = $1", schedule)
        definition = Schedule.model_validate(row["definition"])
        made = [scheduled_run("default", definition, stream, due_at) for stream in definition.streams]
        async with self.spine.worker.transaction() as connection:
            await runs.insert_many(connection, made)

    async def round(self) -> None:
        """What the relay does until nothing is left to do."""
        while await self.relay.work():
            pass

    async def admitted(self) -> list[str]:
        rows = await self.spine.fetch(
            "SELECT stream FROM run WHERE admitted_at IS NOT NULL AND state IN ('queued', 'running') ORDER BY admitted_at, stream"
        )
        return [row["stream"] for row in rows]

    async def begin(self, run_id: UUID) -> None:
        run = await self.run(run_id)
        async with self.spine.worker.transaction() as connection:
            await runs.begin(connection, run_id, run["attempt"])

    async def end(self, run_id: UUID, state: RunState = RunState.SUCCEEDED, **more: Any) -> None:
        async with self.spine.worker.transaction() as connection:
            assert await runs.finish(connection, run_id, Outcome(state, **more))

    async def run(self, run_id: UUID) -> Any:
        async with self.spine.worker.transaction() as connection:
            return await runs.get(connection, run_id)

    async def of_schedule(self, schedule: str) -> list[Any]:
        """The schedule's runs, oldest first."""
        return await self.spine.fetch(
            "SELECT run.*, run_waits_for(run) AS waiting_for FROM run WHERE schedule = $1 ORDER BY due_at, created_at",
            schedule,
        )


@asynccontextmanager
async def open_life(url: str) -> AsyncIterator[Life]:
    async with open_spine(url) as spine:
        yield Life(spine, Relay(spine.worker, spine.bus, spine.metrics))
