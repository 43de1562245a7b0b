"""Ranges that a batch's keys are looked up by: they hold every key, and are few."""

import pytest

from headwater.plugins.destinations.merging import ranges_of


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ([1], ("1", "1")),
        ([-3, -2, -1], ("-3,-2,-1", "-3,-2,-1")),
        ([*range(100), *range(500, 600)], ("0,500", "99,599")),
        ([1, "2"], None),
        ([1, True], None),
        ([None, 1], None),
    ],
    ids=["one", "below zero", "two runs", "a text", "a boolean", "null"],
)
def test_ranges_hold_all_keys_and_end_where_they_lie_apart(keys, expected):
    assert ranges_of(keys) == expected


def test_ranges_are_few_however_the_keys_lie():
    keys = sorted({(number * number) % 100_003 for number in range(5000)})

    lows, highs = ([int(text) for text in side.split(",")] for side in ranges_of(keys))

    assert len(lows) == len(highs) <= 64
    assert sum(sum(low <= key <= high for key in keys) for low, high in zip(lows, highs, strict=True)) == len(
        keys
    )
    assert all(high < low for high, low in zip(highs, lows[1:], strict=False))
