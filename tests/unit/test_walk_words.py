"""What the request names of the walk (`{walk.offset}`), where it stands, and when it is left out."""

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from tests.support.walk_driver import definition

from headwater.contracts.codec import dumps
from headwater.model.errors import ConfigError, SourceError
from headwater.model.http import HttpRequest, Response
from headwater.model.secret import Secret
from headwater.plugins.walk.walk import Walk

NOW = datetime(2024, 5, 1, tzinfo=UTC)
SECRETS = {"PASSWORD": Secret.of("p&ss<word>")}
SOQL = "SELECT Id FROM Account WHERE SystemModstamp >= {walk.since} ORDER BY SystemModstamp"


def _walk(**parts: Any) -> Walk:
    return Walk(definition("https://api.example/v1", **parts))


def _first(cursor: Any = None, **parts: Any) -> HttpRequest:
    walk = _walk(**parts)
    return walk.request(walk.first(cursor, NOW), SECRETS)


def _pairs(request: HttpRequest) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(request.url).query, keep_blank_values=True))


def _second(walk: Walk, document: Any) -> HttpRequest:
    """The request for the page behind a first one that is answered with `document`."""
    response = Response(200, (), dumps(document), "https://api.example/v1/items")
    following = walk.read(walk.first(None, NOW), response, NOW, SECRETS).next_token
    assert following is not None
    return walk.request(following, SECRETS)


def test_a_query_language_holds_what_a_page_is_asked_by_and_nothing_else_does() -> None:
    query = (
        "select * from Invoice where at >= '{walk.since}' startposition {walk.offset} maxresults {walk.size}"
    )
    parts: dict[str, Any] = {
        "request": {"params": {"query": query}},
        "pagination": {"type": "offset", "start": 1, "size": 50},
        "incremental": {"field": "at", "start": "2000-01-01T00:00:00Z"},
    }

    assert _pairs(_first(**parts)) == {
        "query": "select * from Invoice where at >= '2000-01-01T00:00:00Z' startposition 1 maxresults 50"
    }
    assert (
        "at >= '2024-04-01T00:00:00Z' startposition 1"
        in _pairs(_first("2024-04-01T00:00:00Z", **parts))["query"]
    )


@pytest.mark.parametrize(
    ("request_", "incremental", "wanted"),
    [
        ({"params": {"filter": "gte.{walk.since}", "a": "1"}}, {}, {"a": "1"}),
        ({"params": {"filter": ["a.1", "gte.{walk.since}"]}}, {}, {"filter": "a.1"}),
        ({"params": {"filter": "gte.{walk.since}"}}, {"start": "2024-01-02"}, {"filter": "gte.2024-01-02"}),
        ({"params": {"until": "{walk.until}"}}, {}, {"until": "2024-05-01T00:00:00Z"}),
        ({"params": {"until": "{walk.until}"}}, {"format": "epoch_s"}, {"until": "1714521600"}),
    ],
)
def test_a_parameter_that_names_what_is_not_there_is_left_out(
    request_: dict[str, Any], incremental: dict[str, Any], wanted: dict[str, str]
) -> None:
    assert _pairs(_first(request=request_, incremental={"field": "at", **incremental})) == wanted


def test_a_range_of_positions_goes_into_a_header() -> None:
    request = _first(
        request={"headers": {"Range": "items={walk.offset}-{walk.last}"}},
        pagination={"type": "offset", "size": 20},
    )

    assert request.headers == (("Range", "items=0-19"),)
    assert _pairs(request) == {"limit": "20"}


def test_json_gets_values_with_their_type_and_lacks_what_is_not_there() -> None:
    body = {
        "from": "{walk.offset}",
        "text": "at {walk.offset}",
        "after": "{walk.since}",
        "all": ["{walk.since}", 1],
    }
    request = _first(
        request={"method": "POST", "json": body}, pagination={"type": "offset"}, incremental={"field": "at"}
    )

    assert json.loads(request.body or b"") == {"from": 0, "text": "at 0", "all": [1]}


