"""Tables that attempts load into before they close, how runs load, and what is kept of answers without a table."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from headwater.model.ids import time_of
from headwater.store.ledger import PageKey
from headwater.store.queries import queries

_Q = queries("staging")


@dataclass(frozen=True, slots=True)
class Manner:
    """How the attempt of a run loads: what it was asked for, and whether it reads only what is new."""

    mode: str
    force: bool
    has_cursor: bool

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Manner":
        return cls(row["mode"], row["force"], row["has_cursor"])


async def note(connection: Any, run_id: UUID, attempt: int, tenant: str) -> None:
    """Write down that the attempt makes tables of its own; before it does."""
    await connection.execute(_Q["note"], time_of(run_id), run_id, attempt, tenant)


async def forget(connection: Any, run_id: UUID, attempt: int) -> None:
    """The tables of the attempt are gone."""
    await connection.execute(_Q["forget"], time_of(run_id), run_id, attempt)


async def take_abandoned(connection: Any, limit: int) -> Sequence[Mapping[str, Any]]:
    """Attempts that ended and left tables, locked until the transaction ends."""
    return await connection.fetch(_Q["take_abandoned"], limit)  # type: ignore[no-any-return]


async def manners(connection: Any, run_ids: Iterable[UUID]) -> dict[tuple[UUID, int], Manner]:
    """How these runs load, by run and attempt; those that do not run any more are missing."""
    wanted = sorted(set(run_ids))
    rows = await connection.fetch(_Q["manners"], [time_of(run_id) for run_id in wanted], wanted)
    return {(row["id"], row["attempt"]): Manner.of(row) for row in rows if row["is_running"]}


async def add_deleted(connection: Any, run_id: UUID, count: int) -> None:
    """Rows that a load of the run took away."""
    await connection.execute(_Q["add_deleted"], time_of(run_id), run_id, count)


async def keep_sample(connection: Any, key: PageKey, sample: str) -> None:
    """The beginning of a page's answer, secrets starred out."""
    await connection.execute(_Q["keep_sample"], *key.values, sample.replace("\0", " "))
