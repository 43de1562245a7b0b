"""Runs of due schedules: made and, where nothing stands in their way, admitted by the same statement (DESIGN.md §2.8).

Admission by the relay stays the net for all others: those whose stream is busy, that are under a limit, or that wait.
Many of them are alike but for their names: what they have in common is told to the database once.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from headwater.model.ids import EPOCH, TimedIds, to_millisecond
from headwater.model.run import RunState
from headwater.store import runs
from headwater.store.queries import as_text, queries
from headwater.store.runs import NewRun

_Q = queries("runs")
_DAY = timedelta(days=1)
Row = Mapping[str, Any]


class Kind(NamedTuple):
    """What runs of one due time have in common: the fields of `NewRun`, in the order in which the query takes them.

    `parked_until`: they wait until then, for `waits_for`. `may_go`: nothing of the schedule's own keeps them.
    """

    tenant: str
    due_at: datetime
    mode: str
    force: bool
    parameters: str  # JSON
    attempts_max: int
    retry: str | None  # JSON
    timeout_s: float | None
    others: int | None
    at_once: int | None
    supersedes: bool
    skip_reason: str | None = None
    parked_until: datetime | None = None
    waits_for: str | None = None
    may_go: bool = True


class Start(NamedTuple):
    """A run to be."""

    kind: Kind
    id: str
    source: str
    stream: str
    schedule: str


def kind_of(run: NewRun, *, may_go: bool) -> Kind:
    """What a schedule's run has in common with others of its due time."""
    overlap = run.overlap
    return Kind(
        tenant=run.tenant,
        due_at=to_millisecond(run.due_at),
        mode=run.mode,
        force=run.force,
        parameters=runs.json_text(run.parameters) or "{}",
        attempts_max=run.attempts_max,
        retry=None if run.retry is None else runs.json_text(run.retry.to_plain()),
        timeout_s=run.timeout_s,
        others=None if overlap is None else overlap.others,
        at_once=run.at_once,
        supersedes=overlap is not None and overlap.kind == "cancel_other",
        skip_reason=run.skip_reason,
        may_go=may_go and run.skip_reason is None,
    )


def start_of(kind: Kind, schedule: str, source: str, stream: str) -> Start:
    """The run of one stream; its id is that of the `NewRun`."""
    run_id = _ids(kind.due_at, kind.tenant).text(schedule, "", source, stream, 1)
    return Start(kind, run_id, source, stream, schedule)


@lru_cache(maxsize=1024)
def _ids(due_at: datetime, tenant: str) -> TimedIds:
    return TimedIds(due_at, "run", tenant)


async def open_since(connection: Any, now: datetime) -> datetime:
    """A moment before which no run is due that has not ended: a day ago, unless there are older ones.

    Every day that is kept is a partition to be looked into for each run that starts.
    """
    since = now - _DAY
    is_older = await connection.fetchval(_Q["open_before"], since)
    return EPOCH if is_older else since


async def get_ready(connection: Any, now: datetime) -> None:
    """Have the statements planned before somebody waits for them: as for a firing of no schedule."""
    columns: list[list[Any]] = [[] for _ in Kind._fields]
    await connection.fetch(_Q["start_many"], *[""] * 5, *columns, now, now)
    await connection.execute(_Q["mark_published"], now, now, [], [], 1, 0.0)
    await open_since(connection, now)


async def start_many(
    connection: Any, new: Sequence[Start], now: datetime, since: datetime, *, may_go: bool
) -> list[Row]:
    """Insert runs that do not overlap one another, unless they are there already; gives those that go now.

    Each as id, attempt, tenant and stream_version. `since`: see `open_since`. `may_go` False: none of them does.
    """
    if not new:
        return []
    places: dict[Kind, int] = {}
    place_of = [str(places.setdefault(start.kind, len(places) + 1)) for start in new]
    columns = [list(column) for column in zip(*places, strict=True)]
    if not may_go:
        columns[-1] = [False] * len(places)
    _, ids, *names = zip(*new, strict=True)
    rows = await connection.fetch(
        _Q["start_many"], *map(as_text, (ids, *names, place_of)), *columns, since, now + _DAY
    )
    if len(rows) < len(new):
        made = {str(row["id"]) for row in rows}
        await connection.execute(_Q["release_vain"], [run_id for run_id in ids if run_id not in made])
    for row in rows:
        if row["state"] == RunState.SKIPPED:
            await runs.conclude(connection, row["due_at"], row["id"])
    return [row for row in rows if row["stream_version"] is not None]
