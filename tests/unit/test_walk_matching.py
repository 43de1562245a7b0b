"""Paths that lead to nothing are found on the first page: an error where records would be lost, else a warning."""

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.walk_driver import definition

from headwater.contracts.codec import dumps
from headwater.contracts.walking import Records
from headwater.model.errors import SourceError
from headwater.model.http import Response
from headwater.plugins.walk.page import Page
from headwater.plugins.walk.walk import Walk

NOW = datetime(2024, 5, 1, tzinfo=UTC)
URL = "https://api.example.com/items"
ROWS = [{"id": n, "name": "a", "at": f"2024-01-0{n}T00:00:00Z"} for n in range(1, 6)]
CURSOR = {"type": "cursor", "cursor_path": "meta.next_cursor"}


def read(document: Any, number: int = 1, **stream: Any) -> Page:
    records = stream.pop("records", {"path": "items"})
    pinned = definition("https://api.example.com", **stream)
    pinned = pinned.model_copy(
        update={"stream": pinned.stream.model_copy(update={"records": Records.model_validate(records)})}
    )
    walk = Walk(pinned)
    token = walk.first(None, NOW)
    token["progress"]["number"] = number - 1
    return walk.read(token, Response(200, (), dumps(document), URL), NOW)


@pytest.mark.parametrize(
    ("document", "stream", "kind", "told"),
    [
        ({"meta": {"nextCursor": "x"}}, {"pagination": CURSOR}, "path_unmatched",
         "leads to nothing in the answer (keys in meta: nextCursor); write cursor_path: meta.nextCursor"),
        ({"paging": {"next": 7}}, {"pagination": CURSOR}, "path_unmatched", "write cursor_path: paging.next"),
        ({"nextKey": "x"}, {"pagination": {"type": "cursor", "cursor_params": {"a": "key", "b": "other"}}}, "path_unmatched",
         "nextKey"),
        ({"links": {"next": "/b"}}, {"pagination": {"type": "next_url", "next_path": "next"}}, "path_unmatched",
         "write next_path: links.next"),
        ({}, {"pagination": {"type": "keyset", "key_path": "ident", "key_param": "after"}}, "path_unmatched",
         "pagination.key_path 'ident' leads to nothing in the last record (keys there: id, name, at)"),
        ({"data": {"pageInfo": {"hasNextPage": True}}},
         {"pagination": {"type": "graphql_relay", "page_info": "data.pageInfo"}, "request": {"graphql": {"query": "{x}"}}},
         "path_unmatched", "ask for pageInfo { hasNextPage endCursor } in request.graphql.query"),
        ({"data": {"pageInfo": {"hasNextPage": True}}},
         {"pagination": {"type": "graphql_relay", "page_info": "pageInfo"}, "request": {"graphql": {"query": "{x}"}}},
         "path_unmatched", "write page_info: data.pageInfo"),
        ({"next": {"href": "/b"}}, {"pagination": {"type": "next_url", "next_path": "next"}}, "path_unmatched",
         "leads to an object (keys there: href); write next_path: next.href"),
        ({}, {"records": {"path": "items[].item"}}, "records_missing",
         "records.path 'items[].item' finds nothing in the 5 at items (fields there: id, name, at)"),
        ({}, {"destination": {"table": "t", "mode": "merge", "key": ["id", "shop"]}}, "key_missing",
         "destination.key 'shop' is in no record of the first page (fields there: id, name, at)"),
        ({}, {"records": {"path": "items[*].id"}}, "records_missing", "records.path: 'items[*].id | [*].{value: @}'"),
        ({}, {"fields": [{"name": "key", "path": "idd"}], "destination": {"table": "t", "mode": "merge", "key": "key"}},
         "key_missing", "fields.0.path 'idd' leads to nothing in any of the 5 records of the first page"),
        ({}, {"incremental": {"field": "att"}}, "path_unmatched", "incremental.field 'att'"),
        ({}, {"fields": [{"name": "name", "type": "integer"}], "destination": {"table": "t"}}, "fields_unmatched",
         "not one of the 5 records of the first page can be a row: field 'name': 'a' is no integer; correct it"),
        ({}, {"incremental": {"field": "name", "format": "iso"}}, "cursor_unusable", "'a' is no instant"),
        ({}, {"incremental": {"field": "id", "lookback_s": 60}}, "cursor_unusable", "set incremental.format: epoch_s"),
        ({"items": [{"id": 1, "ts": "1503435956.000247"}]}, {"incremental": {"field": "ts", "lookback_s": 60}},
         "cursor_unusable", "'1503435956.000247' is no instant to look back from; set incremental.format: epoch_s"),
        ({"items": [{"id": 1, "at": "b7"}]}, {"incremental": {"field": "at", "lookback_s": 60}}, "cursor_unusable",
         "'b7' is no instant to look back from; leave out incremental.lookback_s"),
        ({"items": [{"id": 1, "at": "31/12/2023"}]}, {"incremental": {"field": "at"}}, "cursor_unusable", "no ISO 8601"),
    ],
)  # fmt: skip
def test_a_path_that_would_lose_records_is_an_error_that_names_what_to_write(
    document: dict[str, Any], stream: dict[str, Any], kind: str, told: str
) -> None:
    with pytest.raises(SourceError) as raised:
        read({"items": ROWS, **document}, **stream)

    assert raised.value.kind == kind
    assert told in raised.value.message
    assert not raised.value.retryable


