"""Ways in which pages follow one another, by the `type` of a stream's `pagination`."""

from collections.abc import Mapping
from typing import Any

from headwater.contracts.pagination import Pagination, WindowPagination
from headwater.plugins.paginators.base import (
    Answer,
    Asked,
    Begin,
    Facts,
    Next,
    Paginator,
    Parameter,
    Place,
    Progress,
)
from headwater.plugins.paginators.counting import NonePaginator, OffsetPaginator, PagePaginator
from headwater.plugins.paginators.following import CursorPaginator, LinkPaginator, NextUrlPaginator
from headwater.plugins.paginators.keyed import KeysetPaginator, RelayPaginator
from headwater.plugins.paginators.window import WindowPaginator

PAGINATORS: Mapping[str, Any] = {
    plugin.name: plugin
    for plugin in (
        NonePaginator,
        OffsetPaginator,
        PagePaginator,
        CursorPaginator,
        NextUrlPaginator,
        LinkPaginator,
        KeysetPaginator,
        RelayPaginator,
        WindowPaginator,
    )
}


def paginator_for(pagination: Pagination) -> Paginator:
    """The plug-in for `pagination`. Raises: ConfigError when one of its expressions is wrong."""
    if isinstance(pagination, WindowPagination):
        return WindowPaginator(pagination, paginator_for(pagination.pages))
    plugin: Paginator = PAGINATORS[pagination.type](pagination)
    return plugin


__all__ = [
    "PAGINATORS",
    "Answer",
    "Asked",
    "Begin",
    "Facts",
    "Next",
    "Paginator",
    "Parameter",
    "Place",
    "Progress",
    "paginator_for",
]
