"""Pages of one walk with equal records: the API leads in a circle, whatever its tokens say (DESIGN.md §7).

The page that came last in the walk is the loop: the walk ends there, unless the API itself said that the page is its
last. Of equal pages one is loaded: loads of them wait for one another. Planned pages, which come in any order, end
nothing: that some are equal is told when the run closes (`progress.py`). Where records have a key these are not even
looked for before.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from headwater.contracts.messages import BatchReady
from headwater.contracts.source import StreamDefinition
from headwater.model.run import StopReason
from headwater.store import ledger
from headwater.store.ledger import Content, PageKey

WARNING_LOOP = "pagination_loop"
WalkKey = tuple[UUID, int, int]
Work = tuple[PageKey, BatchReady, StreamDefinition]
_BY_KEY = frozenset({"merge", "delete_insert", "scd2"})
_SAID = frozenset({StopReason.HAS_MORE_FALSE.value, StopReason.CURSOR_END.value})
# pages that the walk itself found to be repeated end with these: they came without records
_BARE = frozenset({StopReason.LOOP.value, StopReason.SHORT_PAGE.value})


@dataclass(slots=True)
class Loops:
    """`first`: by walk, the number of the first page that is a loop. `repeated`: pages whose records are there."""

    first: dict[WalkKey, int] = field(default_factory=dict)
    repeated: set[PageKey] = field(default_factory=set)

    def of_run(self, run_id: UUID, attempt: int) -> bool:
        return any(walk[:2] == (run_id, attempt) for walk in self.first)


async def find_loops(connection: Any, work: Sequence[Work]) -> Loops:
    """Which pages of `work` repeat pages that have settled, or one another."""
    planned = {key for key, batch, _ in work if batch.token.get("planned")}
    digests = [
        (key, bytes.fromhex(batch.content_digest))
        for key, batch, definition in work
        if batch.content_digest and (key not in planned or _adds(definition))
    ]
    if not digests:
        return Loops()
    await ledger.hold_contents(connection, digests)
    settled = await ledger.same_content(connection, digests)
    reasons = {key: batch.stop_reason for key, batch, _ in work}
    fresh = [Content(key, digest, reasons[key]) for key, digest in digests]
    return _loops(settled, fresh, planned)


def _adds(definition: StreamDefinition) -> bool:
    """Whether a record that comes twice is there twice."""
    return definition.stream.destination is not None and definition.stream.destination.mode not in _BY_KEY


def _loops(settled: Sequence[Content], fresh: Sequence[Content], planned: Collection[PageKey]) -> Loops:
    alike: dict[tuple[WalkKey, bytes], list[tuple[Content, bool]]] = defaultdict(list)
    for contents, is_there in ((settled, True), (fresh, False)):
        for one in contents:
            walk = (one.key.run_id, one.key.attempt, one.key.walk)
            alike[walk, one.digest].append((one, is_there))
    loops = Loops()
    for (walk, _), pages in alike.items():
        pages.sort(key=lambda page: page[0].key.number)
        last = pages[-1][0]
        if len(pages) == 1 or last.stop_reason in _SAID:
            continue
        if not any(page.key in planned for page, _ in pages):
            loops.first[walk] = min(last.key.number, loops.first.get(walk, last.key.number))
        has_rows = any(is_there and one.stop_reason not in _BARE for one, is_there in pages)
        fresh_ones = [page.key for page, is_there in pages if not is_there]
        loops.repeated.update(fresh_ones if has_rows else fresh_ones[1:])
    return loops
