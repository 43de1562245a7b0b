"""The type of a column follows from the values alone, holds all of them exactly, and not from their order."""

from decimal import Decimal
from itertools import permutations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.contracts import codec
from headwater.model.infer import (
    Kind,
    columns_of,
    fields_of,
    holds,
    infer,
    kind_of,
    kind_of_values,
    widen,
    widest,
)

quick = settings(max_examples=200, deadline=None, database=None)
values = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False), st.decimals(allow_nan=False, allow_infinity=False),
    st.text(max_size=5), st.dates().map(str), st.sampled_from(["2024-01-01T00:00:00Z", "2024-02-30", "", "12"]),
    st.lists(st.integers(), max_size=2), st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
)  # fmt: skip


def test_widening_is_commutative_associative_and_idempotent():
    for one, two, three in product(Kind, repeat=3):
        assert widen(one, one) is one
        assert widen(one, two) is widen(two, one)
        assert widen(widen(one, two), three) is widen(one, widen(two, three))
        assert holds(widen(one, two), one)


@given(st.lists(values, max_size=8), st.randoms(use_true_random=False), st.integers(0, 8))
@quick
def test_neither_order_nor_grouping_of_values_matters(items, random, cut):
    whole = kind_of_values(items)
    shuffled = list(items)
    random.shuffle(shuffled)

    assert kind_of_values(shuffled) is whole
    assert widest(map(kind_of, items)) is whole
    assert kind_of_values(items[cut:], kind_of_values(items[:cut])) is whole


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("null", Kind.NULL), ("true", Kind.BOOLEAN), ("0", Kind.INTEGER), ("9007199254740992", Kind.INTEGER),
        ("9007199254740993", Kind.BIGINT), ("-9007199254740993", Kind.BIGINT), ("9223372036854775807", Kind.BIGINT),
        ("-9223372036854775808", Kind.BIGINT), ("9223372036854775808", Kind.NUMERIC), ("0.1", Kind.DOUBLE),
        ("1.0", Kind.DOUBLE), ("1e300", Kind.DOUBLE), ("1e400", Kind.NUMERIC), ("0.1234567890123456", Kind.DOUBLE),
        ("0.12345678901234567890", Kind.NUMERIC), ("100000000000000000000", Kind.NUMERIC), ("1e200000", Kind.TEXT),
        ("1e-17000", Kind.DOUBLE), ("[]", Kind.JSONB), ("{}", Kind.JSONB), ('""', Kind.TEXT), ('"1"', Kind.TEXT),
    ],
)  # fmt: skip
def test_json_values_have_the_narrowest_kind_that_is_exact(text, kind):
    assert kind_of(codec.loads(text.encode())) is kind


@pytest.mark.parametrize("text", ["0.1", "12.5", "1e5", "0.30000000000000004"])
def test_a_number_has_one_kind_however_its_document_was_read(text):
    assert kind_of(Decimal(text)) is kind_of(float(text)) is Kind.DOUBLE


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-01T00:00:00Z", "2024-02-29T23:59:59.999999+14:00", "0001-01-01T00:00:00-05:30",
        "2024-01-01T00:00:00.5Z", "2024-01-01T00:00:00+0000", "9999-12-31T23:59:59Z",
    ],
)  # fmt: skip
def test_strict_instants_are_timestamptz(text):
    assert kind_of(text) is Kind.TIMESTAMPTZ


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-01T00:00:00", "2024-01-01 00:00:00Z", "2024-01-01T00:00Z", "2024-01-01T00:00:00.1234567Z",
        "2023-02-29T00:00:00Z", "2024-01-01T24:00:00Z", "2024-01-01T23:59:60Z", "2024-01-01T00:00:00+16:00",
        "2024-01-01t00:00:00z", "20240101T000000Z", "2024-W01-1", "0000-01-01T00:00:00Z", "٢٠٢٤-01-01T00:00:00Z",
        "2024-13-01", "2024-1-1", "01/02/2024", "12", "1.5", "true", "null", "NaN", "2024-01-01\n", "２０２４-01-01",
        "2024-01-01T00:00:00Z\n", "2024-01-01T00:00:00 Z", "+2024-01-01",
    ],
)  # fmt: skip
def test_everything_else_stays_text(text):
    assert kind_of(text) is Kind.TEXT


@pytest.mark.parametrize(
    ("items", "kind"),
    [
        ([1, 0.5], Kind.DOUBLE), ([2**53 + 1, 0.5], Kind.NUMERIC), ([1, 2**53 + 1], Kind.BIGINT), ([1, 2**63], Kind.NUMERIC),
        (["2024-01-01", "2024-01-01T00:00:00Z"], Kind.TIMESTAMPTZ), (["2024-01-01", "x"], Kind.TEXT), ([1, "x"], Kind.TEXT),
        ([True, 1], Kind.TEXT), ([True, None], Kind.BOOLEAN), ([{}, "x"], Kind.JSONB), ([[], 1], Kind.JSONB), ([], Kind.NULL),
        (["2024-01-01", 1], Kind.TEXT), ([None, None], Kind.NULL),
    ],
)  # fmt: skip
def test_mixed_values_widen(items, kind):
    for order in permutations(items):
        assert kind_of_values(order) is kind


def test_fields_come_in_the_order_first_seen_and_missing_ones_are_null():
    records = [{"b": 1, "a": 2}, {"c": 3, "a": None}, {}]

    assert fields_of(records) == ("b", "a", "c")
    assert {name: list(column) for name, column in columns_of(records).items()} == {
        "b": [1, None, None], "a": [2, None, None], "c": [None, 3, None],
    }  # fmt: skip
    assert infer(records) == {"b": Kind.INTEGER, "a": Kind.INTEGER, "c": Kind.INTEGER}


def test_records_of_one_shape_in_another_order_of_fields():
    records = [{"a": 1, "b": "x"}, {"b": "y", "a": 2}]

    assert list(columns_of(records)["a"]) == [1, 2]


def test_no_fields_at_all():
    assert columns_of([{}, {}]) == {}
    assert infer([]) == {}


def test_what_is_known_is_widened_and_never_narrowed():
    assert infer([{"a": "2024-01-01"}], {"a": Kind.TEXT}) == {"a": Kind.TEXT}
    assert infer([{"a": {}}], {"a": Kind.TEXT}) == {"a": Kind.JSONB}
    assert infer([{"a": 1}] * 3 + [{"a": 2.5}], chunk=2) == {"a": Kind.DOUBLE}


@pytest.mark.parametrize(
    "texts",
    [
        ["2024-01-01", "2024-01-02\n2024-01-03"],
        ["2024-01-01\n", "2024-01-02"],
        ["2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z\n2024-01-01T00:00:00Z"],
    ],
)
def test_several_lines_in_one_text_are_no_instants(texts):
    assert kind_of_values(texts) is Kind.TEXT
