"""Providers' own libraries: reads tasks as JSON from standard input, gives their results in order (see __init__.py).

It runs in an environment of its own, where nothing of headwater is.
"""

import base64
import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import razorpay
from Adyen.util import generate_payload_sig, is_valid_hmac_notification, is_valid_hmac_payload
from discord_interactions import verify_key
from nacl.signing import SigningKey
from svix.webhooks import Webhook, WebhookVerificationError
from twilio.request_validator import RequestValidator

Task = dict[str, Any]  # scheme, act (sign, verify), secret, url, body (bytes), headers (lower case)


class Form(dict[str, list[str]]):
    """Fields that may be there more than once, as the frameworks give them to Twilio's library."""

    def getall(self, name: str) -> list[str]:
        return self[name]


def _form(task: Task) -> Form:
    return Form(parse_qs(task["body"].decode(), keep_blank_values=True))


def _sign_svix(task: Task) -> dict[str, str]:
    moment = datetime.now(UTC)
    signature = Webhook(task["secret"]).sign("msg_1", moment, task["body"].decode())
    return {"svix-id": "msg_1", "svix-timestamp": str(int(moment.timestamp())), "svix-signature": signature}


def _verify_svix(task: Task) -> bool:
    try:
        Webhook(task["secret"]).verify(task["body"], task["headers"])
    except WebhookVerificationError:
        return False
    return True


def _hash_of(task: Task) -> str:
    """By what Twilio signs where a webhooks rule says so, and otherwise."""
    return "HMAC_SHA256" if task["scheme"].endswith("_sha256") else "HMAC_SHA1"


def _sign_twilio(task: Task, fields: Form | None) -> dict[str, str]:
    validator = RequestValidator(task["secret"])
    return {"X-Twilio-Signature": validator.compute_signature(task["url"], fields, _hash_of(task))}


def _verify_twilio(task: Task, content: Form | str) -> bool:
    signature = task["headers"]["x-twilio-signature"]
    return bool(RequestValidator(task["secret"]).validate(task["url"], content, signature, _hash_of(task)))


def _sign_discord(task: Task) -> dict[str, str]:
    """By PyNaCl, with which Discord's package verifies; `seed` is the private key in hex."""
    moment = str(int(time.time()))
    signed = SigningKey(bytes.fromhex(task["seed"])).sign(moment.encode() + task["body"])
    return {"X-Signature-Timestamp": moment, "X-Signature-Ed25519": signed.signature.hex()}


def _verify_razorpay(task: Task) -> bool:
    client = razorpay.Client(auth=("id", "secret"))
    try:
        signature = task["headers"]["x-razorpay-signature"]
        client.utility.verify_webhook_signature(task["body"].decode(), signature, task["secret"])
    except razorpay.errors.SignatureVerificationError:
        return False
    return True


SIGNERS: dict[str, Callable[[Task], dict[str, str]]] = {
    "svix": _sign_svix,
    "twilio_form": lambda task: _sign_twilio(task, _form(task)),
    "twilio_json": lambda task: _sign_twilio(task, None),
    "twilio_form_sha256": lambda task: _sign_twilio(task, _form(task)),
    "twilio_json_sha256": lambda task: _sign_twilio(task, None),
    "adyen_header": lambda task: {
        "HmacSignature": generate_payload_sig(task["body"], task["secret"]).decode()
    },
    "discord": _sign_discord,
}
VERIFIERS: dict[str, Callable[[Task], bool]] = {
    "svix": _verify_svix,
    "twilio_form": lambda task: _verify_twilio(task, _form(task)),
    "twilio_json": lambda task: _verify_twilio(task, task["body"].decode()),
    "twilio_form_sha256": lambda task: _verify_twilio(task, _form(task)),
    "twilio_json_sha256": lambda task: _verify_twilio(task, task["body"].decode()),
    "adyen_header": lambda task: is_valid_hmac_payload(
        task["headers"]["hmacsignature"], task["secret"], task["body"]
    ),
    "adyen_notification": lambda task: is_valid_hmac_notification(json.loads(task["body"]), task["secret"]),
    "discord": lambda task: verify_key(
        task["body"],
        task["headers"]["x-signature-ed25519"],
        task["headers"]["x-signature-timestamp"],
        task["secret"],
    ),
    "razorpay": _verify_razorpay,
}


def main() -> None:
    out, sys.stdout = sys.stdout, sys.stderr  # some of the packages print
    results = []
    for task in json.load(sys.stdin):
        task["body"] = base64.b64decode(task["body"])
        table = SIGNERS if task["act"] == "sign" else VERIFIERS
        results.append(table[task["scheme"]](task))
    print(json.dumps(results), file=out)


if __name__ == "__main__":
    main()
