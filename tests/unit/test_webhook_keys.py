"""What tells deliveries apart: keys by expression and path, and what is none."""

import json

import pytest

from headwater.contracts.endpoint import Endpoint
from headwater.plugins.signatures.request import SignedRequest
from headwater.plugins.webhooks.facts import compile_facts
from headwater.plugins.webhooks.schemes import scheme_of


def key_of(body: object, **dedupe: str) -> str | None:
    endpoint = Endpoint.model_validate({"name": "e", "scheme": "github", "secrets": ["a"], "dedupe": dedupe})
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = ((b"Content-Type", b"application/json"),)
    request = SignedRequest("POST", "https://h.example/in/default/e", headers, raw)
    return compile_facts(endpoint, scheme_of(endpoint)).read(request).key


@pytest.mark.parametrize(
    ("expression", "body", "key"),
    [
        ("body.id", {"id": "a"}, "a"),
        ("body.id", {"id": 7}, "7"),
        ("[body.order, body.step]", {"order": "a", "step": 2}, '["a",2]'),
        ("[body.order, body.step]", {"order": "a"}, '["a",null]'),
        ("[body.n, body.m]", {"n": 0}, "[0,null]"),
        ("{o: body.order}", {"order": "a"}, '{"o":"a"}'),
    ],
)
def test_a_key_is_what_an_expression_finds(expression: str, body: object, key: str) -> None:
    assert key_of(body, expression=expression) == key


@pytest.mark.parametrize(
    ("expression", "body"),
    [
        ("body.id", {}),
        ("body.id", {"id": ""}),
        ("body.id", {"id": []}),
        ("body.id", {"id": {}}),
        ("[body.order, body.step]", {}),
        ("[body.order, body.step]", {"order": "", "step": None}),
        ("{o: body.order, s: [body.step]}", {"other": 1}),
        ("[body.order, body.step]", b"no JSON"),
        ("body", b'{"a":' * 900 + b"1" + b"}" * 900),
    ],
)
def test_deliveries_that_lack_what_would_tell_them_apart_have_no_key(expression: str, body: object) -> None:
    assert key_of(body, expression=expression) is None


def test_a_path_to_nothing_is_no_key() -> None:
    assert key_of({"event": {"id": []}}, path="event.id") is None
    assert key_of({"event": {"id": [1]}}, path="event.id") == "[1]"
