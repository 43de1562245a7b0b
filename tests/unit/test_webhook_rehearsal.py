"""What an endpoint would do with a request, told and not done."""

import hashlib
import hmac
from datetime import UTC, datetime

import pytest

from headwater.contracts.codec import dumps
from headwater.contracts.endpoint import Endpoint
from headwater.model.secret import Secret
from headwater.plugins.signatures.request import SignedRequest
from headwater.plugins.webhooks.rehearsal import rehearse

AT = datetime(2026, 1, 1, tzinfo=UTC)
ENDPOINT = Endpoint.model_validate(
    {
        "name": "orders",
        "scheme": "github",
        "secrets": ["s"],
        "dedupe": {"path": "id"},
        "order_by": "body.account",
        "filter": "body.id",
        "fields": {"n": "id"},
        "destination": {"table": "orders"},
        "starts": [{"stream": "shop.orders", "parameters": {"id": "body.id"}}],
        "publish": True,
    }
)


def request(body: bytes, secret: bytes) -> SignedRequest:
    mac = hmac.new(secret, body, hashlib.sha256).hexdigest().encode()
    headers = ((b"X-Hub-Signature-256", b"sha256=" + mac), (b"X-GitHub-Event", b"push"))
    return SignedRequest("POST", "https://h.example/in/default/orders", headers, body)


def test_everything_that_would_happen_is_told() -> None:
    found = rehearse("default", ENDPOINT, [Secret.of("s")], request(b'{"id": 7, "account": "a"}', b"s"), AT)

    told = found.told("default", "orders")
    assert told["verification"] == {"valid": True, "reason": "ok", "detail": "", "secret": 0}
    assert (told["key"], told["order_key"], told["type"]) == ("7", "a", "push")
    assert (told["state"], told["parsed_as"], told["event"]) == (
        "done",
        "json",
        "default.webhook.orders.push",
    )
    assert told["tables"] == [
        {"table": "orders", "records": [{"n": 7}], "record_count": 1, "rejected_count": 0}
    ]
    assert told["starts"] == [{"stream": "shop.orders", "mode": "auto", "parameters": {"id": 7}}]
    assert dumps(told)


KEYED = {"fields": {"n": "id"}, "destination": {"table": "orders", "mode": "merge", "key": "n"}}


@pytest.mark.parametrize(
    ("more", "body", "state", "reason", "shown"),
    [
        (KEYED, b'{"id": 7}', "done", None, [[{"n": 7}]]),
        (KEYED, b'{"id": null}', "dead", "key field 'n' is null", [[]]),
        (KEYED, b"{}", "dead", "key field 'n' is missing", [[]]),
        (
            {**KEYED, "records": {"path": "all"}},
            b'{"all": [{"id": 1}, {}]}',
            "done",
            "1 of 2 records for orders rejected: key field 'n' is missing",
            [[{"n": 1}]],
        ),
        (
            {"tables": [KEYED, {"destination": {"table": "all"}}]},
            b'{"x": 1}',
            "done",
            "1 of 1 records for orders rejected: key field 'n' is missing",
            [[], [{"x": 1}]],
        ),
    ],
)
def test_records_that_could_be_no_row_are_told_as_loading_tells_them(
    more: dict[str, object], body: bytes, state: str, reason: str | None, shown: list[object]
) -> None:
    endpoint = Endpoint.model_validate({"name": "orders", "scheme": "github", "secrets": ["s"], **more})

    told = rehearse("default", endpoint, [Secret.of("s")], request(body, b"s"), AT).told("default", "orders")

    assert (told["state"], told["reason"]) == (state, reason)
    assert [table["records"] for table in told["tables"]] == shown


def test_a_wrong_signature_does_not_hide_what_the_rest_would_do() -> None:
    told = rehearse("default", ENDPOINT, [Secret.of("s")], request(b"{}", b"wrong"), AT).told(
        "default", "orders"
    )

    assert (told["verification"]["valid"], told["verification"]["reason"]) == (False, "mismatch")
    assert told["state"] == "filtered"


@pytest.mark.parametrize(
    ("media", "body", "kind"),
    [
        (b"application/cloudevents+json; charset=utf-8", b'{"type": "order.paid"}', "order.paid"),
        (b"Application/CloudEvents+JSON", b'{"type": "order.paid"}', "order.paid"),
        (b"application/cloudevents-batch+json", b'[{"type": "order.paid"}]', None),
        (b"application/json", b'{"type": "order.paid"}', None),
        (b"application/cloudevents+json", b'{"type": 7}', None),
        (b"application/cloudevents+json", b"broken", None),
    ],
)
def test_the_type_of_a_cloudevent_stands_in_its_body(media: bytes, body: bytes, kind: str | None) -> None:
    plain = request(body, b"s")
    event = SignedRequest("POST", plain.url, (plain.headers[0], (b"Content-Type", media)), body)

    assert rehearse("default", ENDPOINT, [Secret.of("s")], event, AT).known.type == kind


def test_the_type_of_a_cloudevent_in_headers_is_read_as_its_other_attributes_are() -> None:
    plain = request(b"{}", b"s")
    event = SignedRequest(
        "POST", plain.url, (plain.headers[0], (b"ce-type", b"order%20paid%E2%9C%93")), b"{}"
    )

    assert rehearse("default", ENDPOINT, [Secret.of("s")], event, AT).known.type == "order paid✓"
