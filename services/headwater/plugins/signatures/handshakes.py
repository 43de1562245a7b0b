"""The handshakes of providers, one small function each, and the table that names them."""

import base64
import hmac
import re
from collections.abc import Mapping
from typing import Any, Final

from headwater.model.errors import ConfigError
from headwater.model.secret import Secret
from headwater.plugins.signatures import documents
from headwater.plugins.signatures.facts import allowed_https
from headwater.plugins.signatures.handshake import (
    TEXT,
    Handshake,
    HandshakeAnswer,
    Question,
    echoable,
    json_answer,
    text_answer,
)
from headwater.plugins.signatures.request import SignedRequest
from headwater.plugins.signatures.verify import NOTHING

_WOOCOMMERCE_PING: Final = re.compile(rb"webhook_id=[0-9]{1,20}")
SNS_HOSTS: Final = ("sns.*.amazonaws.com", "sns.*.amazonaws.com.cn")


def _field(document: Any, path: str) -> str | None:
    return echoable(documents.look_up(document, documents.read_path(path)))


def _mac(question: Question, text: str) -> bytes | None:
    if question.secret is None or not question.secret.reveal():
        return None
    return hmac.digest(question.secret.reveal(), text.encode("utf-8"), "sha256")


def _slack(question: Question) -> HandshakeAnswer | None:
    document = question.document()
    if _field(document, "type") != "url_verification":
        return None
    return text_answer(_field(document, "challenge"))


def _zoom(question: Question) -> HandshakeAnswer | None:
    document = question.document()
    token = _field(document, "payload.plainToken")
    if _field(document, "event") != "endpoint.url_validation" or token is None:
        return None
    mac = _mac(question, token)
    return None if mac is None else json_answer({"plainToken": token, "encryptedToken": mac.hex()})


def _hub_challenge(question: Question) -> str | HandshakeAnswer | None:
    """The challenge of a subscription whose verify token is the configured one; 403 for any other."""
    challenge, token = question.query("hub.challenge"), question.query("hub.verify_token")
    if question.query("hub.mode") is None:
        return None
    wanted = question.context.get("verify_token", "")
    right = hmac.compare_digest((token or "").encode("utf-8", "replace"), wanted.encode("utf-8"))
    if question.query("hub.mode") != "subscribe" or challenge is None or not wanted or not right:
        return HandshakeAnswer(403)
    return challenge


def _meta(question: Question) -> HandshakeAnswer | None:
    found = _hub_challenge(question)
    return text_answer(found) if isinstance(found, str) else found


def _strava(question: Question) -> HandshakeAnswer | None:
    found = _hub_challenge(question)
    return json_answer({"hub.challenge": found}) if isinstance(found, str) else found


def _twitter(question: Question) -> HandshakeAnswer | None:
    token = question.query("crc_token")
    mac = None if token is None else _mac(question, token)
    if mac is None:
        return None
    return json_answer({"response_token": "sha256=" + base64.b64encode(mac).decode("ascii")})


def _xero(question: Question) -> HandshakeAnswer | None:
    """The intent to receive is a signed body without events: 200, empty."""
    return HandshakeAnswer(200) if documents.look_up(question.document(), ("events",)) == [] else None


def _asana(question: Question) -> HandshakeAnswer | None:
    """Only an endpoint that awaits its handshake takes the secret; afterwards nobody can exchange it."""
    secret = question.header(b"x-hook-secret")
    if secret is None or not question.awaiting:
        return None
    return HandshakeAnswer(200, (("X-Hook-Secret", secret),), new_secret=Secret.of(secret))


def _notion(question: Question) -> HandshakeAnswer | None:
    """As with Asana: the token is the signing secret."""
    token = _field(question.document(), "verification_token") if question.awaiting else None
    return None if token is None else HandshakeAnswer(200, new_secret=Secret.of(token))


def _challenge_parameter(question: Question) -> HandshakeAnswer | None:
    return text_answer(question.query("challenge"))


def _ms_graph(question: Question) -> HandshakeAnswer | None:
    return text_answer(question.query("validationToken"))


def _azure_event_grid(question: Question) -> HandshakeAnswer | None:
    if question.header(b"aeg-event-type") != "SubscriptionValidation":
        return None
    document = question.document()
    event = document[0] if isinstance(document, list) and len(document) == 1 else document
    code = _field(event, "data.validationCode")
    return None if code is None else json_answer({"validationResponse": code})


def _cloudevents(question: Question) -> HandshakeAnswer | None:
    """CloudEvents HTTP webhooks 1.0, abuse protection: the rate is granted where one is asked for."""
    origin = question.header(b"webhook-request-origin")
    if origin is None:
        return None
    rate = question.header(b"webhook-request-rate")
    granted = (
        (("WebHook-Allowed-Rate", rate),) if rate is not None and rate.isascii() and rate.isdigit() else ()
    )
    return HandshakeAnswer(200, (("Allow", "POST"), ("WebHook-Allowed-Origin", origin), *granted))


def _twitch(question: Question) -> HandshakeAnswer | None:
    if question.header(b"twitch-eventsub-message-type") != "webhook_callback_verification":
        return None
    return text_answer(_field(question.document(), "challenge"))


def _okta(question: Question) -> HandshakeAnswer | None:
    challenge = question.header(b"x-okta-verification-challenge")
    return None if challenge is None else json_answer({"verification": challenge})


