"""What an API says of the whole walk is borne out by its pages, not taken on trust."""

import pytest
from pydantic import ValidationError

from headwater.contracts.pagination import CursorPagination
from headwater.plugins.paginators.base import Progress, count_of, is_met


@pytest.mark.parametrize(
    ("written", "count"),
    [
        (230, 230),
        ("230", 230),
        (" 230 ", 230),
        (230.0, 230),
        ("1,234", 1234),
        ("1,234,567", 1234567),
        ("items 0-9/230", 230),
        ("0-9/230", 230),
        ("bytes */230", 230),
        ("items 0-9/*", None),
        ("12,34", None),
        ("1.234", None),
        ("23 items", None),
        ("-1", None),
        (-1, None),
        (True, None),
        (None, None),
        ("٢٣", None),
    ],
)
def test_a_count_is_read_as_apis_write_it(written: object, count: int | None) -> None:
    assert count_of(written) == count


@pytest.mark.parametrize(
    ("progress", "expected"),
    [
        (Progress(number=2, received=20, highest_total=20), True),
        (Progress(number=2, received=20, highest_total=23), False),
        (Progress(number=2, received=20, highest_total=10), False),
        (Progress(number=1, received=0, highest_total=0), False),
        (Progress(number=3, received=23, highest_pages=3), True),
        (Progress(number=2, received=20, highest_total=10, highest_pages=2), True),
        (Progress(number=3, received=23), False),
    ],
)
def test_a_total_is_met_when_just_as_much_came(progress: Progress, expected: bool) -> None:
    assert is_met(progress) is expected


@pytest.mark.parametrize(
    ("more", "is_counted"), [({}, False), ({"total": "n"}, True), ({"total_header": "X-N"}, True)]
)
def test_where_the_api_keeps_the_place_its_total_tells_whether_all_came(
    more: dict[str, str], is_counted: bool
) -> None:
    told = {"type": "cursor", "cursor_path": "next", "keeps_place": True, **more}

    if is_counted:
        assert CursorPagination.model_validate(told).keeps_place
        return
    with pytest.raises(ValidationError, match="give `total` or `total_header`"):
        CursorPagination.model_validate(told)
