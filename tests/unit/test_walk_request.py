"""Requests: where parameters go, and where secrets do not."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.walk_driver import definition

from headwater.contracts.codec import dumps
from headwater.model.errors import ConfigError, SecretError
from headwater.model.http import Response
from headwater.model.secret import Secret
from headwater.plugins.walk.walk import Walk

NOW = datetime(2024, 5, 1, tzinfo=UTC)
SECRETS = {"TOKEN": Secret.of("t0ken-value"), "OTHER": Secret.of('q"uo\\te')}


def _walk(**parts: Any) -> Walk:
    return Walk(definition(parts.pop("base_url", "https://api.example/v1"), **parts))


def _url(**parts: Any) -> str:
    walk = _walk(**parts)
    return walk.request(walk.first(None, NOW)).url


@pytest.mark.parametrize(
    ("base_url", "path", "url"),
    [
        ("https://api.example", "items", "https://api.example/items"),
        ("https://api.example/v1", "/items", "https://api.example/v1/items"),
        ("https://api.example/v1/", "items/", "https://api.example/v1/items/"),
        ("https://api.example/v1", "", "https://api.example/v1"),
        ("https://api.example/v1?fmt=json", "items?x=1", "https://api.example/v1/items?fmt=json&x=1"),
    ],
)
def test_the_path_is_appended_to_the_base_url(base_url: str, path: str, url: str) -> None:
    assert _url(base_url=base_url, request={"path": path}) == url


def test_parameters_are_written_as_apis_read_them() -> None:
    params = {"a": True, "b": "x y&z", "c": 2, "d": 0.5, "e": ["1", "2"], "f[]": "ü"}

    assert (
        _url(request={"params": params}).partition("?")[2]
        == "a=true&b=x%20y%26z&c=2&d=0.5&e=1&e=2&f%5B%5D=%C3%BC"
    )


@pytest.mark.parametrize(
    ("pagination", "query"),
    [
        ({"type": "none"}, ""),
        ({"type": "offset"}, "offset=0&limit=100"),
        ({"type": "offset", "offset_param": "skip", "size_param": None, "start": 5}, "skip=5"),
        ({"type": "page"}, "page=1"),
        ({"type": "page", "page_param": "p", "start": 0, "size": 50, "size_param": "per"}, "p=0&per=50"),
        ({"type": "cursor", "cursor_path": "next", "size": 20, "size_param": "limit"}, "limit=20"),
        ({"type": "next_url", "next_path": "next", "size": 20, "size_param": "limit"}, "limit=20"),
        ({"type": "link"}, ""),
    ],
)
def test_the_first_request_of_each_paginator(pagination: dict[str, Any], query: str) -> None:
    assert _url(pagination=pagination).partition("?")[2] == query


def test_the_paginator_wins_over_a_fixed_parameter_of_the_same_name() -> None:
    url = _url(request={"params": {"limit": 5, "x": 1}}, pagination={"type": "offset"})

    assert url.partition("?")[2] == "limit=100&x=1&offset=0"


def test_parameters_go_into_the_json_body_where_they_belong_there() -> None:
    walk = _walk(
        request={"method": "POST", "json": {"query": {"match": "all"}, "page": {"size": 1}}},
        pagination={"type": "offset", "in": "json", "offset_param": "page.from", "size_param": "page.size"},
    )

    request = walk.request(walk.first(None, NOW))

    assert (request.method, request.url) == ("POST", "https://api.example/v1/items")
    assert json.loads(request.body or b"") == {"query": {"match": "all"}, "page": {"size": 100, "from": 0}}
    assert ("Content-Type", "application/json") in request.headers


def test_parameters_go_into_headers_and_path() -> None:
    walk = _walk(pagination={"type": "page", "in": "header", "page_param": "X-Page"})
    assert walk.request(walk.first(None, NOW)).headers == (("X-Page", "1"),)

    assert _url(request={"path": "items/{page}/all"}, pagination={"type": "page", "in": "path"}) == (
        "https://api.example/v1/items/1/all"
    )


def test_a_cursor_goes_on_from_where_it_stood() -> None:
    incremental = {"field": "updated_at", "param": "since", "start": "2020-01-01"}
    walk = _walk(incremental=incremental)

    assert walk.request(walk.first(None, NOW)).url.endswith("?since=2020-01-01")
    assert walk.request(walk.first("2024-05-01T10:00:00+02:00", NOW)).url.endswith(
        "?since=2024-05-01T10%3A00%3A00%2B02%3A00"
    )
    assert _url(incremental=incremental | {"start": None}).endswith("/items")


@pytest.mark.parametrize(
    ("auth", "headers", "query", "cookies"),
    [
        ({"type": "none"}, {}, {}, {}),
        ({"type": "bearer", "token": "${secret:TOKEN}"}, {"Authorization": "Bearer t0ken-value"}, {}, {}),
        ({"type": "bearer", "token": "plain", "scheme": "Token"}, {"Authorization": "Token plain"}, {}, {}),
        ({"type": "basic", "username": "me", "password": "${secret:TOKEN}"},
         {"Authorization": "Basic bWU6dDBrZW4tdmFsdWU="}, {}, {}),
        ({"type": "api_key", "value": "${secret:TOKEN}"}, {"X-API-Key": "t0ken-value"}, {}, {}),
        ({"type": "api_key", "name": "key", "in": "query", "value": "k-${secret:TOKEN}"}, {},
         {"key": "k-t0ken-value"}, {}),
        ({"type": "api_key", "name": "sid", "in": "cookie", "value": "${secret:TOKEN}"}, {}, {},
         {"sid": "t0ken-value"}),
    ],
)  # fmt: skip
def test_each_kind_of_credentials_stands_beside_the_request(
    auth: dict[str, Any], headers: dict[str, str], query: dict[str, str], cookies: dict[str, str]
) -> None:
    walk = _walk(source={"auth": auth})

    request = walk.request(walk.first(None, NOW), SECRETS)

    credentials = request.credentials
    assert credentials.origin == "https://api.example:443"
    for pairs, wanted in (
        (credentials.headers, headers),
        (credentials.query, query),
        (credentials.cookies, cookies),
    ):
        assert {name: value.text() for name, value in pairs} == wanted
    assert request.url == "https://api.example/v1/items"
    assert request.headers == ()
    assert "t0ken" not in repr(request)


def test_secrets_in_headers_params_and_body_stand_beside_the_request_too() -> None:
    walk = _walk(
        source={"headers": {"X-App": "${secret:TOKEN}", "X-Plain": "1"}},
        request={
            "method": "POST",
            "params": {"sig": "${secret:TOKEN}", "a": 1},
            "json": {"key": "${secret:OTHER}"},
        },
    )

    request = walk.request(walk.first(None, NOW), SECRETS)

    assert request.url == "https://api.example/v1/items?a=1"
    assert (request.headers, request.body) == ((("X-Plain", "1"), ("Content-Type", "application/json")), None)
    assert {name: value.text() for name, value in request.credentials.headers} == {"X-App": "t0ken-value"}
    assert {name: value.text() for name, value in request.credentials.query} == {"sig": "t0ken-value"}
    assert request.credentials.body is not None
    assert json.loads(request.credentials.body.reveal()) == {"key": 'q"uo\\te'}


def test_a_secret_that_is_not_there_is_named() -> None:
    walk = _walk(source={"auth": {"type": "bearer", "token": "${secret:LOST}"}})

    with pytest.raises(SecretError, match="'LOST'"):
        walk.request(walk.first(None, NOW), SECRETS)


def test_a_next_url_that_repeats_the_key_does_not_carry_it_into_a_message() -> None:
    walk = _walk(
        source={"auth": {"type": "api_key", "name": "api_key", "in": "query", "value": "${secret:TOKEN}"}},
        pagination={"type": "next_url", "next_path": "next"},
    )
    body = dumps(
        {"items": [{"id": 1}], "next": "https://api.example/v1/items?page=2&api_key=t0ken-value&z=%41"}
    )

    page = walk.read(walk.first(None, NOW), _response(body), NOW, SECRETS)

    assert page.next_token is not None
    assert "t0ken" not in dumps(page.next_token).decode()
    again = walk.request(page.next_token, SECRETS)
    assert again.url == "https://api.example/v1/items?page=2&z=%41"
    assert {name: value.text() for name, value in again.credentials.query} == {"api_key": "t0ken-value"}


@pytest.mark.parametrize("name", ["API_KEY", "access_token"])
def test_a_next_url_that_repeats_the_key_by_another_name_does_not_carry_it_either(name: str) -> None:
    walk = _walk(
        source={"auth": {"type": "bearer", "token": "${secret:TOKEN}"}},
        pagination={"type": "next_url", "next_path": "next"},
    )
    key = Secret.of("t0k&n value")
    there = f"https://api.example/v1/items?page=2&{name}=t0k%26n+value&z=%41"
    body = dumps({"items": [{"id": 1}], "next": there})

    page = walk.read(
        walk.first(None, NOW), _response(body), NOW, {}, hidden=[Secret.of("Bearer t0k&nvalue"), key]
    )

    assert page.next_token is not None
    assert page.next_token["place"] == {"url": "https://api.example/v1/items?page=2&z=%41"}


def test_a_next_url_on_another_host_is_not_followed_with_or_without_credentials() -> None:
    walk = _walk(pagination={"type": "next_url", "next_path": "next"})
    body = dumps({"items": [{"id": 1}], "next": "https://evil.example/items?page=2"})

    page = walk.read(walk.first(None, NOW), _response(body), NOW)

    assert (page.next_token, page.stop_reason, page.warnings) == (None, "error", ("foreign_link",))
    assert page.records == [{"id": 1}]


def test_a_next_url_on_a_host_that_was_allowed_is_followed_without_credentials() -> None:
    walk = _walk(
        source={
            "auth": {"type": "bearer", "token": "${secret:TOKEN}"},
            "headers": {"X-Own": "1", "Accept": "a/b"},
        },
        pagination={"type": "next_url", "next_path": "next", "hosts": "pages.example"},
    )
    body = dumps({"items": [{"id": 1}], "next": "https://pages.example/2"})
    page = walk.read(walk.first(None, NOW), _response(body), NOW, SECRETS)
    assert page.next_token is not None

    request = walk.request(page.next_token, SECRETS)

    assert request.url == "https://pages.example/2"
    assert request.headers == (("Accept", "a/b"),)
    assert request.credentials.origin == "https://api.example:443"


@pytest.mark.parametrize(
    ("found", "url"),
    [
        ("http://api.example/v1/items?p=2", "https://api.example/v1/items?p=2"),
        ("//api.example/v1/items?p=2", "https://api.example/v1/items?p=2"),
        ("/v1/items?p=2#top", "https://api.example/v1/items?p=2"),
        ("HTTPS://API.EXAMPLE/v1/items?p=2", "https://API.EXAMPLE/v1/items?p=2"),
        (" ?p=2 ", "https://api.example/v1/items?p=2"),
    ],
)
def test_a_link_to_the_own_host_is_followed_however_it_is_written(found: str, url: str) -> None:
    walk = _walk(pagination={"type": "next_url", "next_path": "next"})

    page = walk.read(walk.first(None, NOW), _response(dumps({"items": [{"id": 1}], "next": found})), NOW)

    assert page.next_token is not None
    assert walk.request(page.next_token).url == url


@pytest.mark.parametrize(
    "found",
    ["http://api.example:8080/x", "https://api.example.evil/x", "https://api.example@evil/x", "ftp://api.example/x",
     "javascript:alert(1)", 7, {"to": "/x"}, "https://api.example/" + "x" * 20_000],
)  # fmt: skip
def test_a_link_that_cannot_be_followed_ends_the_walk_as_incomplete(found: object) -> None:
    walk = _walk(pagination={"type": "next_url", "next_path": "next"})

    page = walk.read(walk.first(None, NOW), _response(dumps({"items": [{"id": 1}], "next": found})), NOW)

    assert page.stop_reason == "error"
    assert page.warnings[0] in {"foreign_link", "next_unusable"}


@pytest.mark.parametrize("path", ["https://evil.example/x", "//evil.example/x", "x/${secret:TOKEN}"])
def test_a_path_that_names_a_host_or_a_secret_is_refused(path: str) -> None:
    with pytest.raises(ConfigError):
        _walk(request={"path": path})


def _response(body: bytes) -> Response:
    return Response(200, (), body, "https://api.example/v1/items")


def test_a_post_that_pages_in_its_body_has_one_from_the_first_page_on() -> None:
    pages = {"type": "cursor", "cursor_path": "next", "in": "json"}
    walk = _walk(request={"method": "POST"}, pagination=pages)

    assert walk.request(walk.first(None, NOW)).body == b"{}"


def test_a_parameter_in_the_body_reaches_into_lists_that_are_there() -> None:
    rule = {"field": "at", "param": "groups.0.filters.1.value", "in": "json"}
    asked = {"method": "POST", "json": {"groups": [{"filters": [{"name": "a"}, {"name": "at", "value": 0}]}]}}
    walk = _walk(request=asked, incremental=rule)

    first, later = (json.loads(walk.request(walk.first(since, NOW)).body or b"") for since in (None, "2024"))

    assert first == asked["json"]
    assert later == {"groups": [{"filters": [{"name": "a"}, {"name": "at", "value": "2024"}]}]}


@pytest.mark.parametrize("pages", [{"type": "offset"}, {"type": "next_url", "next_path": "next"}])
def test_a_cursor_goes_into_the_body_or_a_header_on_every_page(pages: dict[str, Any]) -> None:
    rule = {"field": "at", "param": "filter.since", "in": "json"}
    asked = {"method": "POST", "json": {"filter": {"kind": "a"}}}
    walk = _walk(request=asked, pagination=pages, incremental=rule)
    token = walk.first("2024-01-01", NOW)
    answer = dumps({"items": [{"id": 1, "at": "2024-02-01"}], "next": "/v1/more?b=1"})
    following = walk.read(token, _response(answer), NOW).next_token
    assert following is not None

    for each in (token, following):
        request = walk.request(each)
        assert json.loads(request.body or b"") == {"filter": {"kind": "a", "since": "2024-01-01"}}
        assert "since" not in request.url

    walk = _walk(pagination=pages, incremental=rule | {"in": "header", "param": "X-Since"})
    request = walk.request(walk.first("2024-01-01", NOW))
    assert dict(request.headers)["X-Since"] == "2024-01-01"
