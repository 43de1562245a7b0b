"""What the pages of one load come to: for their walks, and for the counts of their runs. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from headwater.contracts.messages import BatchReady
from headwater.contracts.source import StreamDefinition
from headwater.model.run import StopReason
from headwater.persister.bodies import Work
from headwater.persister.children import is_of_parent
from headwater.plugins.destinations import Loaded
from headwater.plugins.paginators.base import WARNING_CURSOR_ABSENT, WARNING_TOTAL
from headwater.plugins.walk.boundary import joined, value_of
from headwater.plugins.walk.cursor import order_of
from headwater.plugins.walk.hidden import WARNING_GRAPHQL
from headwater.plugins.walk.judge import WARNING_PART
from headwater.plugins.walk.token import token_digest
from headwater.store.completion import WalkAdvance
from headwater.store.ledger import PageKey, Settled


def grouped(work: Sequence[Work], by: Any) -> list[tuple[Any, list[Work]]]:
    """The work by key, in key order: the order in which every loader locks."""
    groups: dict[Any, list[Work]] = defaultdict(list)
    for item in work:
        groups[by(item[0])].append(item)
    return sorted(groups.items(), key=lambda pair: pair[0])


SHORTFALLS = frozenset({WARNING_TOTAL, WARNING_CURSOR_ABSENT, WARNING_GRAPHQL, WARNING_PART})


def _shortfall(items: Sequence[Work]) -> str | None:
    """The warning which says that the walk brought less than there is. Where rows are added it counts for nothing: what
    came must not come again.
    """
    found = {
        warning.partition(":")[0]
        for _, batch, definition in items
        if definition.stream.destination is None or definition.stream.destination.mode != "append"
        for warning in batch.warnings
    }
    return min(SHORTFALLS & found, default=None)


def walk_advance(items: Sequence[Work], known: Sequence[Any], loop: int | None) -> WalkAdvance:
    """What the pages do for their walk. `known` are its highest marks so far, `loop` a page of it that repeats another.

    Of several ends the first one counts.
    """
    ends = [
        (key.number, batch.stop_reason, batch.resume_token)
        for key, batch, _ in items
        if batch.next_token is None
    ]
    if loop is not None:
        ends.append((loop, StopReason.LOOP.value, None))
    last_number, stop_reason, resume = min(ends, key=lambda end: end[0], default=(None, None, None))
    found = [mark for _, batch, _ in items for mark in (batch.highest, batch.below)]
    highest, below = _two_highest([*known, *found])
    if any(_has_token(definition) for _, _, definition in items):  # of which none is higher than another
        highest, below = next((mark for mark in found if mark is not None), known[0] if known else None), None
    return WalkAdvance(
        settled=len(items),
        records=sum(batch.received for _, batch, _ in items),
        last_number=last_number,
        stop_reason=stop_reason,
        highest=highest,
        below=below,
        resume=resume,
        shortfall=_shortfall(items),
    )


def _has_token(definition: StreamDefinition) -> bool:
    rule = definition.stream.cursor_rule
    return rule is not None and rule.is_token


def _two_highest(marks: Iterable[Any]) -> tuple[Any, Any]:
    """The highest mark and the highest one below it; None where there is none."""
    by_order: dict[Any, list[Any]] = defaultdict(list)
    for mark in marks:
        if mark is not None:
            by_order[order_of(value_of(mark))].append(mark)
    top = [joined(by_order[order]) for order in sorted(by_order, reverse=True)[:2]]
    return top[0] if top else None, top[1] if len(top) > 1 else None


def run_counts(items: Sequence[Work], loaded: Loaded, run_id: UUID) -> dict[str, int]:
    became = loaded.by_run.get(run_id)
    selected_out = sum(len(batch.rejected) for _, batch, _ in items)
    own = [batch for _, batch, definition in items if not is_of_parent(batch, definition)]
    counts = {
        "pages": len(items),
        "requests": sum(batch.requests for _, batch, _ in items),
        "received": sum(batch.received for batch in own),
        "rejected": selected_out,
    }
    if became is not None:
        counts["inserted"] = became.inserted
        counts["updated"] = became.updated
        counts["unchanged"] = became.unchanged + became.deduplicated
        counts["rejected"] += became.rejected
        counts["deleted"] = became.deleted
    return {"inserted": 0, "updated": 0, "unchanged": 0, "deleted": 0, **counts}


def settled(key: PageKey, batch: BatchReady, rejected: int) -> Settled:
    """What the ledger keeps of a page, of which so many records were rejected."""
    following = batch.next_token
    return Settled(
        key,
        following,
        None if following is None else token_digest(following),
        batch.stop_reason,
        batch.status,
        batch.body_bytes,
        batch.received,
        rejected,
        bytes.fromhex(batch.content_digest) if batch.content_digest else None,
    )
