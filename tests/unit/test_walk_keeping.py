"""Tokens that an API gives for the next run: where they are found, how they are asked by, and when they are over."""

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.walk_driver import definition

from headwater.contracts.codec import dumps
from headwater.contracts.source import Stream
from headwater.contracts.walking import Incremental
from headwater.model.errors import ConfigError, SourceError
from headwater.model.http import Response
from headwater.model.run import StopReason
from headwater.plugins.walk.page import Page
from headwater.plugins.walk.token import token_digest
from headwater.plugins.walk.walk import Walk
from headwater.plugins.walk.windows import WindowError, check_window
from headwater.store.backfills import can_have_window

NOW = datetime(2024, 5, 1, tzinfo=UTC)
URL = "https://api.example/v1/items"
SYNC: dict[str, Any] = {
    "request": {"params": {"timeMin": "2024-01-01", "single": True}},
    "pagination": {"type": "cursor", "cursor_path": "nextPageToken", "cursor_param": "pageToken"},
    "incremental": {"token_path": "nextSyncToken", "param": "syncToken", "replaces": ["timeMin"]},
}
DELTA: dict[str, Any] = {
    "pagination": {"type": "next_url", "next_path": "nextLink"},
    "incremental": {"token_path": "deltaLink"},
}
STREAMED: dict[str, Any] = {
    "request": {"params": {"start_time": 0}},
    "pagination": {
        "type": "cursor", "cursor_path": "after", "has_more": "end == `false`", "replaces": ["start_time"],
    },
    "incremental": {"token_path": "after"},
}  # fmt: skip


def _walk(**parts: Any) -> Walk:
    return Walk(definition("https://api.example/v1", **parts))


def _response(document: Any, *, status: int = 200, url: str = URL, **headers: str) -> Response:
    return Response(status, tuple(headers.items()), b"" if document is None else dumps(document), url)


def _read(walk: Walk, token: dict[str, Any], document: Any, **more: Any) -> Page:
    return walk.read(token, _response(document, **more), NOW)


def test_the_last_page_says_what_the_next_run_goes_on_from() -> None:
    walk = _walk(**SYNC)
    first = _read(walk, walk.first(None, NOW), {"items": [{"id": 1}], "nextPageToken": "p2"})
    assert first.next_token is not None
    last = _read(walk, first.next_token, {"items": [{"id": 2}], "nextSyncToken": "s1"})

    assert (first.highest, last.highest) == (None, "s1")
    assert walk.request(walk.first("s1", NOW)).url == f"{URL}?single=true&syncToken=s1"


def test_one_page_of_news_is_no_wrong_path() -> None:
    walk = _walk(**SYNC)

    page = _read(walk, walk.first("s1", NOW), {"items": [{"id": 2}], "nextSyncToken": "s2"})

    assert (page.highest, page.warnings, page.stop_reason) == ("s2", (), StopReason.CURSOR_END)


def test_further_pages_of_a_run_keep_the_token_it_went_on_from() -> None:
    walk = _walk(**SYNC)
    page = _read(walk, walk.first("s1", NOW), {"items": [{"id": 2}], "nextPageToken": "p2"})

    assert page.next_token is not None
    assert walk.request(page.next_token).url == f"{URL}?single=true&syncToken=s1&pageToken=p2"


def test_a_token_without_a_parameter_is_where_the_walk_begins() -> None:
    delta = _walk(**DELTA)
    page = _read(delta, delta.first(None, NOW), {"items": [{"id": 1}], "deltaLink": "/v1/items?delta=7"})
    assert page.highest == "https://api.example/v1/items?delta=7"
    assert delta.request(delta.first(page.highest, NOW)).url == "https://api.example/v1/items?delta=7"

    stream = _walk(**STREAMED)
    page = _read(stream, stream.first(None, NOW), {"items": [{"id": 1}], "after": "c1", "end": True})
    assert page.highest == "c1"
    assert stream.request(stream.first("c1", NOW)).url == f"{URL}?cursor=c1"


def test_a_link_to_another_host_is_not_kept() -> None:
    walk = _walk(**DELTA)

    page = _read(walk, walk.first(None, NOW), {"items": [{"id": 1}], "deltaLink": "https://evil.example/x"})

    assert page.highest is None
    assert page.warnings[-1].startswith("token_missing: incremental.token_path 'deltaLink'")


