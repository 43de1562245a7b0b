"""Where a walk goes on behind a page: the paginator's word, what is known already, loops, limits; and its token."""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

from headwater.contracts.pagination import CursorPagination, Paged, Pages
from headwater.contracts.source import Stream
from headwater.model.run import StopReason
from headwater.plugins.expressions import compile_path
from headwater.plugins.paginators import Answer, Next, Paginator, Progress
from headwater.plugins.paginators.base import (
    WARNING_EXCEEDED,
    WARNING_LIMIT,
    WARNING_LOOP,
    WARNING_SHRANK,
    WARNING_TOTAL,
    is_met,
    is_short,
)
from headwater.plugins.walk.boundary import MOST_SEEN, digest_of
from headwater.plugins.walk.cursor import CursorField, is_mark, order_of
from headwater.plugins.walk.plan import countable, planned_after_first, token_at
from headwater.plugins.walk.select import NOTHING, Selected
from headwater.plugins.walk.token import Token

MOST_CUT = 2000  # digests of 8 bytes, in one token
WARNING_TIES = "keyset_ties"
WARNING_UNSORTED = "keyset_unsorted"
_NUMBER, _INSTANT = 1, 2  # as `order_of` has them
WARNING_ALONE = "parallel_unused"


class Onward:
    """The way on of one stream's walks."""

    def __init__(
        self, stream: Stream, pages: Pages, paginator: Paginator, cursor: CursorField | None
    ) -> None:
        self._paginator = paginator
        self._limits = stream.limits
        self._cursor = cursor
        self.countable = countable(paginator, stream.pagination)
        self._is_parallel = isinstance(pages, Paged) and pages.parallel > 1
        self._keeps_place = keeps_place(pages)
        self._by_position = pages.type == "offset"
        self._key = compile_path(pages.key_path) if pages.type == "keyset" else None

    def following(
        self, told: Token, answer: Answer, progress: Progress, selected: Selected
    ) -> tuple[Next, list[Any]]:
        """Where the walk goes on, and which records are new."""
        following = self._paginator.next(told.place, answer, progress)
        if following.is_void:
            return following, []
        records = selected.records
        known: list[Any] | None = None
        if self._cursor is not None and told.until is not None:
            records, is_past = self._cursor.within(records, told.since, told.until)
            known = records if is_past else None
        elif self._cursor is not None:
            known = self._cursor.known_from(records, told.since)
        if known is not None:
            records = known
            following = Next.stop(StopReason.WATERMARK) if following.place is not None else following
        # a repeated page is no end unless the API itself says so: counting would take it for progress
        is_said = following.stop_reason in {StopReason.HAS_MORE_FALSE, StopReason.CURSOR_END} or (
            following.stop_reason is StopReason.SHORT_PAGE and answer.again_count == answer.received_count
        )
        if not is_said and _is_repeated(told, selected):
            if is_met(told.progress_here):  # what lies behind the end is one of the pages again
                return Next.stop(StopReason.TOTAL_REACHED, WARNING_LOOP), []
            return _repeated(told, selected, answer, progress), []
        return following, records

    def again_count(self, told: Token, selected: Selected) -> int:
        """How many of the records are those of the key that the page was asked for by, and were on the page before."""
        if self._key is None or not told.edge:
            return 0
        key = told.place.get("at", told.place)["key"]
        return sum(self._key(one) == key and digest_of(one) in told.edge for one in selected.records)

    def limited(
        self,
        following: Next,
        records: list[Any],
        told: Token,
        progress: Progress,
        now: datetime,
        *,
        selected: Selected = NOTHING,
    ) -> tuple[Next, list[Any]]:
        """The limits that always apply: records, pages, seconds, empty pages in a row."""
        limits = self._limits
        surplus = progress.received - told.base_received - limits.max_records
        if surplus > 0 and told.edge:  # those that an earlier run took of this page are its first
            known_count = sum(digest_of(record) in told.edge for record in records)
            surplus -= known_count - self.again_count(told, selected)
        if following.stop_reason is StopReason.WATERMARK:  # what lies behind it is not taken
            surplus -= len(selected.records) - len(records)
        if surplus > 0:
            kept = records[: max(len(records) - surplus, 0)]
            return Next.stop(StopReason.LIMIT, WARNING_LIMIT), kept
        if following.place is None:
            return following, records
        if progress.empty_count >= self._paginator.facts.max_empty_pages:
            return Next.stop(StopReason.LOOP, WARNING_LOOP), records
        is_late = now.timestamp() - told.began_s >= limits.max_seconds
        if surplus == 0 or progress.number - told.base_number >= limits.max_pages or is_late:
            return Next.stop(StopReason.LIMIT, WARNING_LIMIT), records
        return following, records

    def doubts(self, told: Token, following: Next, progress: Progress) -> tuple[str, ...]:
        """Warnings about what the API says of the whole walk."""
        total = progress.highest_total or 0
        is_exceeded = 0 < total < progress.received
        is_first = progress.number == 1 and following.place is not None
        found = {
            WARNING_TOTAL: self._is_gap(told, following, progress),
            WARNING_EXCEEDED: is_exceeded and progress.last_count > 0 and following.place is not None,
            WARNING_SHRANK: not is_exceeded and _has_shrunk(told.progress, progress),
            WARNING_ALONE: is_first and self._is_uncounted(progress),
        }
        return tuple(code for code, is_there in found.items() if is_there)

    def _is_gap(self, told: Token, following: Next, progress: Progress) -> bool:
        """Whether a planned position was not filled, so that records may lie between it and the next one."""
        is_open = following.place is not None and progress.number < told.planned
        is_end = progress.total is not None and progress.received >= progress.total  # by the API's last word
        return is_open and progress.last_count < told.step and self._by_position and not is_end

    def _is_uncounted(self, progress: Progress) -> bool:
        """Whether pages are wanted side by side, and nothing tells how many there are."""
        if not self._is_parallel or progress.last_count == 0:
            return False
        told = (progress.total, progress.total_pages, progress.last_count)
        return self.countable is None or self.countable.page_count(*told) is None

    def of_key(self, told: Token, selected: Selected) -> tuple[str, ...]:
        """Warnings about a walk that goes on from the last record's key."""
        if self._key is None:
            return ()
        unsorted = _are_unsorted([self._key(record) for record in selected.records])
        return has_lost_ties(told, selected) + ((WARNING_UNSORTED,) if unsorted else ())

    def behind(self, told: Token, selected: Selected) -> Token:
        """`told` with what the page that follows must know of this one's records."""
        if self._key is not None and selected.records:
            keys = [self._key(record) for record in selected.records]
            there = [record for record, key in zip(selected.records, keys, strict=True) if key == keys[-1]]
            edge = tuple(sorted({digest_of(record) for record in there[-MOST_SEEN:]}))
            told = told._replace(edge=edge, has_ties=len(set(map(str, keys))) < len(keys))
        elif told.edge:  # what was loaded of the page at which an earlier run was cut
            told = told._replace(edge=(), has_ties=False)
        return told._replace(columns=selected.columns) if selected.columns else told

    def resume(
        self,
        told: Token,
        there: Next,
        following: Next,
        progress: Progress,
        selected: Selected,
        records: list[Any],
        new: list[Any],
    ) -> dict[str, Any] | None:
        """Where the next run goes on after a limit, which left `records` of what is `new` on the page. Nowhere, where
        the API would not give the page again.
        """
        if self._keeps_place:
            return None
        if len(records) < len(new):
            return resume_token(told, there, following, progress, records)
        return resume_token(self.behind(told, selected), there, following, progress)

    def token(
        self, told: Token, following: Next, progress: Progress, selected: Selected
    ) -> dict[str, Any] | None:
        told = self.behind(told, selected)
        if following.place is None or self.countable is None:
            return token_after(told, following, progress, selected)
        if progress.number < told.planned:
            return token_at(self.countable, told, progress.number + 1).to_wire()
        planned = planned_after_first(self.countable, told, progress, selected.digest, self._limits)
        return token_after(told, following, progress, selected) if planned is None else planned.to_wire()