def _discord(question: Question) -> HandshakeAnswer | None:
    """A ping is `type` 1 of an interaction; an event of Discord's other webhooks has `event` beside it."""
    document = question.document()
    kind = documents.look_up(document, ("type",))
    if kind is True or kind != 1 or documents.look_up(document, ("event",)) is not None:
        return None
    return json_answer({"type": 1})


def _head(_question: Question) -> HandshakeAnswer | None:
    return HandshakeAnswer(200)


def _sns(question: Question) -> HandshakeAnswer | None:
    """Confirmed only for the configured topic, and only at an address of SNS itself."""
    document = question.document()
    if _field(document, "Type") != "SubscriptionConfirmation":
        return None
    url = _field(document, "SubscribeURL")
    topic = question.context.get("topic_arn")
    if not topic or _field(document, "TopicArn") != topic or url is None or not allowed_https(url, SNS_HOSTS):
        return HandshakeAnswer(403)
    return HandshakeAnswer(200, fetch_url=url)


def _monday(question: Question) -> HandshakeAnswer | None:
    if b'"challenge"' not in question.request.body[:1024]:  # spares deliveries the parsing
        return None
    document = question.document()
    challenge = _field(document, "challenge")
    if challenge is None or len(document) != 1:
        return None
    return json_answer({"challenge": challenge})


def _woocommerce(question: Question) -> HandshakeAnswer | None:
    """Sent unsigned when a webhook is saved: WooCommerce takes 200 and no other status."""
    return HandshakeAnswer(200) if _WOOCOMMERCE_PING.fullmatch(question.request.body) else None


def _adobe_sign(question: Question) -> HandshakeAnswer | None:
    """The client id is echoed on the question (GET) and on every delivery (POST)."""
    client = question.header(b"x-adobesign-clientid")
    wanted = question.context.get("client_id")
    if client is None or (wanted and client != wanted):
        return None
    is_delivery = question.request.method == "POST"
    if is_delivery and not question.verified:
        return None
    return HandshakeAnswer(200, (("X-AdobeSign-ClientId", client), *TEXT), is_delivery=is_delivery)


_GET, _POST = frozenset({"GET"}), frozenset({"POST"})

_ALL: Final = (
    Handshake("slack_url_verification", _POST, signed=True, reply=_slack),
    Handshake("zoom_url_validation", _POST, signed=True, reply=_zoom),
    Handshake("meta_hub_challenge", _GET, signed=False, reply=_meta, needs="verify_token"),
    Handshake("strava_hub_challenge", _GET, signed=False, reply=_strava, needs="verify_token"),
    Handshake("twitter_crc", _GET, signed=False, reply=_twitter),
    Handshake("xero_intent_to_receive", _POST, signed=True, reply=_xero, empty_refusal=True),
    Handshake("asana_x_hook_secret", _POST, signed=False, reply=_asana),
    Handshake("notion_verification_token", _POST, signed=False, reply=_notion),
    Handshake("dropbox_challenge", _GET, signed=False, reply=_challenge_parameter),
    Handshake("nylas_challenge", _GET, signed=False, reply=_challenge_parameter),
    Handshake("ms_graph_validation_token", _POST, signed=False, reply=_ms_graph),
    Handshake("azure_event_grid", _POST, signed=False, reply=_azure_event_grid),
    Handshake("cloudevents_abuse_protection", frozenset({"OPTIONS"}), signed=False, reply=_cloudevents),
    Handshake("twitch_challenge", _POST, signed=True, reply=_twitch),
    Handshake("okta_verification_challenge", _GET, signed=False, reply=_okta),
    Handshake("discord_ping", _POST, signed=True, reply=_discord),
    Handshake("trello_head", frozenset({"HEAD"}), signed=False, reply=_head),
    Handshake("sns_subscription_confirmation", _POST, signed=True, reply=_sns, needs="topic_arn"),
    Handshake("monday_challenge", _POST, signed=False, reply=_monday),
    Handshake("woocommerce_ping", _POST, signed=False, reply=_woocommerce),
    Handshake("adobe_sign_client_id", _GET | _POST, signed=False, reply=_adobe_sign),
)
_BY_NAME: Final[Mapping[str, Handshake]] = {handshake.name: handshake for handshake in _ALL}


def handshake_names() -> tuple[str, ...]:
    """The names of all handshakes, in alphabetical order."""
    return tuple(sorted(_BY_NAME))


def compile_handshake(definition: str | Mapping[str, Any]) -> Handshake:
    """The handshake of a name, or of an expression (see `handshake_expression`). Raises ConfigError."""
    if not isinstance(definition, str):
        from headwater.plugins.signatures.handshake_expression import (  # noqa: PLC0415 - brings JMESPath along
            compile_expression,
        )

        return compile_expression(definition)
    if definition not in _BY_NAME:
        raise ConfigError(
            f"handshake: {definition!r} is not known; use one of {', '.join(handshake_names())}, "
            "or {when: EXPRESSION, answer: EXPRESSION}"
        )
    return _BY_NAME[definition]


def handshake_for(
    handshake: Handshake | str,
    request: SignedRequest,
    *,
    verified: bool,
    secret: Secret | None = None,
    context: Mapping[str, str] = NOTHING,
    awaiting: bool = False,
) -> HandshakeAnswer | None:
    """The answer to a request if it is this handshake, else None. See Question for the arguments.

    Ask once before verification (`verified=False`), which answers what comes unsigned, and once after it.
    Never raises for any request.
    """
    found = compile_handshake(handshake) if isinstance(handshake, str) else handshake
    try:
        return found.answer(Question(request, verified, secret, context, awaiting))
    except Exception:  # noqa: BLE001 - as in verification: whatever fails inside is no handshake
        return None
