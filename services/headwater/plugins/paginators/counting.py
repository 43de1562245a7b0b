"""Walks that count: no paging at all, offset and size, numbered pages."""

from dataclasses import replace
from typing import Any, ClassVar

from headwater.contracts.pagination import NoPagination, OffsetPagination, Paged, PagePagination
from headwater.model.run import StopReason
from headwater.plugins.paginators.base import (
    WARNING_TOTAL,
    Answer,
    Asked,
    Facts,
    Next,
    Place,
    Progress,
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

    def first(self) -> Place:
        return {}

    def asked(self, place: Place) -> Asked:  # noqa: ARG002 - there is one place only
        return Asked()

    def next(self, place: Place, answer: Answer, progress: Progress) -> Next:  # noqa: ARG002
        return Next.stop(StopReason.CURSOR_END)


class OffsetPaginator:
    """Position and size. It steps by what was received: servers give less than they are asked for."""

    name: ClassVar = "offset"
    Config: ClassVar = OffsetPagination

    def __init__(self, config: OffsetPagination) -> None:
        self._config = config
        self.facts = Facts(config)

    def first(self) -> Place:
        return {"offset": self._config.start}

    def asked(self, place: Place) -> Asked:
        return Asked({self._config.offset_param: place["offset"], **size_params(self._config)})

    def next(self, place: Place, answer: Answer, progress: Progress) -> Next:
        position: int = place["offset"] + answer.received_count
        # the total counts from the collection's beginning, wherever this walk began
        reason = ending(self.facts, answer, replace(progress, received=position), knows_cursor=False)
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

    def first(self) -> Place:
        return {"page": self._config.start}

    def asked(self, place: Place) -> Asked:
        return Asked({self._config.page_param: place["page"], **size_params(self._config)})

    def next(self, place: Place, answer: Answer, progress: Progress) -> Next:
        following = {"page": place["page"] + 1}
        reason = ending(self.facts, answer, progress, knows_cursor=False)
        if reason is StopReason.EMPTY_PAGE:
            return self._after_empty(following, progress)
        if reason is not None:
            return Next.stop(reason)
        if self._config.end_on_short_page and is_short(answer, progress):
            return Next.stop(StopReason.SHORT_PAGE)
        return Next(following)

    def _after_empty(self, following: Place, progress: Progress) -> Next:
        """An empty page is the end, unless the API's own totals say that there are pages behind it."""
        pages = progress.total_pages
        if pages is None and progress.total is not None and progress.largest:
            pages = -(-progress.total // progress.largest)
        if pages is None or progress.number > pages:
            return Next.stop(StopReason.EMPTY_PAGE)
        if progress.number == pages:
            return Next.stop(StopReason.EMPTY_PAGE, WARNING_TOTAL)
        return Next(following)


def size_params(config: Paged) -> dict[str, Any]:
    """The parameter that asks for a page size, where there is one."""
    return {config.size_param: config.size} if config.size_param and config.size else {}
