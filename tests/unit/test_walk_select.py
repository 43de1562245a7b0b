"""From bytes to records: what is a list, what is none, and which record is rejected alone."""

import json
from decimal import Decimal
from typing import Any

import pytest

from headwater.contracts.codec import dumps, loads
from headwater.model.errors import ConfigError, SourceError
from headwater.model.http import Response
from headwater.model.secret import Secret
from headwater.plugins.expressions import MISSING, compile_path
from headwater.plugins.walk.body import document_of
from headwater.plugins.walk.select import select_records


def _response(body: bytes, kind: str = "application/json", status: int = 200) -> Response:
    return Response(status, (("Content-Type", kind),), body, "http://api.example/items")


def _select(document: object, path: str | None, one_page: bool = False) -> list[object]:
    getter = compile_path(path) if path else None
    return select_records(document, getter, path, one_page=one_page).records


# -- expressions


@pytest.mark.parametrize(
    ("expression", "document", "found"),
    [
        ("a", {"a": 1}, 1),
        ("a", {"b": 1}, MISSING),
        ("a", {"a": None}, None),
        ("a", [], MISSING),
        ("a", None, MISSING),
        ("a.b", {"a": {"b": []}}, []),
        ("a.b", {"a": None}, MISSING),
        ('"@odata.nextLink"', {"@odata.nextLink": "x"}, "x"),
        ('d."a-b"', {"d": {"a-b": 3}}, 3),
        ("items[0].id", {"items": [{"id": 7}]}, 7),
        ("items[].id", {"items": [{"id": 7}, {"id": 8}]}, [7, 8]),
        ("items[*].node", {"items": None}, None),
        ("items[*].node", {"other": []}, MISSING),
        ("items | [?live]", {"items": [{"live": True}, {"live": False}]}, [{"live": True}]),
        ("length(@)", [1, 2], 2),
        ("@", [1], [1]),
    ],
)
def test_an_expression_tells_null_from_nothing(expression: str, document: object, found: object) -> None:
    assert compile_path(expression)(document) == found


@pytest.mark.parametrize(
    "expression", ["a.", "[", "a b", "items[?", "a" * 3000, "[" * 600 + "]" * 600, "!" * 1500]
)
def test_a_wrong_expression_is_refused_with_its_text(expression: str) -> None:
    with pytest.raises(ConfigError):
        compile_path(expression)


def test_an_expression_that_fails_on_a_document_is_an_error_of_the_source() -> None:
    with pytest.raises(SourceError) as caught:
        compile_path("sum(@)")({"a": 1})

    assert caught.value.kind == "expression_failed"


# -- bodies


@pytest.mark.parametrize(
    "body",
    [
        '{"name": "Zoë"}'.encode(),
        b"\xef\xbb\xbf" + '{"name": "Zoë"}'.encode(),
        '{"name": "Zoë"}'.encode("latin-1"),
        '{"name": "Zoë"}'.encode("utf-16"),
        '{"name": "Zoë"}'.encode("utf-16-le"),
        '{"name": "Zoë"}'.encode("utf-16-be"),
        '{"name": "Zoë"}'.encode("utf-32"),
        b'{"name": "Zo\\u00eb"}',
    ],
)
@pytest.mark.parametrize("kind", ["application/json", "text/plain; charset=ISO-8859-1", "text/html", ""])
def test_json_is_read_whatever_its_label(body: bytes, kind: str) -> None:
    assert document_of(_response(body, kind)).content == {"name": "Zoë"}


def test_a_label_of_another_charset_is_followed_where_the_bytes_are_no_utf8() -> None:
    body = '{"name": "Łódź €"}'.encode("iso-8859-2", "replace")

    assert document_of(_response(body, 'application/json; charset="ISO-8859-2"')).content == {
        "name": "Łódź ?"
    }


