"""What answers of well-known shapes are taken for."""

from typing import Any

import pytest

from headwater.contracts.codec import dumps
from headwater.contracts.source import Stream
from headwater.model.http import Response
from headwater.plugins.walk.preview import suggested

ROWS = [{"id": 1}, {"id": 2}]


@pytest.mark.parametrize(
    ("document", "headers", "records", "pagination"),
    [
        (ROWS, (("Link", '<https://x/?page=2>; rel="next"'),), {}, {"type": "link"}),
        ({"data": ROWS, "has_more": True}, (), {"path": "data"}, {"type": "keyset", "key_path": "id", "key_param": "starting_after", "has_more": "has_more"}),
        ({"results": ROWS, "next": "https://x/?page=2"}, (), {"path": "results"}, {"type": "next_url", "next_path": "next"}),
        ({"value": ROWS, "@odata.nextLink": "https://x/"}, (), {"path": "value"}, {"type": "next_url", "next_path": '"@odata.nextLink"'}),
        ({"_embedded": {"orders": ROWS}, "_links": {"next": {"href": "/o?p=2"}}}, (), {"path": "_embedded.orders"}, {"type": "next_url", "next_path": "_links.next.href"}),
        ({"items": ROWS, "nextPageToken": "abc"}, (), {"path": "items"}, {"type": "cursor", "cursor_path": "nextPageToken", "cursor_param": "pageToken"}),
        ({"rows": ROWS, "next": "abc"}, (), {"path": "rows"}, {"type": "cursor", "cursor_path": "next"}),
        ({"data": {"items": {"nodes": ROWS, "pageInfo": {"hasNextPage": True, "endCursor": "c"}}}}, (), {"path": "data.items.nodes"}, {"type": "graphql_relay", "page_info": "data.items.pageInfo"}),
        ({"data": ROWS, "page": 1, "total_pages": 3}, (), {"path": "data"}, {"type": "page", "total_pages": "total_pages"}),
        ({"items": ROWS, "total": 50}, (), {"path": "items"}, {"type": "offset", "size": 2, "total": "total"}),
        ({"items": ROWS, "total": 2}, (), {"path": "items"}, {}),
        ({"error": "no"}, (), {}, {}),
        ([], (), {}, {}),
    ],
)  # fmt: skip
def test_an_answers_shape_suggests_how_to_walk_it(
    document: Any, headers: Any, records: dict[str, Any], pagination: dict[str, Any]
) -> None:
    found = suggested(Response(200, headers, dumps(document), "https://x/"))

    assert (dict(found.records), dict(found.pagination)) == (records, pagination)
    if pagination:
        Stream.model_validate(
            {"name": "s", "pagination": dict(found.pagination), "records": dict(found.records)}
        )
        assert found.why


def test_what_is_no_json_suggests_nothing() -> None:
    assert suggested(Response(200, (), b"<html>", "https://x/")).pagination == {}
