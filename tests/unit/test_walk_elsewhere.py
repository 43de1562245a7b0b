"""Exports: what is not ready yet, and files at addresses of their own."""

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.walk_driver import definition

from headwater.contracts.codec import dumps
from headwater.contracts.source import StreamDefinition
from headwater.contracts.walking import Request
from headwater.model.errors import ConfigError, SourceError
from headwater.model.http import HttpRequest, Response
from headwater.model.secret import Secret
from headwater.plugins.walk.walk import Walk

NOW = datetime(2024, 5, 1, tzinfo=UTC)
FILE = "https://files.example/x.csv?sig=a%20b%2Bc%2F%3D&n=1"
SECRETS = {"KEY": Secret.of("a-long-key")}


def _walk(request: dict[str, Any], **parts: Any) -> Walk:
    parts.setdefault(
        "source", {"auth": {"type": "bearer", "token": "t0ken-value"}, "headers": {"X-Own": "1"}}
    )
    made = definition(
        "https://api.example/v1", request={"path": "", **request}, parent={"stream": "jobs"}, **parts
    )
    return Walk(StreamDefinition.model_validate(made.model_dump(by_alias=True)))


def _asked(request: dict[str, Any], url: Any, **parts: Any) -> HttpRequest:
    walk = _walk(request, **parts)
    return walk.request(walk.first(None, NOW, parent={"url": url, "id": "a/b"}), SECRETS)


def test_a_file_of_another_host_is_asked_for_as_it_stands_and_without_credentials() -> None:
    request = _asked(
        {"url": "{parent.url}", "hosts": ["files.example"], "headers": {"Accept": "text/csv"}}, FILE
    )

    assert (request.method, request.url) == ("GET", FILE)
    assert request.headers == (("Accept", "text/csv"),)
    assert request.credentials.origin == "https://api.example:443"  # they are added there alone


def test_a_post_to_another_host_takes_nothing_of_the_body_along() -> None:
    body = {"key": "${secret:KEY}"}
    request = _asked(
        {"url": "{parent.url}", "hosts": ["files.example"], "method": "POST", "json": body}, FILE
    )

    assert (request.method, request.body, request.credentials.body) == ("GET", None, None)


def test_an_address_at_home_is_asked_for_like_a_path() -> None:
    request = _asked({"url": "{parent.url}", "params": {"a": "1"}}, "https://api.example/files/7?b=2")

    assert request.url == "https://api.example/files/7?b=2&a=1"
    assert ("X-Own", "1") in request.headers
    assert [name for name, _ in request.credentials.headers] == ["Authorization"]


def test_values_within_an_address_are_quoted() -> None:
    request = _asked({"url": "https://content.example/files/{parent.id}", "hosts": "content.example"}, FILE)

    assert request.url == "https://content.example/files/a%2Fb"


def test_another_host_is_refused_unless_it_is_allowed() -> None:
    with pytest.raises(
        SourceError, match=r"leads to the host files.example; request.hosts: \[that host\] allows it"
    ):
        _asked({"url": "{parent.url}"}, FILE)


@pytest.mark.parametrize("url", ["ftp://files.example/x", "/relative", "https://me:pw@files.example/"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(SourceError) as refused:
        _asked({"url": "{parent.url}", "hosts": ["files.example"]}, url)

    assert refused.value.kind == "bad_url"


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({"url": "https://a.example", "path": "b"}, "one of `path` and `url`"),
        ({"url": "files/x"}, "whole address"),
        ({"hosts": ["a.example"]}, "where `url` may lead"),
    ],
)
def test_an_address_and_its_hosts_go_together(request_: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Request.model_validate(request_)


def test_an_address_holds_no_secret() -> None:
    with pytest.raises(ConfigError, match=r"request.url cannot hold a secret"):
        _walk({"url": "https://api.example/${secret:KEY}"})


PENDING = {
    "errors": {"pending": "state != 'done'", "pending_s": 30, "if": "state == 'failed'"},
    "records": None,
}


def _read(document: Any) -> Any:
    walk = Walk(definition("https://api.example/v1", **PENDING))
    return walk.read(walk.first(None, NOW), Response(200, (), dumps(document), "https://api.example/v1"), NOW)


def test_what_is_not_ready_is_asked_for_again_in_a_while() -> None:
    with pytest.raises(SourceError, match="not ready") as waiting:
        _read({"state": "running", "url": None})

    assert (waiting.value.kind, waiting.value.retryable, waiting.value.delay_s) == ("not_ready", True, 30)
    assert _read({"state": "done", "url": "x"}).records == [{"state": "done", "url": "x"}]
    with pytest.raises(SourceError, match="error") as failed:
        _read({"state": "failed"})
    assert failed.value.kind == "error_in_answer"
