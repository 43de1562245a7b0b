"""Ways in which pages follow one another, by the `type` of a stream's `pagination`."""

from collections.abc import Mapping
from typing import Any

from headwater.contracts.pagination import Pagination
from headwater.plugins.paginators.base import Answer, Asked, Facts, Next, Paginator, Place, Progress
from headwater.plugins.paginators.counting import NonePaginator, OffsetPaginator, PagePaginator
from headwater.plugins.paginators.following import CursorPaginator, LinkPaginator, NextUrlPaginator

PAGINATORS: Mapping[str, Any] = {
    plugin.name: plugin
    for plugin in (
        NonePaginator,
        OffsetPaginator,
        PagePaginator,
        CursorPaginator,
        NextUrlPaginator,
        LinkPaginator,
    )
}


def paginator_for(pagination: Pagination) -> Paginator:
    """The plug-in for `pagination`. Raises: ConfigError when one of its expressions is wrong."""
    plugin: Paginator = PAGINATORS[pagination.type](pagination)
    return plugin


__all__ = [
    "PAGINATORS",
    "Answer",
    "Asked",
    "Facts",
    "Next",
    "Paginator",
    "Place",
    "Progress",
    "paginator_for",
]
