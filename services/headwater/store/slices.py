"""The walks of a run for slices of time: some are under way at once, the others wait for their turn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from headwater.contracts.codec import dumps
from headwater.model.ids import time_of
from headwater.model.run import StopReason
from headwater.store import children
from headwater.store.queries import queries

_Q = queries("slices")
MOST_FAILED = 5  # slices of a run that do not come through; then the API is rather away, and the others wait


@dataclass(frozen=True, slots=True)
class Most:
    """What the slices of a run may take together."""

    pages: int
    records: int
    seconds: int


async def insert(
    connection: Any,
    run_id: UUID,
    attempt: int,
    tenant: str,
    at_once: int,
    slices: Sequence[tuple[Mapping[str, Any], Mapping[str, str]]],
) -> list[tuple[int, Mapping[str, Any]]]:
    """Make the walks, unless the attempt has some, each with its first token and what people see of it; gives those
    that go at once. The run's row is locked by this transaction.
    """
    at = time_of(run_id)
    await connection.execute(
        _Q["insert"],
        at,
        run_id,
        attempt,
        tenant,
        at_once,
        [dumps(token).decode() for token, _ in slices],
        [dumps(bounds).decode() for _, bounds in slices],
    )
    rows = await connection.fetch(_Q["first"], at, run_id, attempt)
    return [(row["number"], row["first_token"]) for row in rows]


async def go_on(
    connection: Any, run_id: UUID, attempt: int, tenant: str, most: Most | None = None
) -> str | None:
    """Let the next slices go, where one came to its end; the run's row is locked by this transaction.

    None go any more when one met a limit, or all together took what `most` allows, or too many did not come through:
    then it gives the reason.
    """
    at = time_of(run_id)
    row = await connection.fetchrow(_Q["extent"], at, run_id, attempt)
    if not row["waiting_count"]:
        return None
    reason = _ending(row, most)
    if reason is None:
        await children.open_waiting(connection, run_id, attempt, tenant)
        return None
    await connection.execute(_Q["end_waiting"], at, run_id, attempt, reason.value)
    return reason.value


def _ending(row: Mapping[str, Any], most: Most | None) -> StopReason | None:
    is_over = most is not None and (
        row["pages"] >= most.pages or row["received"] >= most.records or row["seconds"] >= most.seconds
    )
    if row["has_met_limit"] or is_over:
        return StopReason.LIMIT
    return StopReason.ERROR if row["failed_count"] >= MOST_FAILED else None


async def are_alike(connection: Any, run_id: UUID, attempt: int) -> bool:
    """Whether several slices begin with the very same records, as where the API does not heed the bounds."""
    return bool(await connection.fetchval(_Q["are_alike"], time_of(run_id), run_id, attempt))


async def room(connection: Any, run_id: UUID, pages: int, records: int) -> tuple[int, int, bool]:
    """What a run that may load so many pages and records has left of them, and whether it has no record yet."""
    row = await connection.fetchrow(_Q["room"], time_of(run_id), run_id, pages, records)
    return row["pages"], row["records"], row["records"] == records


async def one_by_one(connection: Any, run_id: UUID) -> None:
    """Wait until no other load of the run is under way that waits here too; held to the end of the transaction."""
    await connection.execute(_Q["one_by_one"], run_id)


async def of_attempt(connection: Any, run_id: UUID, attempt: int) -> Sequence[Mapping[str, Any]]:
    """The slices of an attempt: number, parent (what people see), stop_reason, shortfall, record_count,
    highest, resume.
    """
    return await connection.fetch(_Q["list"], time_of(run_id), run_id, attempt)  # type: ignore[no-any-return]
