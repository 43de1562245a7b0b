"""Published vectors of providers, and their own libraries as senders."""

import base64
import json
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
import standardwebhooks
import stripe

from headwater.model.secret import Secret
from headwater.plugins.signatures.facts import delivery_id, event_type
from headwater.plugins.signatures.presets import preset
from headwater.plugins.signatures.request import SignedRequest
from headwater.plugins.signatures.verify import verify

VECTORS = json.loads((Path(__file__).parent / "data/signatures/vectors.json").read_bytes())


def request_of(vector):
    headers = tuple((name.encode(), value.encode()) for name, value in vector["headers"])
    url = vector.get("url", "https://hooks.example.com/in/default/x")
    return SignedRequest(vector.get("method", "POST"), url, headers, vector["body"].encode())


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector['scheme']}-{vector['source']}"[:60])
def test_a_published_vector_is_accepted_with_its_secret_and_refused_with_another(vector):
    scheme = preset(vector["scheme"])
    request = request_of(vector)
    at_s = vector.get("at_s", 1_700_000_000)

    right = verify(scheme, [Secret.of(vector["secret"])], request, at_s=at_s, tolerance_s=300)
    other = "0" * 64 if scheme.definition.key.encoding != "utf8" else vector["secret"] + "x"
    wrong = verify(scheme, [Secret.of(other)], request, at_s=at_s, tolerance_s=300)

    assert (right.valid, right.reason, right.secret_index) == (True, "ok", 0)
    assert right.timestamp_s == vector.get("at_s")
    assert wrong.valid is False
    assert wrong.reason == ("mismatch" if scheme.kind != "ecdsa-p256" else "no_secret")


def test_what_the_standardwebhooks_library_signs_is_accepted():
    text = "whsec_" + base64.b64encode(bytes(range(24))).decode()
    now = datetime.now(UTC)
    body = '{"type": "invoice.paid", "note": "ü"}'
    signature = standardwebhooks.Webhook(text).sign("msg_1", now, body)
    headers = (
        (b"Webhook-Id", b"msg_1"),
        (b"Webhook-Timestamp", str(int(now.timestamp())).encode()),
        (b"Webhook-Signature", signature.encode()),
    )
    request = SignedRequest("POST", "https://hooks.example.com/in/default/x", headers, body.encode())
    scheme = preset("standard_webhooks")

    verdict = verify(scheme, [Secret.of(text)], request, at_s=now.timestamp(), tolerance_s=300)

    assert verdict.valid
    assert (delivery_id(scheme, request), event_type(scheme, request)) == ("msg_1", "invoice.paid")


def test_what_the_stripe_library_signs_is_accepted():
    now = int(time.time())
    body = '{"id": "evt_1", "type": "charge.succeeded", "object": "event"}'
    signature = stripe.WebhookSignature._compute_signature(f"{now}.{body}", "whsec_test")
    headers = ((b"Stripe-Signature", f"t={now},v1={signature},v0=00".encode()),)
    request = SignedRequest("POST", "https://hooks.example.com/in/default/x", headers, body.encode())
    scheme = preset("stripe")

    verdict = verify(
        scheme, [Secret.of("whsec_old"), Secret.of("whsec_test")], request, at_s=now, tolerance_s=300
    )

    assert (verdict.valid, verdict.secret_index, verdict.timestamp_s) == (True, 1, now)
    assert stripe.Webhook.construct_event(body, headers[0][1].decode(), "whsec_test").id == "evt_1"
    assert (delivery_id(scheme, request), event_type(scheme, request)) == ("evt_1", "charge.succeeded")