def test_a_body_may_be_a_list() -> None:
    request = _first(
        request={"method": "POST", "json": [{"skip": "{walk.offset}"}]}, pagination={"type": "offset"}
    )

    assert json.loads(request.body or b"") == [{"skip": 0}]


def test_a_form_is_written_as_one_with_its_secrets() -> None:
    form = {"key": "${secret:PASSWORD}", "offset": "{walk.offset}", "tags": ["a b", "c"]}
    request = _first(request={"method": "POST", "form": form}, pagination={"type": "offset"})

    body = request.credentials.body
    assert body is not None and body.text() == "key=p%26ss%3Cword%3E&offset=0&tags=a%20b&tags=c"
    assert ("Content-Type", "application/x-www-form-urlencoded") in request.headers
    assert request.body is None


def test_xml_gets_values_and_secrets_as_xml_writes_them() -> None:
    text = "<e><p>${secret:PASSWORD}</p><from>{walk.since}</from><page>{walk.page}</page></e>"
    request = _first(
        "a<b",
        request={"method": "POST", "text": text},
        pagination={"type": "page"},
        incremental={"field": "at", "start": "0"},
    )

    body = request.credentials.body
    assert body is not None
    assert body.text() == "<e><p>p&amp;ss&lt;word&gt;</p><from>a&lt;b</from><page>1</page></e>"
    assert ("Content-Type", "text/xml; charset=utf-8") in request.headers


def test_another_text_says_itself_what_it_is() -> None:
    request = _first(
        request={
            "method": "POST",
            "text": "fields *; offset {walk.offset};",
            "headers": {"Content-Type": "text/x-q"},
        },
        pagination={"type": "offset"},
    )

    assert request.body == b"fields *; offset 0;"
    assert request.headers == (("Content-Type", "text/x-q"),)


def test_slices_and_keys_are_named_too() -> None:
    window = {
        "type": "window",
        "start": "2024-03-01T00:00:00Z",
        "step_s": 86_400,
        "end_before_s": 1,
        "format": "%Y%m%d %H:%M:%S",
        "pages": {"type": "keyset", "key_path": "id", "start": 0},
    }
    request = _first(request={"params": {"q": "at:{walk.from}..{walk.to} id>{walk.key}"}}, pagination=window)

    assert _pairs(request) == {"q": "at:20240301 00:00:00..20240301 23:59:59 id>0"}


