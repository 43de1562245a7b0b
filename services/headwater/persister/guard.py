"""Pages of one walk with equal records: the API leads in a circle, whatever its tokens say (DESIGN.md §7).

The page that came last in the walk is the loop: the walk ends there, unless the API itself said that the page is its
last. Of equal pages one is loaded; only loads at the very same time may not see one another. Planned pages, which come
in any order, are compared when the run closes (`progress.py`).
"""

from collections import defaultdict
from collections.abc import Sequence
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
    digests = [
        (key, bytes.fromhex(batch.content_digest))
        for key, batch, _ in work
        if batch.content_digest and not batch.token.get("planned")
    ]
    if not digests:
        return Loops()
    settled = await ledger.same_content(connection, digests)
    reasons = {key: batch.stop_reason for key, batch, _ in work}
    fresh = [Content(key, digest, reasons[key]) for key, digest in digests]
    return _loops(settled, fresh)


def _loops(settled: Sequence[Content], fresh: Sequence[Content]) -> Loops:
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
        loops.first[walk] = min(last.key.number, loops.first.get(walk, last.key.number))
        has_rows = any(is_there and one.stop_reason not in _BARE for one, is_there in pages)
        fresh_ones = [page.key for page, is_there in pages if not is_there]
        loops.repeated.update(fresh_ones if has_rows else fresh_ones[1:])
    return loops
