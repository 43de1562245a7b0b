"""Which pages follow a page, and the messages that say so."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from headwater.bus.port import Message
from headwater.bus.wire import to_message
from headwater.contracts.messages import PageDue
from headwater.contracts.pagination import Paged, pages_of
from headwater.fetcher.definitions import Known
from headwater.model.ids import derive_id, time_of
from headwater.store.ledger import PageKey

ALONE = 2**30  # no walk has a page so far behind another


def page_message(page: PageDue, *salt: object) -> Message:
    """`page.due` under its derived id."""
    identity = ("page.due", page.run_id, page.attempt, page.walk, page.number, *salt)
    return to_message(page, derive_id(time_of(page.run_id), *identity), page.tenant)


def key_of(due: PageDue) -> PageKey:
    return PageKey(due.run_id, due.attempt, due.walk, due.number)


def own_token(known: Known, due: PageDue) -> PageDue:
    """`due` with the token of its number: where pages are planned, any token of the walk tells that of every page."""
    planned = due.token.get("planned") or 0
    if not 2 <= due.number <= planned:
        return due
    return due.model_copy(update={"token": known.walk.token_at(due.token, due.number)})


def step_of(known: Known, due: PageDue) -> int:
    """How far apart the pages are that follow `due` one by one: several at once share a planned walk. ALONE where the
    page itself has to tell first.
    """
    paged = _paged(known)
    if paged is None or paged.parallel <= 1:
        return 1
    if due.number == 1:
        return ALONE
    return paged.parallel if due.token.get("planned") else 1


def planned_after(known: Known, due: PageDue) -> PageDue | None:
    """The page that whoever has `due` goes on to, where that is known before `due` is fetched."""
    paged = _paged(known)
    if paged is None or paged.delay_s or due.number == 1:
        return None
    number = due.number + paged.parallel
    if number > (due.token.get("planned") or 0):
        return None
    return due.model_copy(update={"number": number, "token": known.walk.token_at(due.token, number)})


def followers(
    known: Known,
    due: PageDue,
    next_token: Mapping[str, Any] | None,
    now: datetime,
    planned_next: PageDue | None = None,
) -> list[PageDue]:
    """The pages that are to be asked for once `due` was fetched; `next_token` is the token of its successor,
    `planned_next` what `planned_after` gave for it.

    One, where a page only tells the next. Where the first page told how many there are, as many as may be under way
    at once follow it, and each of those announces the one that far behind itself: a window that slides.
    """
    if next_token is None:
        return []
    paged = _paged(known)
    not_before = now + timedelta(seconds=paged.delay_s) if paged is not None and paged.delay_s else None
    planned = next_token.get("planned") or 0
    width = paged.parallel if paged is not None else 1
    if not planned:
        numbers = [due.number + 1]
    elif due.number == 1:
        numbers = list(range(2, min(width + 1, planned) + 1))
    elif planned_next is not None and planned_next.token["planned"] == planned:
        return [planned_next]
    else:
        numbers = [number for number in (due.number + width,) if number <= planned]
    return [
        due.model_copy(
            update={
                "number": number,
                "token": dict(next_token)
                if number == due.number + 1
                else known.walk.token_at(next_token, number),
                "not_before": not_before,
            }
        )
        for number in numbers
    ]


def _paged(known: Known) -> Paged | None:
    pagination = known.definition.stream.pagination
    pages = pages_of(pagination)
    return pages if isinstance(pages, Paged) else None
