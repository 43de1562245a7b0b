"""Receipts on their way as messages: what is sent is what comes, and what no row can hold is refused."""

import json
from typing import Any

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
    "changed",
    [
        {"url": "http://x/\udcff"},
        {"url": "http://x/\u0000"},
        {"url": 7},
        {"method": None},
        {"remote": 7},
        {"headers": [["a", "\ud800"]]},
        {"headers": [["a", "\u0000"]]},
        {"headers": [["a", 1]]},
        {"headers": [["a"]]},
        {"headers": ["a"]},
        {"headers": ["ab"]},
        {"headers": {"ab": 1}},
        {"headers": 7},
        {"verification": [1]},
        {"key": "\udcff"},
        {"key": 7},
        {"dedupe_s": "long"},
        {"type": 7},
        {"received_at": "2026-01-02T03:04:05"},
        {"received_at": "today"},
        {"received_at": 7},
    ],
    ids=json.dumps,
)
def test_what_no_row_can_hold_is_refused(changed: dict[str, Any]) -> None:
    told = webhook.to_headers(SENT)
    told["receipt"] = json.dumps({**json.loads(told["receipt"]), **changed})

    with pytest.raises(ContractError, match="webhook.received"):
        webhook.from_headers(str(SENT.receipt_id), told, b"")


@pytest.mark.parametrize(
    "headers",
    [
        {"receipt": "no JSON"},
        {"receipt": "7"},
        {"receipt": "[]"},
        {"receipt": "null"},
        {"delivery-id": "7"},
        {"payload-id": "7"},
        {"tenant": "a\0b"},
    ],
    ids=json.dumps,
)
def test_headers_that_tell_of_no_receipt_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(ContractError, match="webhook.received"):
        webhook.from_headers(str(SENT.receipt_id), {**webhook.to_headers(SENT), **headers}, b"")


@pytest.mark.parametrize("name", ["tenant", "endpoint", "delivery-id", "receipt"])
def test_a_missing_header_is_named(name: str) -> None:
    told = webhook.to_headers(SENT)
    del told[name]

    with pytest.raises(ContractError, match=name):
        webhook.from_headers(str(SENT.receipt_id), told, b"")


@pytest.mark.parametrize("name", ["received_at", "method", "url", "headers", "verification", "dedupe_s"])
def test_what_is_missing_in_a_receipt_is_named(name: str) -> None:
    told = webhook.to_headers(SENT)
    receipt = json.loads(told["receipt"])
    del receipt[name]

    with pytest.raises(ContractError, match=name):
        webhook.from_headers(str(SENT.receipt_id), {**told, "receipt": json.dumps(receipt)}, b"")
