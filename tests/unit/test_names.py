"""Fields become columns and tenants schemas: never two of one, always the same."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.model.names import (
    RESERVED_COLUMNS,
    assign_columns,
    field_comment,
    field_of_comment,
    fold,
    quote_identifier,
    quote_literal,
    schema_for,
)

any_text = st.text(st.characters(blacklist_categories=[]), max_size=90)  # lone surrogates and NUL too
quick = settings(max_examples=200, deadline=None, database=None)


@pytest.mark.parametrize(
    ("field", "column"),
    [
        ("id", "id"), ("user_name", "user_name"), ("_id", "_id"), ("__typename", "__typename"), ("a__b", "a__b"),
        ("userName", "user_name"), ("UserName", "user_name"), ("userID", "user_id"), ("HTTPServer", "http_server"),
        ("User Name", "user_name"), ("created-at", "created_at"), ("a.b.c", "a_b_c"), ("price ($)", "price"),
        ("@id", "_id"), ("$ref", "_ref"), ("2fa", "_2fa"), ("select", "select"), ("Größe", "größe"), ("名前", "名前"),
        ("", "field"), ("🎉", "field"), ("__", "__"), ("Σ", "σ"),
    ],
)  # fmt: skip
def test_names_fold_to_what_people_would_write(field, column):
    assert fold(field) == column
    assert assign_columns([field], {}) == {field: column}


@given(st.lists(any_text, max_size=30))
@quick
def test_no_two_fields_share_a_column_and_every_column_can_be(fields):
    columns = assign_columns(fields, {})

    assert set(columns) == set(fields)
    assert len(set(columns.values())) == len(columns)
    assert not set(columns.values()) & RESERVED_COLUMNS
    for column in columns.values():
        quote_identifier(column)


@given(st.lists(any_text, max_size=20, unique=True), st.randoms(use_true_random=False))
@quick
def test_the_order_of_fields_does_not_matter(fields, random):
    shuffled = list(fields)
    random.shuffle(shuffled)

    assert assign_columns(fields, {}) == assign_columns(shuffled, {})


@given(st.lists(any_text, max_size=10), st.lists(any_text, max_size=10))
@quick
def test_a_field_keeps_the_column_it_has(first, later):
    before = assign_columns(first, {})

    after = assign_columns(first + later, {column: field for field, column in before.items()})

    assert {field: after[field] for field in first} == before
    assert len(set(after.values())) == len(after)


def test_an_own_or_system_column_is_never_given_to_a_field():
    assert assign_columns(["_run_id", "xmin"], {}) == {"_run_id": "_run_id_", "xmin": "xmin_"}


def test_a_column_that_nobody_holds_can_be_claimed_but_a_held_one_not():
    assert assign_columns(["createdAt"], {"created_at": None}) == {"createdAt": "created_at"}

    both: dict[str, str | None] = {"created_at": None, "createdAt": None}
    assert assign_columns(["createdAt"], both) == {"createdAt": "createdAt"}
    assert assign_columns(["createdAt"], both | {"createdAt": "other"}) == {"createdAt": "created_at"}

    columns = assign_columns(["createdAt"], {"created_at": "created_at"})

    assert columns["createdAt"].startswith("created_at_")


def test_long_names_are_cut_at_whole_characters_and_stay_apart():
    columns = assign_columns(["é" * 40 + "a", "é" * 40 + "b"], {})

    assert len(set(columns.values())) == 2
    assert all(len(column.encode()) <= 63 for column in columns.values())


@given(any_text)
@quick
def test_a_comment_tells_the_field_it_was_made_for(field):
    comment = field_comment(field)

    assert field_of_comment(comment) == field
    assert comment.isascii()
    quote_literal(comment)


@pytest.mark.parametrize("comment", [None, "", "Price in cents", 'Field "', "Field 7", 'Field "a" or b'])
def test_comments_of_others_name_no_field(comment):
    assert field_of_comment(comment) is None


def test_quoting():
    assert quote_identifier('a"b') == '"a""b"'
    assert quote_literal("it's \\ fine") == "E'it''s \\\\ fine'"
    for name in ("", "a\0", "x" * 64, "é" * 32):
        with pytest.raises(ValueError, match="63 bytes"):
            quote_identifier(name)


def test_tenants_have_schemas_of_their_own():
    assert schema_for("default") == "hw_default"
    assert schema_for("a_b") == "hw_a_b"
    tenants = [
        "a_b",
        "a-b",
        "a__b",
        "A-b",
        "a" * 60,
        "a" * 61,
        "a" * 62,
        "a-" * 31,
        schema_for("a-b")[3:],
        "",
        "ä",
    ]

    schemas = [schema_for(tenant) for tenant in tenants]

    assert len(set(schemas)) == len(tenants)
    for schema in schemas:
        assert schema.startswith("hw_")
        quote_identifier(schema)