def test_a_token_that_is_over_lets_the_run_begin_anew() -> None:
    walk = _walk(**SYNC)
    token = walk.first("s1", NOW)

    page = _read(walk, token, {"error": "gone"}, status=410)

    assert page.next_token is not None
    assert page.warnings[0].startswith(
        "cursor_expired: the API no longer takes the token of the last run (status 410)"
    )
    assert token_digest(page.next_token) != token_digest(token)
    assert walk.request(page.next_token).url == f"{URL}?timeMin=2024-01-01&single=true"
    again = _read(walk, page.next_token, {"items": [{"id": 1}], "nextSyncToken": "s9"})
    assert (again.highest, again.stop_reason) == ("s9", StopReason.CURSOR_END)


def test_only_the_statuses_that_say_so_mean_that_a_token_is_over() -> None:
    walk = _walk(**SYNC)
    with pytest.raises(SourceError, match="status 404"):
        _read(walk, walk.first("s1", NOW), {}, status=404)
    with pytest.raises(SourceError, match="status 410"):  # without a token there is none that could be over
        _read(walk, walk.first(None, NOW), {}, status=410)

    own = _walk(**{**SYNC, "incremental": {**SYNC["incremental"], "reset_on_status": [400, 409]}})
    assert _read(own, own.first("s1", NOW), {}, status=409).next_token is not None


def test_a_validator_of_the_first_page_is_kept_and_asked_by() -> None:
    walk = _walk(
        pagination={"type": "link"},
        incremental={"token_header": "ETag", "param": "If-None-Match", "in": "header"},
    )
    link = '<https://api.example/v1/items?page=2>; rel="next"'
    first = _read(walk, walk.first(None, NOW), {"items": [{"id": 1}]}, ETag='W/"one"', Link=link)
    assert first.next_token is not None
    last = _read(walk, first.next_token, {"items": [{"id": 2}]}, ETag='W/"two"')
    assert last.highest == 'W/"one"'

    token = walk.first('W/"one"', NOW)
    assert walk.request(token).headers == (("If-None-Match", 'W/"one"'),)
    unchanged = _read(walk, token, None, status=304)
    assert (unchanged.highest, unchanged.warnings) == (None, ("not_modified",))


def test_planned_pages_keep_what_the_first_one_said() -> None:
    walk = _walk(
        pagination={"type": "page", "total_pages": "pages", "parallel": 2},
        incremental={"token_header": "Last-Modified", "param": "If-Modified-Since", "in": "header"},
    )
    document = {"items": [{"id": 1}], "pages": 3}
    first = walk.read(
        walk.first(None, NOW), Response(200, (("Last-Modified", "then"),), dumps(document), URL), NOW
    )
    assert first.next_token is not None

    last = _read(walk, walk.token_at(first.next_token, 3), {"items": [{"id": 3}], "pages": 3})

    assert last.highest == "then"


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"incremental": {"token_path": "t"}, "pagination": {"type": "page"}}, "name its `param`"),
        ({"incremental": {"token_path": "t", "param": "s"},
          "pagination": {"type": "window", "start": "2024-01-01", "step_s": 60, "start_param": "f"}}, "slices of time"),
    ],
)  # fmt: skip
def test_a_token_that_nothing_can_ask_by_is_refused(parts: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        _walk(**parts)


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({}, "`field` is missing"),
        ({"field": "at", "token_path": "t"}, "one of `field`, `token_path`"),
        ({"token_path": "t", "lookback_s": 60}, "`lookback_s` is for a field"),
        ({"field": "at", "reset_on_status": 400}, "`reset_on_status` is for a token"),
    ],
)
def test_a_cursor_is_a_field_or_a_token(rule: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Incremental.model_validate(rule)


def test_a_rule_reads_what_it_wrote() -> None:
    for rule in ({"field": "at"}, {"token_path": "t", "param": "p"}):
        made = Incremental.model_validate(rule)
        assert Incremental.model_validate(made.model_dump(mode="json", by_alias=True)) == made


def test_a_token_knows_of_no_time_that_a_run_could_be_for() -> None:
    stream = Stream.model_validate({"name": "events", "incremental": {"token_path": "t", "param": "p"}})

    assert not can_have_window(stream)
    with pytest.raises(WindowError, match="says nothing of time"):
        check_window(stream)