@pytest.mark.parametrize(
    "label", ["charset=no-such", "charset=rot13", "charset=hex", "charset=utf-8", "charset=idna"]
)
def test_a_label_that_means_no_charset_harms_nothing(label: str) -> None:
    assert document_of(_response(b'{"a": "\x80"}', f"application/json; {label}")).content == {"a": "€"}


@pytest.mark.parametrize(
    "body", [b"", b"  \n", b"<html>sign in</html>", b"{'a': 1}", b"[NaN]", b"\x00\x01\x02"]
)
def test_what_is_no_json_is_an_error_and_not_an_empty_page(body: bytes) -> None:
    with pytest.raises(SourceError) as caught:
        document_of(_response(body, "text/html"))

    assert caught.value.kind == "undecodable"
    assert not caught.value.retryable


@pytest.mark.parametrize("body", [b'{"a": 1', b'{"a": "b', b'{"a": [1, 2', b'[{"a": 1},', b'{"a":'])
def test_a_text_that_ends_in_the_middle_may_be_whole_when_it_is_asked_for_again(body: bytes) -> None:
    with pytest.raises(SourceError, match="ends in the middle") as caught:
        document_of(_response(body))

    assert (caught.value.kind, caught.value.retryable) == ("undecodable", True)


@pytest.mark.parametrize(
    ("document", "path", "said", "unsaid"),
    [
        ({"data": {"items": [{"id": 1}]}}, "items", "(lists in it: data.items)", "||"),
        ({"rows": [], "a": {"b": {"c": []}}}, "items", "(lists in it: rows, a.b.c)", "||"),
        ({"kind": "list"}, "items", "write 'items || `[]`'", "lists in it"),
    ],
)
def test_where_the_lists_are_is_told_where_a_path_leads_to_nothing(
    document: dict[str, Any], path: str, said: str, unsaid: str
) -> None:
    with pytest.raises(SourceError) as caught:
        select_records(document, compile_path(path), path, one_page=True)

    assert said in caught.value.message
    assert unsaid not in caught.value.message


def test_the_sample_of_an_undecodable_body_is_short_plain_and_masked() -> None:
    body = b"<p>\x1b[31mtoken=sesame-open\r\n" + b"y" * 9000
    with pytest.raises(SourceError) as caught:
        document_of(_response(body), (Secret.of("sesame-open"),))

    assert caught.value.sample is not None
    assert caught.value.sample.startswith("<p> [31mtoken=*** yyy")
    assert len(caught.value.sample) <= 201


@pytest.mark.parametrize("status", [204, 205, 304])
def test_a_status_without_content_has_no_document(status: int) -> None:
    assert document_of(_response(b"", status=status)).content is None


def test_numbers_are_exact() -> None:
    body = b'[{"id": 18446744073709551617, "price": 0.1234567890123456789, "n": 1.5}]'

    assert document_of(_response(body)).content == [
        {
            "id": Decimal(18446744073709551617),
            "price": Decimal("0.1234567890123456789"),
            "n": Decimal("1.5"),
        }
    ]


# -- records


@pytest.mark.parametrize(
    ("document", "path", "count"),
    [
        ({"items": []}, "items", 0),
        ({"items": None}, "items", 0),
        ({"items": {}}, "items", 0),
        ({"items": [{"id": 1}, {"id": 2}]}, "items", 2),
        ({"items": {"id": 1}}, "items", 1),
        ([{"id": 1}], None, 1),
        ([], None, 0),
        (None, None, 0),
        ({"a": {"b": [{"id": 1}]}}, "a.b", 1),
        ({"edges": [{"node": {"id": 1}}]}, "edges[].node", 1),
        ({"edges": None}, "edges[].node", 0),
        ({"x": {"1": {"id": 1}, "2": {"id": 2}}}, "values(x)", 2),
    ],
)
def test_what_can_be_a_list_is_one(document: object, path: str | None, count: int) -> None:
    assert len(_select(document, path)) == count


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({"rows": []}, "items"),
        ({"data": None}, "data.items"),
        ([], "items"),
        (None, "items"),
        ({"items": "none"}, "items"),
        ({"items": 0}, "items"),
        ({"items": False}, "items"),
        ("text", None),
        (3, None),
        ({"error": "overloaded"}, None),
        ({"other": 1}, "edges[].node"),
    ],
)
def test_what_is_no_list_is_an_error_and_not_an_empty_page(document: object, path: str | None) -> None:
    with pytest.raises(SourceError) as caught:
        _select(document, path)

    assert caught.value.kind == "records_missing"