@pytest.mark.parametrize(
    ("document", "stream", "told"),
    [
        ({"items": ROWS[:4]}, {"destination": {"table": "t", "mode": "merge", "key": "ident"}}, "destination.key 'ident'"),
        ({"items": ROWS[:4]}, {"incremental": {"field": "att"}}, "write field: at"),
        ({"items": [{"at": None}] * 5}, {"incremental": {"field": "at"}}, "'at' is null in the 5 records"),
        ({"meta": {"total": 9}}, {"pagination": {"type": "offset", "total": "meta.totl"}}, "write total: meta.total"),
        ({"total": {"value": 9, "relation": "eq"}}, {"pagination": {"type": "offset", "total": "total"}},
         "'total' leads to an object (value, relation there), and is no number; write total: total.value"),
        ({}, {"pagination": {"type": "page", "has_more": "more"}}, "pagination.has_more 'more' leads to nothing"),
        ({}, {"pagination": CURSOR}, "pagination.cursor_path 'meta.next_cursor' leads to nothing in the answer"),
        ({}, {"fields": ["id", {"name": "x", "path": "nam"}]}, "fields.1.path 'nam' leads to nothing in any of the 5"),
        ({}, {"destination": {"table": "t", "mode": "merge", "key": "id", "order_by": "upd"}}, "destination.order_by"),
    ],
)  # fmt: skip
def test_a_path_that_an_api_may_leave_out_is_a_warning(
    document: dict[str, Any], stream: dict[str, Any], told: str
) -> None:
    page = read({"items": ROWS, **document}, **stream)

    (warning,) = page.warnings
    assert warning.startswith("path_unmatched: ")
    assert told in warning


@pytest.mark.parametrize(
    ("document", "number", "stream"),
    [
        ({}, 2, {"pagination": CURSOR}),  # the last page may well have none
        ({"meta": {"next_cursor": None}}, 1, {"pagination": CURSOR}),
        ({"more": False}, 1, {"pagination": CURSOR | {"has_more": "more"}}),
        ({"items": []}, 1, {"pagination": CURSOR, "incremental": {"field": "no"}}),
        ({}, 1, {"records": {"path": "items[?id > `9`]"}}),
        ({}, 1, {"fields": ["id", {"name": "x", "path": "nam", "default": 0}]}),
        ({"items": [{"id": 1, "at": None}]}, 1, {"incremental": {"field": "at"}}),
        ({"items": [{"id": 1, "at": ""}, *ROWS]}, 1, {"incremental": {"field": "at", "format": "iso"}}),
    ],
)
def test_what_is_there_or_not_needed_is_no_fault(
    document: dict[str, Any], number: int, stream: dict[str, Any]
) -> None:
    assert read({"items": ROWS, **document}, number, **stream).warnings == ()


