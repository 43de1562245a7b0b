"""Backfills: past windows of a schedule that are run again, boundary by boundary. All that is known of one is its row,
so that it goes on after a restart.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any
from uuid import UUID

from headwater.contracts.source import Stream
from headwater.model.errors import ConfigError
from headwater.model.run import RunState
from headwater.model.schedule import Timetable, due_times
from headwater.model.schedule_policy import latest_due
from headwater.store import runs
from headwater.store.queries import queries
from headwater.store.runs import Outcome

_Q = queries("backfills")
Row = Mapping[str, Any]
SECOND = timedelta(seconds=1)
_MOST_WORK = 1_000_000  # for a hundred thousand boundaries
_FURTHEST_BACK = timedelta(days=366 * 30)  # a schedule that is due less often has no window


@dataclass(frozen=True, slots=True)
class NewBackfill:
    """The boundaries from `from_at` up to and without `to_at`, of which there are `boundary_count`: `present_count`
    have their runs, `wanted_count` runs are to be made.
    """

    id: UUID
    tenant: str
    schedule: str
    from_at: datetime
    to_at: datetime
    boundary_count: int
    is_forced: bool = False
    parallel: int = 1
    per_minute: float | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    created_by: str | None = None
    present_count: int = 0
    wanted_count: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None


async def insert(connection: Any, new: NewBackfill) -> None:
    await connection.execute(
        _Q["insert"], new.id, new.tenant, new.schedule, new.from_at, new.to_at, new.is_forced, new.parallel,
        new.per_minute, dict(new.parameters), new.boundary_count, new.created_by,
        new.present_count, new.wanted_count, new.first_at, new.last_at,
    )  # fmt: skip


async def get(connection: Any, tenant: str, backfill_id: UUID) -> Row | None:
    """The row, with `runs`: how many are in each state."""
    return await connection.fetchrow(_Q["get"], tenant, backfill_id)  # type: ignore[no-any-return]


async def list_backfills(
    connection: Any,
    tenant: str,
    *,
    schedule: str | None,
    state: str | None,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> Sequence[Row]:
    at, last = after or (None, None)
    return await connection.fetch(_Q["list"], tenant, at, last, limit, schedule, state)  # type: ignore[no-any-return]


def boundaries(timetable: Timetable, since: datetime, until: datetime) -> Iterator[datetime]:
    """The due times from `since` (whole seconds) up to and without `until`, ascending."""
    due = due_times(timetable, since - SECOND, work=_MOST_WORK)
    return takewhile(lambda moment: moment < until, due)


def window_of(timetable: Timetable, boundary: datetime) -> dict[str, str]:
    """What a run of `boundary` stands for: the time since the due time before it. Texts of ISO 8601."""
    before, span = None, timedelta(minutes=2)
    while before is None and span < _FURTHEST_BACK:
        before = latest_due(timetable, boundary - span, boundary - SECOND)
        span *= 4
    return {"from": _iso(before or boundary - SECOND), "to": _iso(boundary)}


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def can_have_window(stream: Stream) -> bool:
    """Whether a run of the stream can be for a window of time; False where the stream knows of no time.

    Raises: ConfigError for one that moves a cursor which a backfill would move too.
    """
    if stream.cursor_rule is None or stream.cursor_rule.is_token:
        return stream.pagination.type == "window"
    if stream.cursor_rule.format == "integer":
        raise ConfigError(f"the cursor of {stream.name} is a number, which no window of time can bound")
    if stream.destination is not None and stream.destination.mode == "replace":
        raise ConfigError(f"{stream.name} replaces all rows by what a run brings: use mode merge")
    return True


async def windowed_streams(connection: Any, tenant: str, names: Sequence[str]) -> frozenset[str]:
    """Of these streams (source.stream), those whose runs can be for a window of time.

    Raises: ConfigError for one that is not there, or cannot be filled up at all.
    """
    rows = await connection.fetch(_Q["streams"], tenant, list(names))
    found = {row["stream"]: Stream.model_validate(row["definition"]) for row in rows}
    for name in names:
        if name not in found:
            raise ConfigError(f"stream {name} is not there any more")
    return frozenset(name for name, stream in found.items() if can_have_window(stream))


async def present(
    connection: Any, tenant: str, schedule: str, wanted: Sequence[datetime]
) -> dict[tuple[datetime, str], tuple[int, bool]]:
    """By (boundary, source.stream): the highest generation, and whether there is more than skipped runs."""
    rows = await connection.fetch(_Q["present"], tenant, schedule, list(wanted))
    return {
        (row["boundary"], f"{row['source']}.{row['stream']}"): (row["generation"], row["is_there"])
        for row in rows
    }


async def claim(connection: Any, limit: int) -> Sequence[Row]:
    """Backfills that may go on, locked, with their schedules' definitions and how many boundaries are `under_way`."""
    return await connection.fetch(_Q["claim"], limit)  # type: ignore[no-any-return]


async def take_turn(connection: Any, tenant: str, schedule: str) -> bool:
    """Have the schedule's boundaries to oneself until the transaction ends; False when another one has them."""
    return bool(await connection.fetchval(_Q["take_turn"], tenant, schedule))


@dataclass(frozen=True, slots=True)
class Step:
    """How a backfill went on: where it stands, and from when on it may go on."""

    position: datetime
    started_count: int = 0
    passed_count: int = 0
    run_count: int = 0
    next_start_at: datetime | None = None


async def advance(connection: Any, backfill_id: UUID, step: Step) -> None:
    await connection.execute(
        _Q["advance"], backfill_id, step.position, step.started_count, step.passed_count, step.run_count,
        step.next_start_at,
    )  # fmt: skip


async def finish(connection: Any, backfill_id: UUID, state: str, reason: str | None = None) -> bool:
    """End it as `done`, `cancelled` or `failed`; False when it has ended already."""
    return await connection.fetchval(_Q["finish"], backfill_id, state, reason) is not None


async def cancel_runs(connection: Any, backfill_id: UUID, actor: str) -> None:
    """Cancel the runs that have not ended."""
    for row in await connection.fetch(_Q["under_way"], backfill_id):
        await runs.finish(connection, row["id"], Outcome(RunState.CANCELLED, ended_by=actor))
