"""Pages that can be asked for in any order: once the first page has told how many there are.

A planned token carries no history, so that it is the same whoever computes it: the number of the page decides it.
"""

from typing import Protocol, runtime_checkable

from headwater.contracts.pagination import Paged
from headwater.contracts.walking import Limits
from headwater.plugins.paginators import Paginator, Place, Progress
from headwater.plugins.walk.token import Token


@runtime_checkable
class Countable(Protocol):
    """A paginator that can tell the place of any page."""

    def at(self, number: int, step: int, /) -> Place: ...

    def page_count(self, total: int | None, total_pages: int | None, step: int, /) -> int | None: ...


def countable(paginator: Paginator, config: object) -> Countable | None:
    """`paginator` if its pages can be asked for in any order and the stream wants that."""
    if not isinstance(config, Paged) or config.parallel <= 1:
        return None
    return paginator if isinstance(paginator, Countable) else None


def planned_after_first(
    countable: Countable, first: Token, progress: Progress, digest: str, limits: Limits
) -> Token | None:
    """The token of page 2 of a planned walk, or None when there is nothing to plan."""
    step = progress.received
    if progress.number != 1 or step == 0:
        return None
    pages = countable.page_count(progress.total, progress.total_pages, step)
    last = min(pages or 0, limits.max_pages, -(-limits.max_records // step))
    if last <= 2:
        return None
    template = Token(
        first.place,
        progress,
        first_digest=digest,
        began_s=first.began_s,
        since=first.since,
        planned=last,
        step=step,
        parent=first.parent,
        level=first.level,
        until=first.until,
        since_id=first.since_id,
        seen=first.seen,
        columns=first.columns,
        kept=first.kept,
    )
    return token_at(countable, template, 2)


def token_at(countable: Countable, planned: Token, number: int) -> Token:
    """The token of page `number` (2 to `planned.planned`) of the walk that `planned` belongs to."""
    before = number - 1
    progress = planned.progress._replace(
        number=before,
        received=before * planned.step,
        last_count=planned.step,
        largest=planned.step,
        empty_count=0,
    )
    return planned._replace(place=countable.at(number, planned.step), progress=progress, last_digest="")
