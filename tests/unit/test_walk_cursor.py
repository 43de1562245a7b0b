"""The incremental cursor: values compared by what they mean."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from tests.support.walk_driver import definition

from headwater.contracts.codec import dumps
from headwater.contracts.walking import Incremental
from headwater.model.errors import SourceError
from headwater.model.http import Response
from headwater.plugins.expressions import MISSING
from headwater.plugins.instants import instant_of, instant_of_number
from headwater.plugins.walk.cursor import CursorField, highest, order_of
from headwater.plugins.walk.walk import Walk

NOW = datetime(2024, 5, 1, 12, 0, tzinfo=UTC)


def _field(**parts: object) -> CursorField:
    return CursorField(Incremental.model_validate({"field": "meta.at", "param": "since"} | parts))


def _records(*marks: object) -> list[dict[str, object]]:
    return [{"meta": {"at": mark}} for mark in marks]


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
        ("9.75", "10.5"),
        ("-1.5", "-1.25"),
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
    records = [*_records("2024-01-02", "2024-01-03"), {"meta": None}, {}]

    assert _field().highest(records, NOW) == "2024-01-03"


@pytest.mark.parametrize(
    ("marks", "found"),
    [
        (["2024-05-01T11:00:00Z", "2099-01-01T00:00:00Z"], "2024-05-01T11:00:00Z"),
        (["2024-05-02T11:00:00Z", "2024-05-01T00:00:00Z"], "2024-05-02T11:00:00Z"),  # within a day ahead
        (["2099-01-01", "2098-01-01"], None),
        (["9999-12-31T23:59:59.999Z", None, "2024-04-01T00:00:00+05:30"], "2024-04-01T00:00:00+05:30"),
        ([4_070_908_800, 1_700_000_000], 4_070_908_800),  # a plain number is no time
    ],
)
def test_a_value_in_the_far_future_is_never_taken(marks: list[object], found: object) -> None:
    assert _field().highest(_records(*marks), NOW) == found


def test_an_epoch_in_the_far_future_is_never_taken() -> None:
    assert _field(format="epoch_s").highest(_records(4_070_908_800, 1_700_000_000), NOW) == 1_700_000_000


@pytest.mark.parametrize(
    ("parts", "since", "written"),
    [
        ({}, "2024-05-01T12:00:00+02:00", "2024-05-01T12:00:00+02:00"),
        ({}, 42, 42),
        ({"format": "iso"}, "2024-05-01T12:00:00+02:00", "2024-05-01T10:00:00Z"),
        ({"format": "iso"}, "2024-05-01T12:00:00.250Z", "2024-05-01T12:00:00.250000Z"),
        ({"format": "iso"}, 1714557600, "2024-05-01T10:00:00Z"),
        ({"format": "iso"}, "1714557600000", "2024-05-01T10:00:00Z"),
        ({"format": "date"}, "2024-05-01T01:00:00+02:00", "2024-04-30"),
        ({"format": "epoch_s"}, "2024-05-01T12:00:00+02:00", 1714557600),
        ({"format": "epoch_ms"}, "2024-05-01T12:00:00.250+02:00", 1714557600250),
        ({"format": "integer"}, "42", 42),
        ({"lookback_s": 3600}, "2024-05-01T12:00:00Z", "2024-05-01T11:00:00Z"),
        ({"lookback_s": 3600, "format": "epoch_s"}, 1714557600, 1714554000),
        ({"lookback_s": 3600}, 42, 42),
    ],
)
def test_the_parameter_is_written_as_the_api_reads_it(
    parts: dict[str, object], since: object, written: object
) -> None:
    assert _field(**parts).parameters(since) == {"since": written}


def test_without_a_value_or_a_parameter_nothing_is_asked_for() -> None:
    assert _field().parameters(None) == {}
    assert _field(param=None).parameters("2024-05-01") == {}


@pytest.mark.parametrize("since", ["yesterday", "abc", 1e300])
def test_a_cursor_that_cannot_be_written_is_said_to_be_unusable(since: object) -> None:
    with pytest.raises(SourceError) as caught:
        _field(format="iso").parameters(since)

    assert caught.value.kind == "cursor_unusable"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "1970-01-01T00:00:00+00:00"),
        (1714557600, "2024-05-01T10:00:00+00:00"),
        (1714557600.5, "2024-05-01T10:00:00.500000+00:00"),
        (1714557600000, "2024-05-01T10:00:00+00:00"),
        (-1, "1969-12-31T23:59:59+00:00"),
    ],
)
def test_an_epoch_may_be_in_seconds_or_milliseconds(number: float, text: str) -> None:
    moment = instant_of_number(number)

    assert moment is not None
    assert moment.isoformat() == text


def test_newest_first_ends_where_the_known_begins() -> None:
    field = _field(order="desc")

    assert field.known_from(_records("2024-05-03", "2024-05-02", "2024-05-01"), "2024-05-02") == _records(
        "2024-05-03", "2024-05-02"
    )


def test_newest_first_goes_on_while_the_last_record_is_new() -> None:
    field = _field(order="desc")

    assert (
        field.known_from(_records("2024-05-01", "2024-05-03", "2024-05-02"), "2024-05-02") is None
    )  # one pinned
    assert field.known_from(_records("2024-05-03"), None) is None
    assert field.known_from([], "2024-05-02") is None
    assert _field().known_from(_records("2024-05-01"), "2024-05-02") is None


def test_newest_first_looks_back_where_it_is_told_to() -> None:
    field = _field(order="desc", lookback_s=86_400)

    assert field.known_from(_records("2024-05-01T12:00:00Z"), "2024-05-02T00:00:00Z") is None
    assert field.known_from(_records("2024-04-30T12:00:00Z"), "2024-05-02T00:00:00Z") == []


@pytest.mark.parametrize(
    ("form", "marks", "found"),
    [
        ("epoch_s", (1714521600, 9999999999), 1714521600),
        ("epoch_s", ("1714521600", "9999999999"), "1714521600"),
        ("epoch_s", (1714521600, 253402300799), 1714521600),  # 9999-12-31T23:59:59Z, which APIs call "never"
        ("epoch_ms", (1714521600000, 253402300799000), 1714521600000),
        ("epoch_s", (Decimal("1714521600.25"), 32503680000), Decimal("1714521600.25")),
        ("iso", (1714521600, 4102444800), 1714521600),
    ],
)
def test_a_number_of_the_far_future_is_never_taken_where_the_format_is_one_of_time(
    form: str, marks: tuple[object, ...], found: object
) -> None:
    assert _field(format=form).highest(_records(*marks), NOW) == found


@pytest.mark.parametrize("form", ["as_is", "integer"])
@pytest.mark.parametrize("marks", [(5, 9876543210), ("5", "9876543210"), (1714521600, 253402300799)])
def test_a_number_has_no_clock_where_the_format_is_none_of_time(form: str, marks: tuple[object, ...]) -> None:
    assert _field(format=form).highest(_records(*marks), NOW) == marks[-1]


def test_a_cursor_that_is_no_whole_number_cannot_be_asked_for_as_one() -> None:
    with pytest.raises(SourceError, match="is no whole number: see incremental.format, or reset the cursor"):
        _field(format="integer").parameters("2024-05-01")


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_a_text_that_no_row_can_hold_is_no_cursor(text: str) -> None:
    assert _field().highest(_records(text, "a"), NOW) == "a"


@pytest.mark.parametrize(
    ("form", "since", "older", "kept"),
    [
        ("as_is", "2024-05-01T01:00:00Z", "2024-04-30T23:59:59Z", ["2024-05-01T00:00:00Z", None, "x"]),
        ("epoch_s", 1714525200, 1714521599, [1714521600, None, "x"]),
        ("epoch_ms", 1714525200000, 1714521599999, [1714521600000, None, "x"]),
        ("as_is", 9, 8, [9, None, "x"]),
    ],
)
def test_what_is_older_than_the_cursor_and_its_look_back_is_left_out(
    form: str, since: str | int, older: object, kept: list[object]
) -> None:
    field = _field(format=form, lookback_s=3600)

    found = field.not_older(_records(older, *kept), since)

    assert found == _records(*kept)


@pytest.mark.parametrize(
    ("form", "sent"),
    [("epoch_s", 1503435896), ("epoch_ms", 1503435896000), ("iso", "2017-08-22T21:04:56.000247Z")],
)
def test_seconds_with_a_fraction_that_are_written_as_text_are_instants_to_look_back_from(
    form: str, sent: object
) -> None:
    assert _field(format=form, lookback_s=60).parameters("1503435956.000247") == {"since": sent}


@pytest.mark.parametrize(("last", "is_told"), [("2024-03-01T23:59:59Z", False), ("2024-03-02", True)])
def test_a_slice_with_records_of_the_next_one_is_told_where_both_would_be_added(
    last: str, is_told: bool
) -> None:
    pages = {"type": "window", "start": "2024-03-01", "step_s": 86_400, "start_param": "from"}
    table = {"table": "t", "mode": "append"}
    walk = Walk(
        definition("https://a.example", pagination=pages, incremental={"field": "at"}, destination=table)
    )
    token = walk.slices(walk.first(None, NOW))[0].token
    body = dumps({"items": [{"id": 1, "at": "2024-03-01"}, {"id": 2, "at": last}]})

    page = walk.read(token, Response(200, (), body, "https://a.example/items"), NOW)

    assert [text.partition(":")[0] for text in page.warnings] == (["slices_overlap"] if is_told else [])