def test_the_variables_of_graphql_hold_templates() -> None:
    request = _first(
        "2024-04-01T00:00:00Z",
        request={
            "graphql": {"query": "query($q: String) {a}", "variables": {"q": "updated_at:>='{walk.since}'"}}
        },
        incremental={"field": "at"},
    )

    assert json.loads(request.body or b"")["variables"] == {"q": "updated_at:>='2024-04-01T00:00:00Z'"}


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"request": {"params": {"q": "{walk.offset}"}}, "pagination": {"type": "page"}}, "it has {walk.page}"),
        ({"request": {"params": {"q": "{walk.size}"}}, "pagination": {"type": "page"}}, "it has {walk.page}"),
        ({"request": {"params": {"q": "{walk.since}"}}}, "it has nothing"),
        ({"request": {"params": {"q": "{walk.Page}"}}, "pagination": {"type": "page"}}, "{walk.Page}, which"),
        ({"request": {"params": {"q": "{walk.cursor.key}"}},
          "pagination": {"type": "cursor", "cursor_path": "next"}}, "{walk.cursor.key}, which"),
        ({"request": {"params": {"q": SOQL + " LIMIT {walk.size}"}}, "pagination": {"type": "offset"},
          "incremental": {"field": "at"}}, "incremental.start"),
        ({"request": {"path": "since/{walk.since}"}, "incremental": {"field": "at"}}, "incremental.start"),
        ({"request": {"params": {"q": "{walk.size} {walk.cursor}"}},
          "pagination": {"type": "cursor", "cursor_path": "next", "size": 5}}, "a parameter of its own"),
        ({"pagination": {"type": "keyset", "key_path": "id"}}, "pagination.key_param is missing"),
        ({"pagination": {"type": "window", "start": "2024-01-01T00:00:00Z", "step_s": 60}}, "start_param is missing"),
    ],
)  # fmt: skip
def test_what_cannot_be_filled_is_refused_with_the_mend(parts: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        _walk(**parts)


def test_a_value_of_the_api_that_looks_like_a_secret_is_not_filled_in() -> None:
    walk = _walk(
        request={"method": "POST", "json": {"key": "${secret:PASSWORD}"}},
        pagination={"type": "cursor", "cursor_path": "next", "in": "json"},
    )

    with pytest.raises(SourceError, match="looks like a reference to a secret"):
        _second(walk, {"items": [{"id": 1}], "next": "${secret:PASSWORD}"})


CURSOR = {"type": "cursor", "cursor_path": "next", "size": 5, "size_param": "limit"}
NEXT = {"items": [{"id": 1}], "next": "n2"}


def test_a_cursor_may_stand_alone() -> None:
    walk = _walk(
        request={"params": {"market": "A1", "kind": "all"}},
        pagination=CURSOR | {"replaces": "all"},
        incremental={"field": "at", "param": "since", "start": "2024-01-01"},
    )

    assert _pairs(walk.request(walk.first(None, NOW))) == {
        "market": "A1", "kind": "all", "limit": "5", "since": "2024-01-01",
    }  # fmt: skip
    assert _pairs(_second(walk, NEXT)) == {"cursor": "n2"}


def test_a_cursor_may_take_the_place_of_some() -> None:
    walk = _walk(
        request={"params": {"market": "A1", "kind": "all"}}, pagination=CURSOR | {"replaces": ["kind"]}
    )

    assert _pairs(_second(walk, NEXT)) == {"market": "A1", "limit": "5", "cursor": "n2"}


def test_further_pages_may_be_asked_for_elsewhere() -> None:
    walk = _walk(
        request={"method": "POST", "path": "list", "json": {"path": "", "deep": {"a": 1, "b": 2}}},
        pagination=CURSOR | {"in": "json", "replaces": ["path", "deep.a"], "continue_path": "list/continue"},
    )

    request = _second(walk, NEXT)

    assert request.url == "https://api.example/v1/list/continue"
    assert json.loads(request.body or b"") == {"deep": {"b": 2}, "limit": 5, "cursor": "n2"}


def test_secrets_and_a_graphql_query_stay_beside_a_cursor_that_stands_alone() -> None:
    walk = _walk(
        request={"params": {"key": "${secret:PASSWORD}", "a": "1"}}, pagination=CURSOR | {"replaces": "all"}
    )
    assert [name for name, _ in _second(walk, NEXT).credentials.query] == ["key"]

    walk = _walk(
        request={"graphql": {"query": "query {a}", "variables": {"filter": "x"}}},
        pagination=CURSOR | {"in": "json", "cursor_param": "variables.cursor", "replaces": "all"},
    )
    assert json.loads(_second(walk, NEXT).body or b"") == {
        "query": "query {a}",
        "variables": {"cursor": "n2"},
    }


def test_a_number_of_a_header_is_one_in_json_where_a_number_stands() -> None:
    walk = _walk(
        request={"method": "POST", "json": {"row": 1}},
        pagination={"type": "cursor", "cursor_header": "X-Next", "cursor_param": "row", "in": "json"},
    )
    response = Response(
        200, (("X-Next", "51"),), dumps({"items": [{"id": 1}]}), "https://api.example/v1/items"
    )

    following = walk.read(walk.first(None, NOW), response, NOW).next_token

    assert following is not None
    assert json.loads(walk.request(following).body or b"") == {"row": 51}
