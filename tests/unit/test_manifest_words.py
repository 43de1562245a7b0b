"""Mistakes as people make them: each is told at its place, in words that say how to mend it."""

import pytest

from headwater.contracts.manifest_text import parse_manifest
from headwater.contracts.problem import ManifestError
from headwater.control.finding import Surroundings
from headwater.control.validation import check

HEAD = """version: 1
sources:
  - name: shop
    base_url: https://api.example.com
    streams:
      - name: orders
"""
IN_STREAM = [
    ("paginaton: {type: offset}", "7:9", "is not known here; did you mean `pagination`?"),
    ("graphql: {query: '{a}'}", "7:9", "has no place here; look in the reference where it belongs"),
    ("pagination: {type: ofset}", "7:28", "type 'ofset' is not known; there are none, offset"),
    ("pagination: offset", "7:21", 'must be a mapping (given: "offset"); write its keys below it'),
    ("pagination: {type: cursor}", "7:9", "say where the next cursor is"),
    ("pagination: {type: offset, size: lots}", "7:42", 'must be a whole number (given: "lots")'),
    ("pagination: {type: offset, total: 'a..b'}", "7:43", "is no JMESPath"),
    ("destination: {table: t, mode: merge}", "7:9", "mode merge needs `key`"),
    ("destination: {table: my orders}", "7:30", "use letters, digits and _, 63 at most"),
    ("destination: {mode: append}", "7:9", "needs `table`"),
    ("destination: {table: t, contract: freez}", "7:43", "did you mean freeze?"),
    ("errors: {status: {4xx: retry}}", "7:32", "write a status such as 404"),
    ("incremental: {param: since}", "7:9", "is missing; add it"),
    ("incremental: {field: at, param: p, format: epoch_s, start: soon}", "7:68", "cannot be written"),
    ("fields:", "7:16", "must be a list; give it a value, or remove it"),
]


def told(text: str) -> list[str]:
    try:
        problems = check(*parse_manifest(text, "f.yml", {}), Surroundings(has_broker=False))
    except ManifestError as error:
        problems = list(error.problems)
    return [str(problem) for problem in problems]


@pytest.mark.parametrize(("line", "place", "says"), IN_STREAM)
def test_a_mistake_in_a_stream_is_told_at_its_place_with_its_mend(line: str, place: str, says: str) -> None:
    problems = told(f"{HEAD}        {line}\n")

    assert len(problems) == 1
    assert problems[0].startswith(f"f.yml:{place}:")
    assert says in problems[0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("version: 1\ndestinations: [{name: r, kind: kafka}]\n", "must be 'postgres' or 'amqp'"),
        ("version: 1\ndestinations: [{name: r, kind: amqp}]\n", "kind amqp needs `exchange`"),
        (
            "version: 1\ndestinations: [{name: r, kind: amqp, exchange: e}]\n",
            "give it a `url`, or run headwater with",
        ),
        ("version: 1\ndestinations: [{name: database}]\n", "headwater's own database, which needs no entry"),
        ("version: 1\nsources:\n", "must be a list; give it a value, or remove it"),
    ],
)
def test_a_mistake_in_a_manifest_is_told_with_its_mend(text: str, says: str) -> None:
    assert any(says in problem for problem in told(text))


def test_a_list_is_not_called_short_because_its_items_are_wrong() -> None:
    text = "version: 1\nnotifications: [{name: n, events: [bogus], target: 'https://x.example.com'}]\n"

    (problem,) = told(text)

    assert 'given: "bogus"' in problem


def test_what_may_be_a_secret_is_never_shown() -> None:
    text = "version: 1\ndestinations: [{name: r, kind: amqp, exchange: e, url: [very-secret]}]\n"

    assert told(text)
    assert "very-secret" not in "".join(told(text))
