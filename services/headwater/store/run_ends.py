"""What the ends of a schedule's runs come to: counts, failures in a row. A row of each end's commit (§2.1)."""

from collections.abc import Mapping, Sequence
from typing import Any

from headwater.store.queries import queries

_Q = queries("run_ends")
Row = Mapping[str, Any]


async def lock(connection: Any) -> bool:
    """Whether this transaction alone counts."""
    return bool(await connection.fetchval(_Q["lock"]))


async def take(connection: Any, limit: int) -> Sequence[Row]:
    """Ends that are not counted yet, oldest first; they count as soon as the transaction commits."""
    return await connection.fetch(_Q["take"], limit)  # type: ignore[no-any-return]


async def count(connection: Any, ends: Sequence[Row]) -> None:
    """Add them to their schedules' records."""
    names = ("tenant", "schedule", "state", "finished_at")
    await connection.execute(_Q["count"], *([end[name] for end in ends] for name in names))


async def firings(connection: Any, ends: Sequence[Row]) -> Sequence[Row]:
    """The firings that ended with them, in order: `run_ids`, `states`, `runs`, `ended_at`, `error`."""
    keys = {
        (end["tenant"], end["schedule"], end["run_at"], end["generation"])
        for end in ends
        if end["backfill_id"] is None
    }
    if not keys:
        return []
    return await connection.fetch(  # type: ignore[no-any-return]
        _Q["firings"], *(list(column) for column in zip(*sorted(keys), strict=True))
    )


async def fail_again(connection: Any, more: Mapping[tuple[str, str], tuple[int, bool]]) -> Sequence[Row]:
    """Count failures in a row by (tenant, schedule): how many more, and whether a success came before them.

    Gives tenant, schedule, consecutive_failures and is_too_often of each.
    """
    if not more:
        return []
    rows = sorted((*of, count, is_anew) for of, (count, is_anew) in more.items())
    return await connection.fetch(  # type: ignore[no-any-return]
        _Q["fail_again"], *(list(column) for column in zip(*rows, strict=True))
    )


async def auto_disable(connection: Any, tenant: str, schedule: str, reason: str) -> bool:
    """Stop the schedule, since it fails again and again; False when it does not run anyway."""
    return await connection.fetchval(_Q["auto_disable"], tenant, schedule, reason[:1000]) is not None


async def reset(connection: Any, tenant: str, schedule: str) -> None:
    """Forget the failures in a row."""
    await connection.execute(_Q["reset"], tenant, schedule)
