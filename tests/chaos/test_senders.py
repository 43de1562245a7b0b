"""The long form of real senders: the packages that are heavy, signing and verifying in environments of their own."""

import hashlib
import json
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from tests.chaos import senders
from tests.support import webhook_signer
from tests.support.ledgers import keep
from tests.support.receiving import receiving
from tests.support.spine import open_spine, working

from headwater.plugins.signatures.presets import preset_row
from headwater.receiver.service import Place

pytestmark = pytest.mark.long

PUBLIC_URL = "https://hooks.example.com"
BODY = '{"id":"evt_1","type":"order.paid","text":"Ünïcode ✓","amount":1250}'.encode()
FORM = b"To=%2B18005551212&Body=%C3%BC+%26+b&Digits=5678&Digits=1234&Digits=1234&Empty="
SEED = hashlib.sha256(b"discord").hexdigest()
DISCORD = (
    ed25519.Ed25519PrivateKey.from_private_bytes(bytes.fromhex(SEED)).public_key().public_bytes_raw().hex()
)
TWILIO = ("twilio_form", "twilio_json", "twilio_form_sha256", "twilio_json_sha256")
SIGNING = {  # scheme: secret
    "svix": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    **dict.fromkeys(TWILIO, "12345678901234567890123456789012"),
    "adyen_header": "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056",
    "discord": DISCORD,
    "github": "It's a Secret to Everybody",
}
VERIFYING = (*SIGNING, "adyen_notification", "razorpay")


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    senders.install()


def path_of(scheme: str) -> str:
    query = f"?bodySHA256={hashlib.sha256(BODY).hexdigest()}" if scheme.startswith("twilio_json") else ""
    return f"/in/default/{scheme}{query}"


def body_of(scheme: str) -> bytes:
    return FORM if scheme.startswith("twilio_form") else BODY


async def test_what_the_heavy_packages_sign_is_accepted_and_kept_and_a_changed_body_is_not(database: str):
    endpoints = [{"name": name, "scheme": name, "secrets": [secret]} for name, secret in SIGNING.items()]
    signed = senders.done(
        [
            senders.task(name, "sign", secret, PUBLIC_URL + path_of(name), body_of(name), seed=SEED)
            for name, secret in SIGNING.items()
        ]
    )
    answers: dict[str, dict[str, Any]] = {}
    async with open_spine(database) as spine:
        await spine.apply(json.dumps({"version": 1, "endpoints": endpoints}))

        place = Place("http://127.0.0.1", public_url=PUBLIC_URL)
        async with receiving(spine, place) as door, working(spine, "persister"):
            for name, headers in zip(SIGNING, signed, strict=True):
                kind = (
                    "application/x-www-form-urlencoded"
                    if name.startswith("twilio_form")
                    else "application/json"
                )
                told = {**headers, "Content-Type": kind}
                changed, _, _ = await door.send(
                    path_of(name), body_of(name) + b"1", headers=told, secret=None
                )
                status, _, answer = await door.send(path_of(name), body_of(name), headers=told, secret=None)
                answers[name] = {"signed": status, "changed": changed}
                if status == 202:
                    row = await spine.until(
                        "SELECT body FROM delivery WHERE id = $1 AND state = 'done'", json.loads(answer)["id"]
                    )
                    answers[name]["is_kept"] = row["body"] == body_of(name)
    keep("senders-signing", answers)

    assert answers == dict.fromkeys(SIGNING, {"signed": 202, "changed": 401, "is_kept": True})


def test_what_our_definitions_describe_the_heavy_packages_accept():
    tasks = []
    for name in VERIFYING:
        sent = webhook_signer.send(dict(preset_row(name)), at_s=time.time())
        headers = {key.decode().lower(): value.decode() for key, value in sent.request.headers}
        for body in (sent.request.body, sent.request.body.replace(b"1", b"2")):
            tasks.append(
                senders.task(name, "verify", sent.secret.text(), sent.request.url, body, headers=headers)
            )

    results = senders.done(tasks)
    verdicts = {name: results[2 * number : 2 * number + 2] for number, name in enumerate(VERIFYING)}
    keep("senders-verifying", verdicts)

    assert verdicts == {name: [True, False] for name in VERIFYING}
