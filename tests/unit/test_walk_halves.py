"""Slices of time of which an API gives only so many records: they are asked for again in halves."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.support.walk_driver import definition

from headwater.contracts.codec import dumps
from headwater.model.http import Response
from headwater.plugins.walk.walk import Walk

START = datetime(2024, 1, 1, tzinfo=UTC)
NOW = datetime(2024, 2, 1, tzinfo=UTC)
CAP = 10


def _window(**parts: Any) -> dict[str, Any]:
    return {
        "type": "window", "start": "2024-01-01T00:00:00Z", "end": "2024-01-09T00:00:00Z", "step_s": 8 * 86_400,
        "start_param": "from", "end_param": "to", "capped_at": CAP,
        "pages": {"type": "offset", "size": 5, "total": "total"}, **parts,
    }  # fmt: skip


def _walked(records: list[dict[str, Any]], pagination: dict[str, Any], *, total: bool = True) -> Any:
    """The records and warnings of a walk, and the slices that were asked for, where the API gives CAP of each at most."""
    walk = Walk(definition("https://api.example", pagination=pagination))
    token: dict[str, Any] | None = walk.first(None, NOW)
    found, warnings, slices = [], [], []
    while token is not None:
        asked = dict(pair.split("=") for pair in walk.request(token).url.partition("?")[2].split("&"))
        low, high = (asked[name].replace("%3A", ":") for name in ("from", "to"))
        there = [one for one in records if low <= one["at"] < high]
        at, size = int(asked.get("offset", 0)), int(asked.get("limit", CAP))
        document = {"items": there[at : min(at + size, CAP)]} | ({"total": len(there)} if total else {})
        page = walk.read(token, Response(200, (), dumps(document), "https://api.example/items"), NOW)
        found += page.records
        warnings += page.warnings
        slices += [f"{low[8:10]}-{high[8:10]}"] if at == 0 else []
        token = page.next_token
    return [one["id"] for one in found], warnings, slices


def _records(*counts: int) -> list[dict[str, Any]]:
    """So many records on each day."""
    days = [
        START + timedelta(days=day, minutes=number)
        for day, count in enumerate(counts)
        for number in range(count)
    ]
    return [{"id": number, "at": day.strftime("%Y-%m-%dT%H:%M:%SZ")} for number, day in enumerate(days)]


def test_a_slice_with_more_than_is_given_is_halved_until_all_of_it_is() -> None:
    records = _records(4, 4, 4, 4, 4, 4, 4, 4)

    ids, warnings, slices = _walked(records, _window())

    assert ids == list(range(32))
    assert warnings == []
    assert slices == ["01-09", "01-05", "01-03", "03-05", "05-07", "07-09"]


def test_slices_are_as_long_again_where_there_is_little() -> None:
    ids, _, slices = _walked(_records(8, 8, 0, 0, 0, 0, 1, 0), _window())

    assert ids == list(range(17))
    assert slices == ["01-09", "01-05", "01-03", "01-02", "02-03", "03-04", "04-06", "06-09"]


def test_without_a_total_as_many_as_are_given_are_taken_for_more() -> None:
    records = _records(4, 4, 4, 4, 4, 4, 4, 4)

    ids, warnings, _ = _walked(records, _window(pages={"type": "none"}), total=False)

    assert (ids, warnings) == (list(range(32)), [])


def test_exactly_as_many_as_are_given_are_all_where_the_total_says_so() -> None:
    ids, _, slices = _walked(_records(10), _window())

    assert (ids, slices) == (list(range(10)), ["01-09"])


@pytest.mark.parametrize("form", ["date", "%Y-%m-%d"])
def test_a_day_that_cannot_be_halved_is_told(form: str) -> None:
    ids, warnings, slices = _walked(_records(0, 14, 1), _window(format=form))

    assert ids == [*range(10), 14]
    assert [one.partition(":")[0] for one in warnings] == ["slice_capped"]
    assert "from 2024-01-02T00:00:00+00:00 to 2024-01-03T00:00:00+00:00 there are 14 records" in warnings[0]
    assert slices[:4] == ["01-09", "01-05", "01-03", "01-02"]
