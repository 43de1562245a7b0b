"""Walks that count: no paging at all, offset and size, numbered pages."""

from typing import ClassVar

from headwater.contracts.pagination import NoPagination, OffsetPagination, Paged, PagePagination
from headwater.model.run import StopReason
from headwater.plugins.paginators.base import (
    WARNING_TOTAL,
    Answer,
    Asked,
    Begin,
    Facts,
    Next,
    Parameter,
    Place,
    Progress,
    after_status,
    ending,
    is_short,
)


class NonePaginator:
    """One request is the whole walk."""

    name: ClassVar = "none"
    Config: ClassVar = NoPagination

    def __init__(self, config: NoPagination) -> None:
        self._config = config
        self.facts = Facts()

    def first(self, _: Begin, /) -> Place:
        return {}

    def asked(self, _: Place) -> Asked:
        return Asked()

    def next(self, _place: Place, _answer: Answer, _progress: Progress, /) -> Next:
        return Next.stop(StopReason.CURSOR_END)

    def after_end(self, _: Place, reason: StopReason, _progress: Progress, /) -> Next:
        return Next.stop(reason)


class OffsetPaginator:
    """Position and size. It steps by what was received: servers give less than they are asked for."""

    name: ClassVar = "offset"
    Config: ClassVar = OffsetPagination

    def __init__(self, config: OffsetPagination) -> None:
        self._config = config
        self.facts = Facts(config)

    def first(self, _: Begin, /) -> Place:
        return {"offset": self._config.start}

    def asked(self, place: Place) -> Asked:
        size = place.get("size")  # set where pages are planned ahead, so that they neither overlap nor gape
        sizes = size_parameters(self._config, size)
        place_in, offset = self._config.place, place["offset"]
        last = Parameter(place_in, "", offset + (size or self._config.size) - 1, "last")
        return Asked((Parameter(place_in, self._config.offset_param, offset, "offset"), *sizes, last))

    def at(self, number: int, step: int) -> Place:
        """The place of page `number` when every page has `step` records."""
        return {"offset": self._config.start + (number - 1) * step, "size": step}

    def page_count(self, total: int | None, total_pages: int | None, step: int) -> int | None:
        """How many pages of `step` records there are by the API's own account; None when it gives none."""
        return total_pages if total is None else -(-(total - self._config.start) // step)

    def after_end(self, place: Place, reason: StopReason, progress: Progress, /) -> Next:
        return after_status(reason, progress._replace(received=place["offset"]))

    def next(self, place: Place, answer: Answer, progress: Progress, /) -> Next:
        position: int = place["offset"] + answer.received_count
        # a walk that begins at 1 may do so since there positions count from 1: only what lies behind `start` counts
        passed = progress._replace(received=position - self._config.start)
        reason = ending(self.facts, answer, passed, knows_cursor=False)
        if reason is StopReason.EMPTY_PAGE and answer.is_skipped:
            return Next({"offset": place["offset"] + self._step(progress)})
        if reason is StopReason.EMPTY_PAGE:
            return self._after_empty(place, progress)
        if reason is not None:
            return Next.stop(reason)
        if answer.received_count == 0:  # has_more says there is more behind this hole
            return Next({"offset": place["offset"] + self._step(progress)})
        if self._config.end_on_short_page and is_short(answer, progress):
            return Next.stop(StopReason.SHORT_PAGE)
        return Next({"offset": position})

    def _after_empty(self, place: Place, progress: Progress) -> Next:
        """An empty page is the end, unless the API's own total says that there is more behind it."""
        following = place["offset"] + self._step(progress)
        if progress.total is None and progress.number < (progress.total_pages or 0):
            return Next({"offset": following})
        if progress.total is None or place["offset"] >= progress.total:
            return Next.stop(StopReason.EMPTY_PAGE)
        if following >= progress.total:
            return Next.stop(StopReason.EMPTY_PAGE, WARNING_TOTAL)
        return Next({"offset": following})

    def _step(self, progress: Progress) -> int:
        return progress.largest or self._config.size


class PagePaginator:
    """Numbered pages."""

    name: ClassVar = "page"
    Config: ClassVar = PagePagination

    def __init__(self, config: PagePagination) -> None:
        self._config = config
        self.facts = Facts(config)

    def first(self, _: Begin, /) -> Place:
        return {"page": self._config.start}

    def asked(self, place: Place) -> Asked:
        sizes = size_parameters(self._config)
        return Asked((Parameter(self._config.place, self._config.page_param, place["page"], "page"), *sizes))

    def at(self, number: int, _step: int) -> Place:
        """The place of page `number`."""
        return {"page": self._config.start + number - 1}

    def page_count(self, total: int | None, total_pages: int | None, step: int) -> int | None:
        """How many pages there are by the API's own account; None when it gives none."""
        return total_pages or (None if total is None else -(-total // step))

    def after_end(self, _: Place, reason: StopReason, progress: Progress, /) -> Next:
        is_short_of = progress.number <= (_pages_told(progress) or 0)
        return Next.stop(reason, *((WARNING_TOTAL,) if is_short_of else ()))

    def next(self, place: Place, answer: Answer, progress: Progress, /) -> Next:
        following = {"page": place["page"] + 1}
        reason = ending(self.facts, answer, progress, knows_cursor=False)
        if reason is StopReason.EMPTY_PAGE and answer.is_skipped:
            return Next(following)
        if reason is StopReason.EMPTY_PAGE:
            return self._after_empty(following, progress)
        if reason is not None:
            return Next.stop(reason)
        if self._config.end_on_short_page and is_short(answer, progress):
            return Next.stop(StopReason.SHORT_PAGE)
        return Next(following)

    def _after_empty(self, following: Place, progress: Progress) -> Next:
        """An empty page is the end, unless the API's own totals say that there are pages behind it."""
        pages = _pages_told(progress)
        if pages is None or progress.number > pages:
            return Next.stop(StopReason.EMPTY_PAGE)
        if progress.number == pages:
            return Next.stop(StopReason.EMPTY_PAGE, WARNING_TOTAL)
        return Next(following)


def _pages_told(progress: Progress) -> int | None:
    """How many pages there are by the API's own account; None when it gives none."""
    if progress.total_pages is None and progress.total is not None and progress.largest:
        return -(-progress.total // progress.largest)
    return progress.total_pages


def size_parameters(config: Paged, size: int | None = None) -> tuple[Parameter, ...]:
    """The parameter that asks for a page size, where there is one."""
    wanted = size or config.size
    return () if wanted is None else (Parameter(config.place, config.size_param or "", wanted, "size"),)
