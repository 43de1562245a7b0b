"""The incremental cursor: values compared by what they mean."""

from decimal import Decimal

import pytest

from headwater.plugins.expressions import MISSING, compile_path
from headwater.plugins.walk.cursor import highest, highest_in, instant_of, order_of


@pytest.mark.parametrize(
    ("lower", "higher"),
    [
        ("2024-05-01T12:00:00Z", "2024-05-01T12:00:01Z"),
        ("2024-05-01T12:00:00+02:00", "2024-05-01T11:00:00Z"),
        ("2024-05-01T23:00:00-05:00", "2024-05-02T05:00:00+00:00"),
        ("2024-05-01T12:00:00.999999Z", "2024-05-01T12:00:01Z"),
        ("2024-05-01 12:00:00", "2024-05-01T12:00:01"),
        ("2024-05-01", "2024-05-01T00:00:01Z"),
        ("2024-05-01T12:00:00.9Z", "2024-05-01T12:00:00.95Z"),
        (9, 10),
        ("9", "10"),
        (1.5, Decimal("1.6")),
        (2**63, 2**63 + 1),
        ("abc", "abd"),
        (-1, 0),
    ],
)
def test_values_are_ordered_by_what_they_mean(lower: object, higher: object) -> None:
    assert order_of(lower) < order_of(higher)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2024-05-01T12:00:00Z", "2024-05-01T14:00:00+02:00"),
        ("2024-05-01T12:00:00Z", "2024-05-01 12:00:00.000"),
        ("2024-05-01T12:00:00,5Z", "2024-05-01T12:00:00.500Z"),
        (1, Decimal("1.0")),
    ],
)
def test_two_ways_to_write_one_value_are_equal(one: object, other: object) -> None:
    assert order_of(one) == order_of(other)


@pytest.mark.parametrize(
    "text", ["2024", "20240501", "2024-13-01", "yesterday", "2024-05-01T25:00", "0001-01-01T00:00:00+14:00"]
)
def test_what_is_no_instant_is_none(text: str) -> None:
    assert instant_of(text) is None


def test_the_highest_value_is_kept_as_it_was_written() -> None:
    assert highest(["2024-05-01T12:00:00+02:00", "2024-05-01T11:00:00Z"]) == "2024-05-01T11:00:00Z"


def test_what_is_no_value_is_passed_over() -> None:
    assert highest([None, MISSING, True, "", {}, [], float("nan"), 3]) == 3
    assert highest([None]) is None
    assert highest([]) is None


def test_the_field_may_be_nested() -> None:
    records = [{"meta": {"at": "2024-01-02"}}, {"meta": None}, {"meta": {"at": "2024-01-03"}}, {}]

    assert highest_in(records, compile_path("meta.at")) == "2024-01-03"
