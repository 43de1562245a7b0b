"""Receipts on their way as messages: what is sent is what comes, and what no row can hold is refused."""

import json

import pytest
from tests.support.receipts import receipt

from headwater.contracts import webhook
from headwater.model.errors import ContractError

SENT = receipt(
    "orders",
    b"\x00\xff",
    key="gr\u00f6\u00dfer",
    kind="order.paid",
    headers=(("X-Title", "\u00e9\\u0041"), ("x-title", ""), ("a", "b")),
    url="http://hooks.example/in/default/orders?q=\u20ac",
)


def test_a_receipt_is_the_same_after_its_way_as_a_message() -> None:
    for sent in (SENT, SENT._replace(remote=None, type=None, key=None, headers=[], verification={"n": [1]})):
        got = webhook.from_headers(str(sent.receipt_id), webhook.to_headers(sent), sent.body)

        assert got == sent


@pytest.mark.parametrize(
    "headers",
    [
        {"request": '["POST", "http://x/\\udcff", null]'},
        {"request": '["POST", "http://x/\\u0000", null]'},
        {"request": '["POST", "http://x/", 7]'},
        {"request": '["POST", "http://x/"]'},
        {"http-headers": '[["a", "\\ud800"]]'},
        {"http-headers": '[["a", "\\u0000"]]'},
        {"http-headers": '[["a", 1]]'},
        {"http-headers": '[["a"]]'},
        {"http-headers": '["ab"]'},
        {"http-headers": '{"ab": 1}'},
        {"http-headers": "7"},
        {"http-headers": "no JSON"},
        {"verification": "[1]"},
        {"dedupe": '["\\udcff", 10, null]'},
        {"dedupe": '["k", "long", null]'},
        {"dedupe": '["k", 10, 7]'},
        {"received-at": "2026-01-02T03:04:05"},
        {"received-at": "today"},
        {"delivery-id": "7"},
        {"payload-id": "7"},
        {"tenant": "a\0b"},
    ],
    ids=json.dumps,
)
def test_headers_that_no_row_can_hold_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(ContractError, match="webhook.received"):
        webhook.from_headers(str(SENT.receipt_id), {**webhook.to_headers(SENT), **headers}, b"")


@pytest.mark.parametrize(
    "name", ["tenant", "endpoint", "delivery-id", "received-at", "request", "http-headers", "dedupe"]
)
def test_a_missing_header_is_named(name: str) -> None:
    told = webhook.to_headers(SENT)
    del told[name]

    with pytest.raises(ContractError, match=name):
        webhook.from_headers(str(SENT.receipt_id), told, b"")