@pytest.mark.parametrize(
    ("beside", "said"),
    [
        ({"has_more": True}, "has_more says that there is more"),
        ({"meta": {"hasNextPage": "true"}}, "meta.hasNextPage says that there is more"),
        ({"paging": {"next": {"after": "7"}}}, "paging.next.after names a next page"),
        ({"@odata.nextLink": "/more"}, "@odata.nextLink names a next page"),
        ({"nextPageToken": "x"}, "nextPageToken names a next page"),
        ({"totalSize": "6"}, "totalSize says that there are 6 records"),
        ({"has_more": False, "next": None, "total": 5}, None),
        ({"next": "", "links": {"next": None, "self": "/b"}, "total_count": 2}, None),
        ({"next_update": "2024-01-01", "has_more_info": True}, None),
    ],
)
def test_an_answer_that_says_of_more_pages_than_are_read_is_told(
    beside: dict[str, Any], said: str | None
) -> None:
    page = read({"items": ROWS, **beside}, pagination={"type": "none"})

    assert [one.startswith(f"more_pages: {said}, and without") for one in page.warnings] == [True] * bool(
        said
    )


@pytest.mark.parametrize(
    ("inner", "is_told"),
    [
        ({"nodes": [], "pageInfo": {"hasNextPage": True}}, True),
        ({"object": "list", "data": [], "has_more": True}, True),
        ({"nodes": [], "pageInfo": {"hasNextPage": False}}, False),
        ({"data": [], "has_more": False}, False),
        ([{"has_more": True}], False),
    ],
)
def test_a_list_within_a_record_that_has_further_pages_is_told(inner: Any, is_told: bool) -> None:
    rows = [ROWS[0], ROWS[1] | {"lines": inner}]

    page = read({"items": rows})

    assert [one.startswith("more_pages: lines of a record") for one in page.warnings] == [True] * is_told


@pytest.mark.parametrize(
    ("keys", "is_told"),
    [
        ([1, 2, 2, 5], False),
        ([5, 3, 1], False),
        ([3, 1, 2], True),
        (["9", "10", "11"], False),
        (["2024-01-01T10:00:00+02:00", "2024-01-01T09:00:00Z", "2024-01-01T08:30:00Z"], True),
        (["b", "A", "c"], False),
        ([1, None, 2], False),
        ([2, "2024-01-01", 1], False),
    ],
)
def test_a_page_that_is_not_sorted_by_its_key_is_told(keys: list[Any], is_told: bool) -> None:
    pages = {"type": "keyset", "key_path": "key", "key_param": "after"}

    page = read({"items": [{"key": key} for key in keys]}, pagination=pages)

    assert ("keyset_unsorted" in page.warnings) is is_told


def test_an_answer_that_is_the_record_says_nothing_of_pages() -> None:
    page = read({"id": 1, "total": 500, "next": "/b"}, pagination={"type": "none"}, records={})

    assert page.warnings == ()


def test_a_link_header_says_of_more_pages_too() -> None:
    walk = Walk(definition("https://api.example.com", pagination={"type": "none"}))
    headers = (("Link", '</items?page=2>; rel="next"'),)

    page = walk.read(walk.first(None, NOW), Response(200, headers, dumps({"items": ROWS}), URL), NOW)

    assert page.warnings[0].startswith("more_pages: the Link header names a next page")


