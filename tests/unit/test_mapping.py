"""From records to rows: every type's values and what cannot be them, defaults, masks, and what of a record stays."""

from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from headwater.contracts.codec import dumps, loads
from headwater.contracts.source import Stream
from headwater.model.errors import ConfigError, SecretError
from headwater.model.secret import Secret
from headwater.plugins.mapping import Mapped, Mapper


def mapper(fields: Any, rest: str = "drop", only: str | None = None) -> Mapper:
    stream = Stream.model_validate(
        {"name": "s", "fields": fields, "rest": rest, "destination": {"table": "t"}}
    )
    again = Stream.model_validate(loads(dumps(stream.model_dump(mode="json", by_alias=True))))
    assert again == stream  # as it is stored
    return Mapper(again.fields, keep_rest=rest == "keep", only=only)


def mapped(fields: Any, record: Any, **options: Any) -> Any:
    found = mapper(fields, **options).apply([record], {})
    assert not found.rejected, found.rejected
    return found.rows[0]


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("text", "a", "a"), ("text", 7, "7"), ("text", True, "true"), ("text", {"a": 1}, '{"a":1}'), ("text", "", ""),
        ("text", Decimal("1.10"), "1.10"),
        ("integer", 7, 7), ("integer", "007", 7), ("integer", " -5 ", -5), ("integer", 7.0, 7), ("integer", "", None),
        ("integer", "18446744073709551616", Decimal(2**64)),
        ("number", "1.5", 1.5), ("number", 2, 2.0),
        ("decimal", "0.10", Decimal("0.10")), ("decimal", 0.1, Decimal("0.1")), ("decimal", 3, Decimal(3)),
        ("boolean", "Yes", True), ("boolean", 0, False), ("boolean", False, False), ("boolean", "off", False),
        ("timestamp", "2024-05-01T10:00:00+02:00", "2024-05-01T08:00:00Z"), ("timestamp", "2024-05-01", "2024-05-01T00:00:00Z"),
        ("timestamp", 1714550400, "2024-05-01T08:00:00Z"), ("timestamp", "1714550400000", "2024-05-01T08:00:00Z"),
        ("date", "2024-05-01T23:00:00-05:00", "2024-05-01"), ("date", 1714550400, "2024-05-01"), ("date", "2024-05-01", "2024-05-01"),
        ("json", '{"a": [1]}', {"a": [1]}), ("json", [1], [1]),
    ],
)  # fmt: skip
def test_a_value_becomes_the_type_that_was_asked_for(kind: str, value: Any, expected: Any) -> None:
    row = mapped({"v": {"type": kind}}, {"v": value})

    assert row == {"v": expected}
    assert type(row["v"]) is type(expected)
    assert loads(dumps(row)) is not None


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("integer", "1.5"), ("integer", True), ("integer", 1.5), ("integer", [1]), ("integer", "1e999999"),
        ("number", "NaN"), ("number", "1e400"), ("number", "1,5"), ("decimal", "Infinity"), ("decimal", {"a": 1}),
        ("boolean", "perhaps"), ("boolean", 2), ("boolean", 0.5), ("timestamp", "yesterday"), ("timestamp", True),
        ("timestamp", "2024-13-01"), ("date", "12"), ("date", False), ("json", "{"),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_its_type_rejects_its_record_alone(kind: str, value: Any) -> None:
    found = mapper({"id": None, "v": {"type": kind}}).apply([{"id": 1, "v": value}, {"id": 2}], {})

    assert found.rows == [{"id": 2}]
    ((index, reason),) = found.rejected
    assert (index, reason.startswith("field 'v': ")) == (0, True)


@pytest.mark.parametrize(
    ("fields", "record", "row"),
    [
        (["id", "a.b"], {"id": 1, "a.b": 2, "more": 3}, {"id": 1, "a.b": 2}),
        ({"id": "user.id", "n": "length(tags)"}, {"user": {"id": 1}, "tags": [1, 2]}, {"id": 1, "n": 2}),
        ({"x": None}, {}, {}),
        ({"x": None}, {"x": None}, {"x": None}),
        ({"x": {"default": 0}}, {"x": None}, {"x": 0}),
        ({"x": {"default": "0", "type": "integer"}}, {}, {"x": 0}),
        ({"x": {"default": 1, "type": "integer"}}, {"x": ""}, {"x": 1}),
        ({"shop": {"constant": "north"}}, {"shop": "south"}, {"shop": "north"}),
        ([{"name": "mail", "mask": True}], {"mail": "a@b"}, {"mail": "***"}),
        ([{"name": "mail", "mask": True}], {"mail": None}, {"mail": None}),
    ],
)
def test_a_row_has_the_fields_that_were_asked_for(fields: Any, record: Any, row: Any) -> None:
    assert mapped(fields, record) == row


def test_a_hashed_field_is_the_sha_256_of_its_text() -> None:
    row = mapped([{"name": "mail", "hash": True}], {"mail": "abc"})

    assert row == {"mail": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}


def test_the_rest_of_a_record_stays_where_it_is_asked_for_but_not_what_was_renamed_or_hidden() -> None:
    fields = {"order_id": "id", "city": "address.city", "mail": {"path": "contact.mail", "hash": True}}

    row = mapped(fields, {"id": 1, "address": {"city": "X"}, "contact": {"mail": "a@b"}, "z": 9}, rest="keep")

    assert set(row) == {"order_id", "city", "mail", "address", "z"}


def test_a_hidden_field_whose_place_is_unknown_cannot_stand_beside_the_rest() -> None:
    with pytest.raises(ConfigError, match=r"fields\.0\.path: the hidden value would stay"):
        mapper({"mail": {"path": "contacts[0].mail", "mask": True}}, rest="keep")


def test_a_hash_with_a_key_needs_the_key_and_differs_by_it() -> None:
    made = mapper([{"name": "mail", "hash": "${secret:PEPPER}"}])
    one, two = (
        made.apply([{"mail": "a@b"}], {"PEPPER": Secret.of(key)}).rows[0]["mail"] for key in ("one", "two")
    )

    assert one != two
    with pytest.raises(SecretError, match="PEPPER"):
        made.apply([{"mail": "a@b"}], {})


def test_the_value_of_a_hidden_field_never_stands_in_a_reason() -> None:
    found = mapper([{"name": "pin", "type": "integer", "mask": True}]).apply([{"pin": "hunter2"}], {})

    assert found == Mapped([], ((0, "field 'pin': the value is not of its type"),))


def test_a_filter_leaves_records_out_and_one_that_cannot_be_judged_is_rejected() -> None:
    made = Mapper((), keep_rest=False, only="starts_with(name, 'a')")

    found = made.apply([{"name": "ab"}, {"name": "b"}, {"name": 7}], {})

    assert found.rows == [{"name": "ab"}]
    assert [index for index, _ in found.rejected] == [2]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ([{"name": "a", "path": "x", "constant": 1}], "alone"),
        ([{"name": "a", "mask": True, "hash": True}], "one of"),
        ([{"name": "a", "hash": "key"}], "secret:NAME"),
        ([{"name": "a", "type": "money"}], "type"),
        ([{"path": "x"}], "name"),
    ],
)
def test_a_field_that_cannot_be_is_refused(fields: Any, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        mapper(fields)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (["a", "a"], r"fields\.1: 'a' is given twice"),
        ({"a": "x["}, r"fields\.0\.path: "),
        ({"a": {"type": "integer", "default": "x"}}, r"fields\.0\.default: 'x' is no integer"),
    ],
)
def test_a_mapping_that_cannot_work_is_refused_at_its_place(fields: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        mapper(fields)
