"""Instants in the forms that APIs write and read."""

from datetime import UTC, datetime

import pytest

from headwater.plugins.instants import coarseness_s, instant_of, read_by, writer_of

MOMENT = datetime(2024, 3, 9, 17, 5, 7, 42_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("iso", "2024-03-09T17:05:07.042000Z"),
        ("date", "2024-03-09"),
        ("epoch_s", 1710003907),
        ("epoch_ms", 1710003907042),
        ("%Y-%m-%d %H:%M", "2024-03-09 17:05"),
        ("%Y-%m-%dT%H:%M:%S.%LZ", "2024-03-09T17:05:07.042Z"),
        ("%a, %d %b %Y %H:%M:%S GMT", "Sat, 09 Mar 2024 17:05:07 GMT"),
        ("%d/%m/%y 100%%", "09/03/24 100%"),
    ],
)
def test_an_instant_is_written_in_a_format(form: str, text: object) -> None:
    assert writer_of(form)(MOMENT) == text


@pytest.mark.parametrize(
    ("pattern", "text", "moment"),
    [
        ("%d/%m/%Y %H:%M", "09/03/2024 17:05", datetime(2024, 3, 9, 17, 5, tzinfo=UTC)),
        ("%d.%m.%Y", "09.03.2024", datetime(2024, 3, 9, tzinfo=UTC)),
        (
            "%a, %d %b %Y %H:%M:%S %z",
            "Sat, 09 Mar 2024 18:05:07 +0100",
            datetime(2024, 3, 9, 17, 5, 7, tzinfo=UTC),
        ),
        ("%Y%m%d%H%M%S.%L", "20240309170507.042", MOMENT),
        ("%d/%m/%Y", "2024-03-09", None),
        ("%Y-%m-%d", "", None),
    ],
)
def test_an_instant_is_read_by_a_pattern(pattern: str, text: str, moment: datetime | None) -> None:
    assert read_by(pattern, text) == moment


@pytest.mark.parametrize(
    "text", ["/Date(1710003907042)/", "/Date(1710003907042+0000)/", "/Date(1710003907042+1300)/"]
)
def test_an_instant_of_dotnet_is_milliseconds_since_1970(text: str) -> None:
    assert instant_of(text) == MOMENT


def test_what_only_looks_like_one_is_no_instant() -> None:
    assert [
        instant_of(text) for text in ("/Date(x)/", "/Date(17100039070420000000)/", "/Date(1)/ or so")
    ] == [None] * 3


@pytest.mark.parametrize(
    ("form", "seconds"),
    [
        ("iso", 0),
        ("epoch_s", 1),
        ("%Y-%m-%d %H:%M:%S", 1),
        ("%Y-%m-%d %H:%M", 60),
        ("%Y%m%d", 172_800),
        ("date", 172_800),
    ],
)
def test_a_format_says_how_coarse_it_is(form: str, seconds: float) -> None:
    assert coarseness_s(form) == seconds
