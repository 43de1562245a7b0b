"""Windows of time as they are written, and as they are understood."""

from datetime import UTC, datetime
from typing import Any

import pytest

from headwater.contracts.source import Stream
from headwater.plugins.walk.windows import WindowError, window_of

NOW = datetime(2024, 6, 1, tzinfo=UTC)


def stream(**parts: Any) -> Stream:
    return Stream.model_validate({"name": "orders", "incremental": {"field": "at"}} | parts)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"from": "2024-01-01", "to": "2024-02-01"}, ("2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z")),
        ({"from": "2024-01-01T02:00:00+02:00"}, ("2024-01-01T00:00:00Z", "2024-06-01T00:00:00Z")),
        (
            {"from": "2024-01-01T00:00:00.5Z", "to": "2024-01-01T00:00:01Z"},
            ("2024-01-01T00:00:00.500000Z", "2024-01-01T00:00:01Z"),
        ),
    ],
)
def test_dates_and_instants_with_a_zone_are_understood(given: dict[str, Any], meant: tuple[str, str]) -> None:
    assert window_of(given, stream(), NOW) == {"from": meant[0], "to": meant[1]}


def test_a_cursor_of_whole_numbers_takes_whole_numbers() -> None:
    numbered = stream(incremental={"field": "id", "format": "integer"})

    assert window_of({"from": 5, "to": 9}, numbered, NOW) == {"from": 5, "to": 9}


@pytest.mark.parametrize(
    ("given", "place", "word"),
    [
        ({}, "from", "missing"),
        ({"to": "2024-01-01"}, "from", "missing"),
        ({"from": "2024-01-01", "until": "2024-01-02"}, "until", "not known"),
        ({"from": "yesterday"}, "from", "no instant"),
        ({"from": "2024-01-01T00:00:00"}, "from", "zone"),
        ({"from": "2024-02-30"}, "from", "no instant"),
        ({"from": 17}, "from", "no instant"),
        ({"from": "2024-01-02", "to": "2024-01-02"}, "to", "after"),
        ({"from": "2024-07-01"}, "to", "after"),
    ],
)
def test_what_is_no_window_is_refused_at_its_place(given: dict[str, Any], place: str, word: str) -> None:
    with pytest.raises(WindowError, match=word) as refused:
        window_of(given, stream(), NOW)

    assert refused.value.place == place


@pytest.mark.parametrize(
    ("parts", "word"),
    [
        ({"incremental": None}, "incremental"),
        ({"incremental": {"field": "at", "enabled": False}}, "incremental"),
        (
            {
                "incremental": None,
                "pagination": {
                    "type": "window",
                    "start": "2024-01-01T00:00:00Z",
                    "step_s": 60,
                    "start_param": "from",
                },
                "destination": {"table": "orders", "mode": "replace"},
            },
            "replace",
        ),
    ],
)
def test_a_stream_that_cannot_be_asked_for_a_window_says_why(parts: dict[str, Any], word: str) -> None:
    with pytest.raises(WindowError, match=word):
        window_of({"from": "2024-01-01"}, stream(**parts), NOW)
