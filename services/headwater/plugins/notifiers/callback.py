"""Callbacks: JSON, signed as Standard Webhooks says, so that its libraries verify them.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hashlib
import hmac
from datetime import datetime

from headwater.contracts.codec import dumps
from headwater.contracts.notifications import CallbackTarget
from headwater.model.errors import ConfigError, SecretError
from headwater.model.secret import Secret
from headwater.plugins.notifiers.base import Letter, Means, Outcome, Result
from headwater.plugins.notifiers.posting import post
from headwater.plugins.secret_text import fill, names_in

PREFIX = "whsec_"
MIN_KEY_BYTES = 16  # the specification asks for 24 and more; libraries of receivers take less
MAX_KEY_BYTES = 256


def key_of(secret: Secret) -> bytes:
    """The signing key in `whsec_<base64>`. Raises: ConfigError, without the value."""
    try:
        key = base64.b64decode(secret.reveal().strip().removeprefix(PREFIX.encode()), validate=True)
    except binascii.Error:
        key = b""
    if not MIN_KEY_BYTES <= len(key) <= MAX_KEY_BYTES:
        raise ConfigError(
            "a signing secret is `whsec_` and 24 to 64 bytes in base64; "
            'make one with `echo "whsec_$(openssl rand -base64 32)"`'
        )
    return key


def signature(key: bytes, identifier: str, moment: datetime, body: bytes) -> str:
    """`v1,<base64>` over id, seconds since 1970, and body."""
    signed = b".".join((identifier.encode(), str(int(moment.timestamp())).encode(), body))
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def body_of(letter: Letter) -> bytes:
    """The document: `type`, `timestamp` (of the event), `data`; the same bytes in every attempt."""
    kind = letter.facts.get("type", letter.event)
    data = {
        **letter.facts,
        "notification": letter.notification,
        "subject": letter.subject,
        "text": letter.text,
    }
    return dumps({"type": kind, "timestamp": letter.facts.get("at") or letter.at, "data": data})


async def send(target: CallbackTarget, letter: Letter, means: Means) -> Result:
    """One attempt."""
    body, now = body_of(letter), means.clock.now()
    headers = [("webhook-id", letter.id), ("webhook-timestamp", str(int(now.timestamp())))]
    try:
        given = [text for text in (target.secret, target.old_secret) if text]
        keys = [key_of(fill(text, means.secrets)) for text in given]
        more = tuple((name, fill(text, means.secrets)) for name, text in target.headers.items())
        url = fill(target.url, means.secrets)
    except (ConfigError, SecretError) as error:
        return Result(Outcome.FAILED, error=f"secret: {error}")
    if keys:
        headers.append(("webhook-signature", " ".join(signature(key, letter.id, now, body) for key in keys)))
    return await post(
        means,
        url,
        body,
        (*((name, Secret.of(value)) for name, value in headers), *more),
        allow=target.network.allow,
        timeout_s=target.timeout_s,
    )


def address_of(target: CallbackTarget) -> str:
    """Where it goes, for people: without the query, and nothing of an address that a secret holds."""
    return "(secret)" if names_in(target.url) else target.url.partition("?")[0]
