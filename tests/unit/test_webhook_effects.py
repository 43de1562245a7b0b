"""What a delivery does, as a pure judgement."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from headwater.contracts.endpoint import Endpoint
from headwater.contracts.webhook import Receipt
from headwater.model.errors import ConfigError
from headwater.plugins.webhooks.effects import Judgement, compile_effects, judge

JSON = (("Content-Type", "application/json"),)


def judged(
    parts: dict[str, Any],
    body: bytes = b"{}",
    headers: tuple[tuple[str, str], ...] = JSON,
    kind: str | None = None,
    url: str = "https://h.example/in/default/e",
) -> Judgement:
    endpoint = Endpoint.model_validate({"name": "e", "scheme": "github", "secrets": ["s"], **parts})
    receipt = Receipt(
        UUID(int=1), UUID(int=2), datetime(2026, 1, 1, tzinfo=UTC), "default", "e", "POST", url, None,
        [list(pair) for pair in headers], body, {}, type=kind,
    )  # fmt: skip
    return judge(compile_effects(endpoint), receipt)


@pytest.mark.parametrize(
    ("expression", "state"),
    [
        ("body.a == `1`", "done"),
        ("body.a", "done"),
        ("body.zero", "done"),  # JMESPath: 0 is true
        ("body.empty", "filtered"),
        ("body.missing", "filtered"),
        ("!(body.missing)", "done"),
        ("headers.\"x-kind\" == 'order'", "done"),
        ("headers.\"x-kind\" == 'other'", "filtered"),
        ("query.source == 'eu'", "done"),
        ("method == 'POST' && type == 'paid'", "done"),
        ("contains(body.tags, 'vip')", "done"),
        ("body.a < `2`", "done"),
        ("body.a > `1`", "filtered"),
        ("body.text > `1`", "filtered"),  # JMESPath: a text and a number have no order
        ("body.text > `1` || body.a <= 'z' || body.tags > `0` || body.a == `1`", "done"),
    ],
)
def test_a_filter_says_whether_a_delivery_is_wanted(expression: str, state: str) -> None:
    body = b'{"a": 1, "zero": 0, "empty": [], "tags": ["vip"], "text": "2"}'

    found = judged(
        {"filter": expression, "destination": {"table": "t"}}, body, (*JSON, ("X-Kind", "order")), "paid",
        "https://h.example/in/default/e?source=eu",
    )  # fmt: skip

    assert found.state == state
    assert bool(found.loads) == (state == "done")


def test_a_filter_over_headers_needs_no_readable_body() -> None:
    parts = {"filter": "headers.\"x-kind\" == 'order'", "destination": {"table": "t"}}

    assert judged(parts, b"broken", (*JSON, ("X-Kind", "other"))).state == "filtered"
    assert judged(parts, b"broken", (*JSON, ("X-Kind", "order"))).state == "dead"


def test_a_filter_that_cannot_be_applied_makes_a_dead_delivery() -> None:
    found = judged({"filter": "contains(body.a, 'x')"}, b'{"a": 5}')

    assert found.state == "dead"
    assert found.reason is not None
    assert found.reason.startswith("filter:")
    assert found.reason.endswith("contains() takes array or string, and got number")


def test_a_body_that_nobody_asks_for_is_not_read() -> None:
    assert judged({}, b"\xff broken") == Judgement("done")
    assert judged({"parse": "json"}, b"broken").state == "dead"
    assert judged({"parse": "none", "publish": True}, b"broken").state == "done"


def test_fields_are_those_of_streams_with_the_request_beside_them() -> None:
    parts = {
        "records": {"path": "items", "filter": "n > `1`"},
        "fields": [
            {"name": "n", "type": "text"},
            {"name": "shop", "path": '_.headers."x-shop"'},
            {"name": "card", "mask": True},
            {"name": "kind", "constant": "order"},
        ],
        "destination": {"table": "t"},
    }
    body = b'{"items": [{"n": 1}, {"n": 2, "card": "4111", "noise": 1}]}'

    (load,) = judged(parts, body, (*JSON, ("X-Shop", "berlin"))).loads

    assert load.records == ({"n": "2", "shop": "berlin", "card": "***", "kind": "order"},)


def test_the_rest_of_a_record_may_stay_and_never_holds_the_request() -> None:
    (load,) = judged(
        {"fields": {"id": "key"}, "rest": "keep", "destination": {"table": "t"}}, b'{"key": 1, "b": 2}'
    ).loads

    assert load.records == ({"id": 1, "b": 2},)


def test_records_that_cannot_be_mapped_are_told_and_the_others_kept() -> None:
    parts = {
        "records": {"path": "i"},
        "fields": [{"name": "n", "type": "integer"}],
        "destination": {"table": "t"},
    }

    some = judged(parts, b'{"i": [{"n": 1}, {"n": "x"}]}')
    none = judged(parts, b'{"i": [{"n": "x"}]}')

    assert some.state == "done"
    assert some.loads[0].records == ({"n": 1},)
    assert some.reason is not None
    assert some.reason.startswith("1 of 2 records for t rejected")
    assert none.state == "dead"


def test_an_empty_body_can_be_a_row_of_its_request() -> None:
    parts = {"methods": ["GET"], "fields": {"who": "_.query.who"}, "destination": {"table": "t"}}

    (load,) = judged(parts, b"", (), url="https://h.example/in/default/e?who=me").loads

    assert load.records == ({"who": "me"},)


def test_runs_get_their_parameters_from_the_payload() -> None:
    parts = {
        "starts": [
            {"stream": "shop.orders", "parameters": {"id": "body.id", "gone": "body.missing"}},
            {"stream": "shop.items", "when": "body.deep", "mode": "full"},
        ]
    }

    (run,) = judged(parts, b'{"id": [1, 2]}').runs

    assert (run.number, run.source, run.stream, run.mode, run.parameters) == (
        0,
        "shop",
        "orders",
        "auto",
        {"id": [1, 2]},
    )


@pytest.mark.parametrize(
    ("publish", "kind", "event"),
    [
        (True, "order.paid", "order.paid"),
        (True, None, "received"),
        ({"type": "body.event"}, "order.paid", "made"),
        ({"type": "body.missing"}, "order.paid", "received"),
    ],
)
def test_events_are_named_by_type(publish: Any, kind: str | None, event: str) -> None:
    found = judged({"publish": publish}, b'{"event": "made"}', kind=kind)

    assert found.event is not None
    assert found.event.type == event


@pytest.mark.parametrize(
    ("parts", "place"),
    [
        ({"filter": "a b"}, "filter: "),
        ({"tables": [{"when": "((", "destination": {"table": "t"}}]}, "tables.0.when: "),
        ({"fields": {"_": "a"}, "destination": {"table": "t"}}, "fields.0: "),
        ({"starts": [{"stream": "a.b", "parameters": {"x": "]"}}]}, "starts.0.parameters.x: "),
        ({"publish": {"type": "["}}, "publish.type: "),
    ],
)
def test_what_cannot_work_is_refused_at_its_place(parts: dict[str, Any], place: str) -> None:
    with pytest.raises(ConfigError) as caught:
        judged(parts)

    assert str(caught.value).startswith(place)


def test_what_cannot_be_mapped_tells_what_it_was_read_as() -> None:
    found = judged(
        {"destination": {"table": "t"}, "fields": {"n": {"path": "n", "type": "integer"}}}, b'{"n": "x"}'
    )

    assert (found.state, found.form) == ("dead", "json")
    assert judged({"destination": {"table": "t"}}, b"{broken").form is None