@pytest.mark.parametrize(
    ("beside", "said"),
    [
        ({"error": {"message": "backend is slow"}}, "error says backend is slow"),
        ({"success": False}, "success says False"),
        ({"timed_out": True}, "timed_out says True"),
        ({"incomplete_results": True}, "incomplete_results says True"),
        ({"_shards": {"total": 5, "failed": 2}}, "_shards says"),
        ({"error": None, "errors": [], "success": True, "timed_out": False, "_shards": {"failed": 0}}, None),
    ],
)
def test_an_error_beside_records_is_told(beside: dict[str, Any], said: str | None) -> None:
    page = read({"items": ROWS, **beside})

    assert [f"error_beside_records: records came, and {said}" in one for one in page.warnings] == [
        True
    ] * bool(said)
    assert len(page.records) == len(ROWS)


def test_a_stream_that_says_what_an_error_is_knows_better() -> None:
    assert read({"items": ROWS, "success": False}, errors={"if": "`false`"}).warnings == ()


def test_a_filter_that_wants_no_record_of_the_first_page_is_told() -> None:
    records = {"path": "items", "filter": "stauts == 'open'"}

    first, second = (read({"items": ROWS}, number, records=records) for number in (1, 2))

    assert first.warnings == (
        "filter_unmatched: records.filter keeps none of the 5 records of the first page",
    )
    assert second.warnings == ()


@pytest.mark.parametrize(
    ("versions", "count"), [(["9", "10"], 1), (["9", "b"], 0), ([9, 10], 0), ([None], 0)]
)
def test_numbers_as_texts_that_say_which_record_is_newer_are_told(versions: list[Any], count: int) -> None:
    destination = {"table": "t", "mode": "merge", "key": "id", "order_by": "version"}
    rows = [{"id": number, "version": version} for number, version in enumerate(versions)]

    page = read({"items": rows}, destination=destination)

    assert [one.startswith("order_by_text: ") for one in page.warnings] == [True] * count


def test_a_key_that_is_a_path_is_mended_by_a_field() -> None:
    rows = [{"meta": {"id": number}} for number in range(5)]
    destination = {"table": "t", "mode": "merge", "key": "meta.id"}

    with pytest.raises(SourceError, match=r"fields: \{meta_id: meta.id\} and rest: keep, and write meta_id"):
        read({"items": rows}, destination=destination)


def test_a_cursor_that_is_missing_although_there_is_more_is_told() -> None:
    page = read(
        {"items": ROWS, "meta": {"next_cursor": None}, "more": True}, pagination=CURSOR | {"has_more": "more"}
    )

    assert page.warnings == ("cursor_absent",)


def test_a_few_values_that_are_no_records_are_rejected_alone_and_a_list_of_them_is_the_wrong_list() -> None:
    few = read({"items": ["a", "b"]})

    assert (len(few.rejected), few.received_count) == (2, 2)
    with pytest.raises(SourceError, match="leads to a list of str, and records are objects") as raised:
        read({"items": ["a", "b", "c", "d", "e"]})
    assert raised.value.kind == "records_missing"


@pytest.mark.parametrize("nothing", [False, ""])
def test_false_and_an_empty_text_are_an_empty_list_behind_the_first_page_alone(nothing: Any) -> None:
    page = read({"items": nothing}, 2, pagination={"type": "offset"})

    assert (page.records, page.stop_reason) == ([], "empty_page")
    with pytest.raises(SourceError) as raised:
        read({"items": nothing}, pagination={"type": "offset"})
    assert raised.value.kind == "records_missing"


def test_several_values_that_lead_on_go_into_a_parameter_each() -> None:
    pagination = {"type": "cursor", "cursor_params": {"key": "k", "version": "v"}}
    document = {"items": ROWS, "k": "a b", "v": None}

    page = read(document, pagination=pagination)

    assert page.next_token is not None
    walk = Walk(definition("https://api.example.com", pagination=pagination))
    assert walk.request(page.next_token).url == f"{URL}?key=a%20b"
    assert read({"items": ROWS, "k": "", "v": None}, pagination=pagination).stop_reason == "cursor_end"
    assert read({"items": ROWS, "k": {}, "v": {"a": 1}}, pagination=pagination).stop_reason == "error"
