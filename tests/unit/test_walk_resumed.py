"""A walk that a limit cut, and that the next run goes on with: it knows what the pages before said."""

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.walk_driver import definition

from headwater.contracts.codec import dumps, loads
from headwater.contracts.walking import Records
from headwater.model.http import Response
from headwater.plugins.walk.page import Page
from headwater.plugins.walk.walk import Walk

NOW = datetime(2024, 5, 1, tzinfo=UTC)
KEYSET = {"type": "keyset", "key_path": "id", "key_param": "from", "size": 3, "size_param": "limit"}


def _cut_by(limits: dict[str, int], body: bytes, **stream: Any) -> tuple[Walk, Page]:
    walk = Walk(definition("https://a.example", limits=limits, **stream))
    return walk, _read(walk, walk.first(None, NOW), body)


def _read(walk: Walk, token: Any, body: bytes) -> Page:
    return walk.read(loads(dumps(token)), Response(200, (), body, "https://a.example/items"), NOW)


def _items(*ids: int) -> bytes:
    return dumps({"items": [{"id": number} for number in ids], "total": 5})


@pytest.mark.parametrize("pagination", [KEYSET, KEYSET | {"total": "total"}])
def test_the_record_of_the_key_that_comes_again_is_known(pagination: dict[str, Any]) -> None:
    walk, cut = _cut_by({"max_pages": 1}, _items(1, 2, 3), pagination=pagination)

    page = _read(walk, walk.resumed(cut.resume_token or {}, NOW), _items(3, 4, 5))

    assert page.records == [{"id": 4}, {"id": 5}]
    assert "total_exceeded" not in page.warnings


def test_a_limit_of_records_counts_the_one_that_comes_again_once() -> None:
    walk, first = _cut_by({"max_records": 4}, _items(1, 2, 3), pagination=KEYSET)

    page = _read(walk, first.next_token, _items(3, 4, 5))

    assert page.records == [{"id": 4}]
    again = _read(walk, walk.resumed(page.resume_token or {}, NOW), _items(3, 4, 5))
    assert again.records == [{"id": 5}]


def test_a_page_of_csv_without_a_header_has_the_columns_of_those_before_the_cut() -> None:
    stream = definition("https://a.example", limits={"max_pages": 1}, pagination={"type": "page"})
    records = Records(format="csv")
    walk = Walk(stream.model_copy(update={"stream": stream.stream.model_copy(update={"records": records})}))
    cut = _read(walk, walk.first(None, NOW), b"id,name\n1,a\n2,b\n")

    page = _read(walk, walk.resumed(cut.resume_token or {}, NOW), b"3,c\n4,d\n")

    assert page.records == [{"id": "3", "name": "c"}, {"id": "4", "name": "d"}]