def keeps_place(pages: Pages) -> bool:
    """Whether an answer of the API moves it on, so that no page can be asked for twice."""
    return isinstance(pages, CursorPagination) and pages.keeps_place


def _has_shrunk(before: Progress, progress: Progress) -> bool:
    """Whether the API names a smaller total than before: records may have moved to where the walk was already.

    0 is none, as many say on an empty page.
    """
    pairs = ((before.highest_total, progress.total), (before.highest_pages, progress.total_pages))
    return any(known is not None and told is not None and 0 < told < known for known, told in pairs)


def _are_unsorted(keys: Sequence[Any]) -> bool:
    """Whether numbers or instants go neither up nor down. Texts are left out: APIs have orders of their own there."""
    orders = [order_of(key) for key in keys if is_mark(key)]
    if {kind for kind, _ in orders} - {_NUMBER, _INSTANT} or len({kind for kind, _ in orders}) != 1:
        return False
    pairs = list(pairwise(orders))
    return not (all(one <= other for one, other in pairs) or all(one >= other for one, other in pairs))


def has_lost_ties(told: Token, selected: Selected) -> tuple[str, ...]:
    """A warning where the API goes on behind a key that records of the page before share: others may be left out."""
    if not told.has_ties or not selected.records:
        return ()
    return () if any(digest_of(one) in told.edge for one in selected.records) else (WARNING_TIES,)


def _is_repeated(told: Token, selected: Selected) -> bool:
    return bool(selected.digest) and selected.digest in {told.first_digest, told.last_digest}


def _repeated(told: Token, selected: Selected, answer: Answer, progress: Progress) -> Next:
    """The end of a walk that was shown a page again.

    Servers that are asked for a page past the end like to show the last one again: where that one was short
    it is known to be the last, and the walk is complete.
    """
    is_last = selected.digest == told.last_digest and is_short(answer, progress)
    return Next.stop(StopReason.SHORT_PAGE if is_last else StopReason.LOOP, WARNING_LOOP)


def token_after(
    told: Token, following: Next, progress: Progress, selected: Selected
) -> dict[str, Any] | None:
    if following.place is None:
        return None
    is_new_slice = following.place.get("so_far") == {}  # its pages may well be those of the slice before
    return told._replace(
        place=following.place,
        progress=progress,
        first_digest="" if is_new_slice else told.first_digest or selected.digest,
        last_digest="" if is_new_slice else selected.digest or told.last_digest,
        planned=0,
        step=0,
    ).to_wire()


def resume_token(
    told: Token, there: Next, following: Next, progress: Progress, cut: Sequence[Any] | None = None
) -> dict[str, Any] | None:
    """Where the next run goes on after a limit: at the page that follows, or at this one when it was cut to the records
    `cut`, which are known then.
    """
    if following.stop_reason is not StopReason.LIMIT:
        return None
    if cut is not None:
        edge = {*told.edge, *map(digest_of, cut)}
        return told._replace(edge=tuple(sorted(edge)) if len(edge) <= MOST_CUT else ()).to_wire()
    if there.place is None:
        return None
    at = told._replace(place=there.place, progress=progress, first_digest="", last_digest="", planned=0)
    return at._replace(began_s=0.0, base_number=0, base_received=0, step=0).to_wire()
