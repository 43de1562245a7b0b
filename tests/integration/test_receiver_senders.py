"""Providers' own libraries as senders: what they sign is accepted and kept, and what our definitions say they accept."""

import base64
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest
import standardwebhooks
import stripe
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sendgrid.helpers.eventwebhook import EventWebhook, EventWebhookHeader
from slack_sdk.signature import SignatureVerifier
from tests.support import webhook_signer
from tests.support.receiving import receiving
from tests.support.senders import standard_headers, standard_secret, stripe_headers
from tests.support.spine import open_spine, working

from headwater.plugins.signatures.presets import preset_row

BODY = (
    '{"id":"evt_1","type":"order.paid","event_id":"evt_1","text":"Ünïcode ✓ \\u00fc","n":1.0e2}\r\n'.encode()
)
KEY = ec.generate_private_key(ec.SECP256R1())


def slack_headers(secret: str, body: bytes) -> dict[str, str]:
    moment = str(int(time.time()))
    signature = SignatureVerifier(secret).generate_signature(timestamp=moment, body=body)
    return {"X-Slack-Request-Timestamp": moment, "X-Slack-Signature": signature or ""}


def sendgrid_headers(_public: str, body: bytes) -> dict[str, str]:
    """SendGrid's library only verifies: the names are its own, the signature is made as its page says."""
    moment = str(int(time.time()))
    signature = KEY.sign(moment.encode() + body, ec.ECDSA(hashes.SHA256()))
    return {
        EventWebhookHeader.TIMESTAMP: moment,
        EventWebhookHeader.SIGNATURE: base64.b64encode(signature).decode(),
    }


def takes_standard(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    try:
        standardwebhooks.Webhook(secret).verify(body, dict(headers))
    except standardwebhooks.WebhookVerificationError:
        return False
    return True


def takes_stripe(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    try:
        stripe.WebhookSignature.verify_header(body.decode(), headers["stripe-signature"], secret, 300)
    except stripe.SignatureVerificationError:
        return False
    return True


def takes_slack(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    return SignatureVerifier(secret).is_valid_request(body, dict(headers))


def takes_sendgrid(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    signature = headers[EventWebhookHeader.SIGNATURE.lower()]
    moment = headers[EventWebhookHeader.TIMESTAMP.lower()]
    return bool(EventWebhook(secret).verify_signature(body.decode(), signature, moment))


@dataclass(frozen=True)
class Library:
    """A provider's package: how it signs (secret, body), and whether it takes (secret, lower-case headers, body)."""

    scheme: str
    secret: str
    sign: Callable[[str, bytes], dict[str, str]]
    takes: Callable[[str, Mapping[str, str], bytes], bool]


PUBLIC = base64.b64encode(
    KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
).decode()
LIBRARIES = [
    Library(
        "standard_webhooks",
        standard_secret(),
        lambda secret, body: standard_headers(secret, "evt_1", body),
        takes_standard,
    ),
    Library("stripe", "whsec_0f1e2d3c", stripe_headers, takes_stripe),
    Library("slack", "8f742231b10e8888abcd99yyyzzz85a5", slack_headers, takes_slack),
    Library("sendgrid", PUBLIC, sendgrid_headers, takes_sendgrid),
]


async def test_what_a_providers_library_signs_is_accepted_and_kept_and_a_changed_body_is_not(database: str):
    endpoints = [{"name": each.scheme, "scheme": each.scheme, "secrets": [each.secret]} for each in LIBRARIES]
    async with open_spine(database) as spine:
        await spine.apply(json.dumps({"version": 1, "endpoints": endpoints}))

        async with receiving(spine) as door, working(spine, "persister"):
            for each in LIBRARIES:
                path, headers = f"/in/default/{each.scheme}", each.sign(each.secret, BODY)
                assert each.takes(each.secret, {name.lower(): text for name, text in headers.items()}, BODY)

                changed, _, _ = await door.send(path, BODY + b" ", headers=headers, secret=None)
                status, _, answer = await door.send(path, BODY, headers=headers, secret=None)

                assert (each.scheme, changed, status) == (each.scheme, 401, 202)
                row = await spine.until(
                    "SELECT endpoint, body FROM delivery WHERE id = $1 AND state = 'done'",
                    json.loads(answer)["id"],
                )
                assert (row["endpoint"], row["body"]) == (each.scheme, BODY)
        (count,) = await spine.row("SELECT count(*) FROM delivery")

    assert count == len(LIBRARIES)


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.scheme)
def test_what_our_definition_of_a_scheme_describes_the_providers_library_accepts(library: Library):
    sent = webhook_signer.send(dict(preset_row(library.scheme)), at_s=time.time(), body=BODY)
    headers = {name.decode().lower(): text.decode() for name, text in sent.request.headers}

    taken = library.takes(sent.secret.text(), headers, sent.request.body)
    altered = library.takes(sent.secret.text(), headers, sent.request.body + b" ")

    assert (taken, altered) == (True, False)