def test_the_error_names_the_lists_that_are_there() -> None:
    with pytest.raises(SourceError, match=r"'items'.*lists in it: rows, tags"):
        _select({"rows": [], "tags": [], "n": 1}, "items")


def test_a_stream_of_one_page_may_be_one_object() -> None:
    assert _select({"id": 1}, None, one_page=True) == [{"id": 1}]


def test_a_record_that_is_no_object_is_rejected_alone() -> None:
    selected = select_records([{"id": 1}, None, "x", 3, [], {"id": 2}], None, None, one_page=False)

    assert selected.records == [{"id": 1}, {"id": 2}]
    assert [(one.index, one.reason) for one in selected.rejected] == [
        (1, "not an object but NoneType"),
        (2, "not an object but str"),
        (3, "not an object but int"),
        (4, "not an object but list"),
    ]
    assert selected.received_count == 6


def test_a_record_that_cannot_be_stored_is_rejected_alone() -> None:
    deep: object = 1
    for _ in range(300):
        deep = [deep]
    body = json.dumps(
        [{"id": 1}, {"id": 2, "deep": deep}, {"id": 3, "half": "\ud800"}, 4, {"id": 5}]
    ).encode()

    selected = select_records(document_of(_response(body)).content, None, None, one_page=False)

    assert [record["id"] for record in selected.records] == [1, 5]
    assert [one.index for one in selected.rejected] == [1, 2, 3]


def test_pages_of_equal_records_have_equal_digests_and_others_have_not() -> None:
    def digest(records: list[object]) -> str:
        return select_records(records, None, None, one_page=False).digest

    assert digest([{"id": 1}]) == digest([{"id": 1}])
    assert len({digest([{"id": 1}]), digest([{"id": 2}]), digest([{"id": 1}, {"id": 1}]), digest([])}) == 4
    assert digest([]) == ""


def test_a_number_is_the_same_whatever_stands_beside_it() -> None:
    alone = loads(b'{"price": 6.10, "count": 3}')
    beside = loads(b'{"price": 6.10, "count": 3, "long": 12345678901234567890}')

    assert dumps(alone["price"]) == dumps(beside["price"]) == b"6.1"
    assert loads(b"[1e400, 12345678901234567890]")[0] == Decimal("1e400")


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("items[?price == `6.1`].id", [1]),
        ("sum(items[].price)", 7.6),
        ("to_number(items[0].part)", Decimal("0.12345678901234567890")),
        ("to_string(items[0].part)", "0.12345678901234567890"),
        ("type(items[0].part)", "number"),
        ("max(items[].long)", Decimal(12345678901234567890)),
        ("sort_by(items, &price)[].id", [2, 1]),
        ("to_string(items[1])", '{"id":2,"price":1.5}'),
    ],
)
def test_expressions_take_long_numbers_as_numbers(expression: str, found: object) -> None:
    document = loads(
        b'{"items": [{"id": 1, "price": 6.10, "long": 12345678901234567890, "part": 0.12345678901234567890},'
        b' {"id": 2, "price": 1.5}]}'
    )

    assert compile_path(expression)(document) == found


def test_what_stands_behind_or_counts_where_the_first_path_leads_to_nothing() -> None:
    assert compile_path("nick || name")({"name": "a"}) == "a"
    assert compile_path("meta.nick || name")({"name": "a"}) == "a"
    assert compile_path("a.items || `[]`")({}) == []
    assert compile_path("nick || name")({}) is MISSING
    assert compile_path("nick | [0]")({"name": "a"}) is MISSING
