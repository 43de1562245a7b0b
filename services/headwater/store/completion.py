"""When walks and runs are complete: what loads did for them, their ends, the chain of their pages (DESIGN.md §2.4)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from headwater.model.ids import time_of
from headwater.store import children, runs, slices
from headwater.store.ledger import PageKey
from headwater.store.queries import queries

_Q = queries("pages")


@dataclass(frozen=True, slots=True)
class WalkAdvance:
    """What one load did for one walk. `last_number` is set when it found the end, `resume` when that was a limit.

    `highest` and `below` are the two highest cursor values of the walk so far. `shortfall` is the warning which says
    that it brought less than there is.
    """

    settled: int
    records: int
    last_number: int | None
    stop_reason: str | None
    highest: Any = None
    below: Any = None
    resume: Mapping[str, Any] | None = None
    shortfall: str | None = None


async def advance_walk(
    connection: Any, run_id: UUID, attempt: int, walk: int, advance: WalkAdvance
) -> int | None:
    """Write down what a load did for the walk; gives the number of its last page, None when that is not known yet."""
    return await connection.fetchval(  # type: ignore[no-any-return]
        _Q["advance_walk"], time_of(run_id), run_id, attempt, walk, advance.settled, advance.records,
        advance.last_number, advance.stop_reason, advance.highest, advance.below, advance.resume,
        advance.shortfall,
    )  # fmt: skip


async def walk_marks(connection: Any, run_id: UUID, attempt: int, walk: int) -> list[Any]:
    """The two highest cursor values of the walk so far; the walk's row stays locked."""
    row = await connection.fetchrow(_Q["lock_walk"], time_of(run_id), run_id, attempt, walk)
    return [] if row is None else [mark for mark in row if mark is not None]


async def advance_run(
    connection: Any, run_id: UUID, attempt: int, counts: Mapping[str, int], warnings: Sequence[str]
) -> bool:
    """Add to the run's counts; False when it no longer runs in this attempt: the load must be undone."""
    names = ("pages", "requests", "received", "inserted", "updated", "unchanged", "rejected")
    values = [counts.get(name, 0) for name in names]
    row = await connection.fetchrow(
        _Q["advance_run"], time_of(run_id), run_id, attempt, *values, list(warnings)
    )
    return row is not None


async def is_complete(connection: Any, run_id: UUID, attempt: int) -> bool:
    """Whether every walk of the attempt has settled every page up to its last."""
    return bool(await connection.fetchval(_Q["is_complete"], time_of(run_id), run_id, attempt))


async def owe_close_if_complete(connection: Any, run_id: UUID, attempt: int, tenant: str) -> bool:
    """Owe `run.close` when every walk is settled to its end. Call it with the run's row locked by `advance_run`."""
    if not await is_complete(connection, run_id, attempt):
        return False
    await runs.owe_close(connection, run_id, attempt, tenant)
    return True


async def end_walk(
    connection: Any,
    key: PageKey,
    tenant: str,
    stop_reason: str,
    warnings: Sequence[str],
    resume: Mapping[str, Any] | None = None,
    *,
    is_slice: bool = False,
) -> bool:
    """End the walk before page `key.number`, which never comes (loop; limit: `resume` is its token then; a slice that
    failed: `resume` says why).

    False when the run no longer runs, or the walk is past that page already.
    """
    await walk_marks(connection, key.run_id, key.attempt, key.walk)
    if await connection.fetchval(_Q["has_settled_from"], *key.values):
        return False
    advance = WalkAdvance(0, 0, key.number - 1, stop_reason, resume=resume)
    await advance_walk(connection, key.run_id, key.attempt, key.walk, advance)
    if not await advance_run(connection, key.run_id, key.attempt, {}, warnings):
        return False
    if is_slice:
        await slices.go_on(connection, key.run_id, key.attempt, tenant)
    else:
        await children.open_waiting(connection, key.run_id, key.attempt, tenant)
    await owe_close_if_complete(connection, key.run_id, key.attempt, tenant)
    return True


async def walks(connection: Any, run_id: UUID, attempt: int) -> Sequence[Mapping[str, Any]]:
    return await connection.fetch(_Q["walks"], time_of(run_id), run_id, attempt)  # type: ignore[no-any-return]


async def planned_alike(connection: Any, run_id: UUID, attempt: int) -> bool:
    """Whether pages of one walk, all of which are planned, hold the very same records."""
    return bool(await connection.fetchval(_Q["planned_alike"], time_of(run_id), run_id, attempt))


async def chain_break(connection: Any, run_id: UUID, attempt: int) -> tuple[int, int] | None:
    """(walk, page) of the first page whose token is not what its predecessor announced; None when the chain holds."""
    row = await connection.fetchrow(_Q["chain_breaks"], time_of(run_id), run_id, attempt)
    return None if row is None else (row["walk"], row["number"])
