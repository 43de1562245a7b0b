"""A page that the stream passes over is no end of the walk: what comes behind it is asked for."""

from typing import Any

import pytest

from headwater.contracts.pagination import OffsetPagination, PagePagination
from headwater.model.run import StopReason
from headwater.plugins.paginators.base import Answer, Progress
from headwater.plugins.paginators.counting import OffsetPaginator, PagePaginator

URL = "https://api.example.com/orders"


@pytest.mark.parametrize(
    ("paginator", "place", "following"),
    [
        (PagePaginator(PagePagination(type="page")), {"page": 2}, {"page": 3}),
        (OffsetPaginator(OffsetPagination(type="offset", size=10)), {"offset": 10}, {"offset": 20}),
    ],
)
def test_a_skipped_page_does_not_end_the_walk_and_an_empty_one_does(
    paginator: Any, place: dict[str, int], following: dict[str, int]
) -> None:
    progress = Progress(number=2, received=10, largest=10, empty_count=1)

    skipped = paginator.next(place, Answer(URL, URL, {}, None, 0, is_skipped=True), progress)
    empty = paginator.next(place, Answer(URL, URL, {}, None, 0), progress)

    assert (skipped.place, skipped.stop_reason) == (following, None)
    assert (empty.place, empty.stop_reason) == (None, StopReason.EMPTY_PAGE)
