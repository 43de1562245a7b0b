"""The limits of a run that walks slices of time side by side: each walk counts for itself, here all do together.

A page that crosses a limit is not loaded: its walk ends before it, and the next run goes on there. Where nothing else
was loaded the page is cut instead, so that there is progress.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from headwater.model.run import StopReason
from headwater.persister.bodies import Work
from headwater.plugins.destinations import Batch
from headwater.plugins.paginators.base import WARNING_LIMIT
from headwater.plugins.walk.token import is_slice
from headwater.store import completion, slices
from headwater.store.database import Database
from headwater.store.ledger import PageKey

_CLOSE = (
    64  # loads of this size: so many may be under way beside this one, and a limit is far from all of them
)


class BeyondError(Exception):
    """Pages lie beyond a limit of their runs: undo, end their walks before them, and load the others."""

    def __init__(self, work: Sequence[Work]) -> None:
        super().__init__(f"{len(work)} pages are beyond a limit")
        self.work = work


@dataclass(frozen=True, slots=True)
class _Room:
    """What a run may still load."""

    pages: int
    records: int
    is_whole: bool  # nothing was loaded yet

    def fits(self, records: int) -> bool:
        return self.pages > 0 and records <= self.records

    def is_far(self, pages: int, records: int) -> bool:
        return self.pages >= _CLOSE * pages and self.records >= _CLOSE * max(records, 1)


async def within_limits(
    connection: Any, work: Sequence[Work], batches: Mapping[PageKey, Batch], kept: Collection[PageKey] = ()
) -> tuple[list[Work], Mapping[PageKey, Batch]]:
    """The pages of slices that the limits of their runs leave, in the transaction that loads them; others as they are.

    Pages in `kept` are loaded all the same. Raises: BeyondError.
    """
    if not any(is_slice(batch.token) for _, batch, _ in work):
        return list(work), batches
    found, cut = list(work), dict(batches)
    beyond: dict[tuple[UUID, int, int], Work] = {}  # the first of each walk
    for run_id in sorted({key.run_id for key, batch, _ in work if is_slice(batch.token)}):
        own = [place for place, item in enumerate(found) if item[0].run_id == run_id]
        room = await _room(connection, run_id, [found[place] for place in own])
        for place in own:
            key, batch, definition = found[place]
            of_walk = (run_id, key.attempt, key.walk)
            if key in kept or (of_walk not in beyond and room.fits(batch.received)):
                room = _Room(room.pages - 1, room.records - batch.received, is_whole=False)
            elif room.is_whole and of_walk not in beyond:
                cut[key] = replace(cut[key], records=cut[key].records[: room.records])
                found[place] = (key, _last(batch), definition)
                room = _Room(0, 0, is_whole=False)
            else:
                beyond.setdefault(of_walk, found[place])
    if beyond:
        raise BeyondError(list(beyond.values()))
    return found, cut


async def _room(connection: Any, run_id: UUID, work: Sequence[Work]) -> _Room:
    """What the run may still load. Near its limits its loads wait for one another here, so that none passes them."""
    limits = work[0][2].stream.limits
    room = _Room(*await slices.room(connection, run_id, limits.max_pages, limits.max_records))
    if room.is_far(len(work), sum(batch.received for _, batch, _ in work)):
        return room
    await slices.one_by_one(connection, run_id)
    return _Room(*await slices.room(connection, run_id, limits.max_pages, limits.max_records))


def _last(batch: Any) -> Any:
    """The page as the last of its walk, at which the next run goes on."""
    return batch.model_copy(
        update={
            "next_token": None,
            "stop_reason": StopReason.LIMIT.value,
            "warnings": (*batch.warnings, WARNING_LIMIT),
            "resume_token": batch.token,
        }
    )


async def end_before(database: Database, work: Sequence[Work]) -> set[PageKey]:
    """End the walks before pages that lie beyond a limit; gives those that cannot be left out, since pages behind them
    are in their tables.
    """
    kept: set[PageKey] = set()
    for key, batch, _ in work:
        async with database.transaction() as connection:
            is_ended = await completion.end_walk(
                connection,
                key,
                batch.tenant,
                StopReason.LIMIT.value,
                [WARNING_LIMIT],
                batch.token,
                is_slice=True,
            )
        if not is_ended:
            kept.add(key)
    return kept
