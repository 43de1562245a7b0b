"""Admission: which of the waiting runs go now (DESIGN.md §2.8). Level-triggered: a missed look mends itself."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from headwater.model.run import RunState
from headwater.store import runs
from headwater.store.queries import queries
from headwater.store.runs import Outcome

_Q = queries("runs")
Row = Mapping[str, Any]


async def owed(connection: Any, grace_s: float, published_until: datetime) -> Row:
    """What a round of the relay finds to do: see the query. `published_until`: earlier admissions are published."""
    return await connection.fetchrow(_Q["owed"], grace_s, published_until)  # type: ignore[no-any-return]


async def admit(connection: Any, limit: int) -> Sequence[Row]:
    """Let waiting runs go as far as streams and limits allow; gives these. None when another relay is at it.

    Each as id, attempt, tenant and stream_version.
    """
    if not await connection.fetchval(_Q["lock_admission"]):
        return []
    chosen = choose(await connection.fetch(_Q["waiting"], limit))
    if not chosen:
        return []
    columns = [
        [row["due_at"] for row in chosen], [row["id"] for row in chosen], [row["tenant"] for row in chosen],
        [row["source"] for row in chosen], [row["stream"] for row in chosen],
        [row["at_once"] is not None for row in chosen], [row["version_id"] for row in chosen],
    ]  # fmt: skip
    admitted: Sequence[Row] = await connection.fetch(_Q["admit"], *columns)
    if len(admitted) < len(chosen):  # cancelled meanwhile
        gone = {row["id"] for row in admitted}
        vain = [row["id"] for row in chosen if row["id"] not in gone]
        await connection.execute(_Q["release_slots"], vain)
    return admitted


def choose(waiting: Iterable[Row]) -> list[Row]:
    """Of runs that may go as things stand, those that may go together; the earlier one first."""
    streams: set[tuple[str, ...]] = set()
    more: Counter[tuple[object, ...]] = Counter()
    chosen: list[Row] = []
    for row in waiting:
        stream = (row["tenant"], row["source"], row["stream"])
        limits = _limits(row)
        if any(busy + more[group] >= most for group, busy, most in limits):
            continue
        if row["at_once"] is None:
            if stream in streams:
                continue
            streams.add(stream)
        more.update(group for group, _, _ in limits)
        chosen.append(row)
    return chosen


def _limits(row: Row) -> list[tuple[tuple[object, ...], int, int]]:
    """The limits that the run is under: whose, how many run, how many may. All of a group are under its limit."""
    tenant, schedule = row["tenant"], row["schedule"]
    kind = ("kind", tenant, row["source"], row["stream"], schedule, row["backfill_id"])
    found: tuple[tuple[tuple[object, ...], int, int | None], ...] = (
        (kind, row["kind_busy"], row["at_once"]),
        (("schedule", tenant, schedule), row["schedule_busy"], row["schedule_most"]),
        (("source", tenant, row["source"]), row["source_busy"], row["source_most"]),
        (("tenant", tenant), row["tenant_busy"], row["tenant_most"]),
    )
    return [(group, busy, most) for group, busy, most in found if most is not None]


async def supersede(connection: Any) -> int:
    """Cancel runs whose place a newer one of their schedule is to take (overlap `cancel_other`); gives how many."""
    ended = 0
    for row in await connection.fetch(_Q["superseded"]):
        why = f"run {row['successor_id']} of the same schedule takes its place"
        outcome = Outcome(
            RunState.CANCELLED, error_kind="overlap", error_message=why, ended_by="overlap: cancel_other"
        )
        ended += await runs.finish(connection, row["id"], outcome)
    return ended


async def end_overdue(connection: Any) -> int:
    """Fail runs whose deadline has passed, also those that wait; gives how many."""
    ended = 0
    for row in await connection.fetch(_Q["overdue"]):
        why = f"the run did not end within its {row['timeout_s']:g} s (timeout_s)"
        if row["error_message"] is not None:
            why += f"; what it met last: {row['error_kind']}: {row['error_message']}"
        outcome = Outcome(RunState.FAILED, "error", (), "deadline", why, ended_by="deadline")
        ended += await runs.finish(connection, row["id"], outcome)
    return ended
