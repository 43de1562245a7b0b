"""Handshakes: the right answer to the right question, and none to any other."""

import base64
import hmac
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.model.errors import ConfigError
from headwater.model.secret import Secret
from headwater.plugins.signatures.handshakes import compile_handshake, handshake_for, handshake_names
from headwater.plugins.signatures.presets import preset, preset_names
from headwater.plugins.signatures.request import SignedRequest

SECRET = Secret.of("s3cret")
URL = "https://hooks.example.com/in/default/x"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:orders"
HUB = "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=meatyhamhock"
SUBSCRIBE = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=abc"


def ask(name, method="POST", *, query="", headers=(), body=b"", document=None, **known):
    content = json.dumps(document).encode() if document is not None else body
    pairs = tuple((key.encode(), value.encode()) for key, value in headers)
    request = SignedRequest(method, URL + (f"?{query}" if query else ""), pairs, content)
    return handshake_for(name, request, **({"verified": False} | known))


def said(answer):
    """Status and body, parsed where it is JSON."""
    if dict(answer.headers).get("Content-Type") == "application/json":
        return answer.status, json.loads(answer.body)
    return answer.status, answer.body.decode()


ZOOM = {"event": "endpoint.url_validation", "payload": {"plainToken": "qgg8vlvZRS6UYooatFL8Aw"}}
ZOOM_MAC = hmac.new(b"s3cret", b"qgg8vlvZRS6UYooatFL8Aw", "sha256").hexdigest()
CRC_MAC = base64.b64encode(hmac.new(b"s3cret", b"foo", "sha256").digest()).decode()
GRID = [
    {"eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "data": {"validationCode": "512d38b6"}}
]
TWITCH = (("Twitch-Eventsub-Message-Type", "webhook_callback_verification"),)


@pytest.mark.parametrize(
    ("name", "question", "expected"),
    [
        (
            "slack_url_verification",
            {
                "document": {"type": "url_verification", "challenge": "3eZbrw1a", "token": "x"},
                "verified": True,
            },
            (200, "3eZbrw1a"),
        ),
        (
            "zoom_url_validation",
            {"document": ZOOM, "verified": True, "secret": SECRET},
            (200, {"plainToken": "qgg8vlvZRS6UYooatFL8Aw", "encryptedToken": ZOOM_MAC}),
        ),
        (
            "meta_hub_challenge",
            {"method": "GET", "query": HUB, "context": {"verify_token": "meatyhamhock"}},
            (200, "1158201444"),
        ),
        (
            "strava_hub_challenge",
            {"method": "GET", "query": HUB, "context": {"verify_token": "meatyhamhock"}},
            (200, {"hub.challenge": "1158201444"}),
        ),
        (
            "twitter_crc",
            {"method": "GET", "query": "crc_token=foo", "secret": SECRET},
            (200, {"response_token": f"sha256={CRC_MAC}"}),
        ),
        (
            "xero_intent_to_receive",
            {"document": {"events": [], "firstEventSequence": 0, "entropy": "S0m3"}, "verified": True},
            (200, ""),
        ),
        ("dropbox_challenge", {"method": "GET", "query": "challenge=a%20b%26c"}, (200, "a b&c")),
        ("nylas_challenge", {"method": "GET", "query": "challenge=abc"}, (200, "abc")),
        ("ms_graph_validation_token", {"query": "validationToken=%3Cb%3Ehi+there"}, (200, "<b>hi there")),
        (
            "azure_event_grid",
            {"headers": (("aeg-event-type", "SubscriptionValidation"),), "document": GRID},
            (200, {"validationResponse": "512d38b6"}),
        ),
        (
            "twitch_challenge",
            {"headers": TWITCH, "document": {"challenge": "pogchamp"}, "verified": True},
            (200, "pogchamp"),
        ),
        (
            "okta_verification_challenge",
            {"method": "GET", "headers": (("X-Okta-Verification-Challenge", "abc"),)},
            (200, {"verification": "abc"}),
        ),
        ("discord_ping", {"document": {"type": 1, "id": "1"}, "verified": True}, (200, {"type": 1})),
        ("trello_head", {"method": "HEAD"}, (200, "")),
        ("monday_challenge", {"document": {"challenge": "3eZbrw1a"}}, (200, {"challenge": "3eZbrw1a"})),
        ("woocommerce_ping", {"body": b"webhook_id=12"}, (200, "")),
    ],
)
def test_a_provider_gets_the_answer_it_wants(name, question, expected):
    answer = ask(name, **question)

    assert said(answer) == expected
    assert answer.is_delivery is False
    if answer.body:
        assert dict(answer.headers)["X-Content-Type-Options"] == "nosniff"
        assert "html" not in dict(answer.headers)["Content-Type"]


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("slack_url_verification", {"type": "url_verification", "challenge": "x"}),
        ("zoom_url_validation", ZOOM),
        ("xero_intent_to_receive", {"events": []}),
        ("discord_ping", {"type": 1}),
        ("twitch_challenge", {"challenge": "x"}),
        (
            "sns_subscription_confirmation",
            {"Type": "SubscriptionConfirmation", "TopicArn": TOPIC, "SubscribeURL": SUBSCRIBE},
        ),
    ],
)
def test_a_signed_handshake_is_not_answered_before_its_signature_is_right(name, document):
    known = {"secret": SECRET, "context": {"topic_arn": TOPIC}, "headers": TWITCH, "document": document}

    assert ask(name, verified=False, **known) is None
    assert ask(name, verified=True, **known).status == 200


@pytest.mark.parametrize(
    ("name", "question"),
    [
        (
            "slack_url_verification",
            {"document": {"type": "event_callback", "challenge": "x"}, "verified": True},
        ),
        ("slack_url_verification", {"document": {"type": "url_verification"}, "verified": True}),
        (
            "slack_url_verification",
            {"document": {"type": "url_verification", "challenge": {"a": 1}}, "verified": True},
        ),
        (
            "slack_url_verification",
            {"document": {"type": "url_verification", "challenge": "a\r\nb"}, "verified": True},
        ),
        (
            "slack_url_verification",
            {"document": {"type": "url_verification", "challenge": "x" * 5000}, "verified": True},
        ),
        (
            "zoom_url_validation",
            {"document": ZOOM | {"event": "meeting.started"}, "verified": True, "secret": SECRET},
        ),
        ("zoom_url_validation", {"document": ZOOM, "verified": True}),
        ("zoom_url_validation", {"document": ZOOM, "verified": True, "secret": Secret(b"")}),
        ("meta_hub_challenge", {"method": "GET", "query": "a=b"}),
        ("meta_hub_challenge", {"document": {}}),
        ("twitter_crc", {"method": "GET", "query": "", "secret": SECRET}),
        ("twitter_crc", {"method": "GET", "query": "crc_token=a&crc_token=b", "secret": SECRET}),
        ("xero_intent_to_receive", {"document": {"events": [{"resourceId": "1"}]}, "verified": True}),
        ("dropbox_challenge", {"method": "POST", "query": "challenge=x"}),
        ("dropbox_challenge", {"method": "GET", "query": "challenge=x&challenge=y"}),
        ("dropbox_challenge", {"method": "GET", "query": "challenge="}),
        ("ms_graph_validation_token", {"document": {"value": []}}),
        ("azure_event_grid", {"headers": (("aeg-event-type", "Notification"),), "document": GRID}),
        ("azure_event_grid", {"headers": (("aeg-event-type", "SubscriptionValidation"),), "body": b"{"}),
        ("cloudevents_abuse_protection", {"method": "OPTIONS"}),
        ("okta_verification_challenge", {"method": "GET"}),
        ("discord_ping", {"document": {"type": 2}, "verified": True}),
        ("discord_ping", {"document": {"type": True}, "verified": True}),
        (
            "discord_ping",
            {"document": {"type": 1, "event": {"type": "ENTITLEMENT_CREATE"}}, "verified": True},
        ),
        ("trello_head", {"method": "POST"}),
        ("monday_challenge", {"document": {"event": {"type": "x"}, "challenge": "a"}}),
        ("monday_challenge", {"document": ["challenge"]}),
        ("woocommerce_ping", {"body": b"webhook_id=12&a=1"}),
        ("woocommerce_ping", {"document": {"id": 12}}),
        ("sns_subscription_confirmation", {"document": {"Type": "Notification"}, "verified": True}),
    ],
)
def test_anything_else_is_no_handshake(name, question):
    assert ask(name, **question) is None


@pytest.mark.parametrize(
    ("query", "context"),
    [
        (HUB, {}),
        (HUB, {"verify_token": ""}),
        (HUB, {"verify_token": "meatyhamhocks"}),
        (HUB.replace("subscribe", "unsubscribe"), {"verify_token": "meatyhamhock"}),
        ("hub.mode=subscribe&hub.challenge=1", {"verify_token": "meatyhamhock"}),
        (HUB + "&hub.verify_token=meatyhamhock", {"verify_token": "meatyhamhock"}),
        ("hub.mode=subscribe&hub.verify_token=meatyhamhock", {"verify_token": "meatyhamhock"}),
        ("hub.mode=subscribe&hub.challenge=1&hub.verify_token=%C3%BC", {"verify_token": "\u00fcx"}),
    ],
)
@pytest.mark.parametrize("name", ["meta_hub_challenge", "strava_hub_challenge"])
def test_a_subscription_with_another_verify_token_gets_403(name, query, context):
    answer = ask(name, "GET", query=query, context=context)

    assert (answer.status, answer.body) == (403, b"")


def test_a_secret_is_taken_only_while_the_endpoint_awaits_its_handshake():
    asana = {"headers": (("X-Hook-Secret", "b537207f20cbfa02357cf448134da559"),)}
    notion = {"document": {"verification_token": "secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl"}}

    taken = ask("asana_x_hook_secret", awaiting=True, **asana)
    shown = ask("notion_verification_token", awaiting=True, **notion)

    assert (taken.status, taken.headers) == (200, (("X-Hook-Secret", "b537207f20cbfa02357cf448134da559"),))
    assert taken.new_secret.text() == "b537207f20cbfa02357cf448134da559"
    assert shown.new_secret.text() == notion["document"]["verification_token"]
    assert notion["document"]["verification_token"] not in repr(shown)
    assert ask("asana_x_hook_secret", **asana) is None
    assert ask("asana_x_hook_secret", verified=True, **asana) is None
    assert ask("notion_verification_token", **notion) is None


def test_the_cloudevents_rate_is_granted_where_one_is_asked_for():
    origin = ("WebHook-Request-Origin", "eventemitter.example.com")

    plain = ask("cloudevents_abuse_protection", "OPTIONS", headers=(origin,))
    rated = ask("cloudevents_abuse_protection", "OPTIONS", headers=(origin, ("WebHook-Request-Rate", "120")))

    assert plain.headers == (("Allow", "POST"), ("WebHook-Allowed-Origin", "eventemitter.example.com"))
    assert rated.headers == (*plain.headers, ("WebHook-Allowed-Rate", "120"))


def test_adobe_sign_gets_its_client_id_back_and_a_delivery_stays_a_delivery():
    client = {"headers": (("X-AdobeSign-ClientId", "CBJCHBCAABAA"),)}

    question = ask("adobe_sign_client_id", "GET", **client)
    delivery = ask("adobe_sign_client_id", "POST", verified=True, **client)

    assert question.headers[0] == delivery.headers[0] == ("X-AdobeSign-ClientId", "CBJCHBCAABAA")
    assert (question.is_delivery, delivery.is_delivery) == (False, True)
    assert ask("adobe_sign_client_id", "POST", verified=False, **client) is None
    assert ask("adobe_sign_client_id", "GET", context={"client_id": "other"}, **client) is None


@pytest.mark.parametrize(
    ("url", "topic", "status", "fetched"),
    [
        (SUBSCRIBE, TOPIC, 200, True),
        (SUBSCRIBE, "arn:aws:sns:eu-west-1:666:orders", 403, False),
        (SUBSCRIBE, None, 403, False),
        (SUBSCRIBE.replace("https", "http"), TOPIC, 403, False),
        ("https://evil.example/?Action=ConfirmSubscription", TOPIC, 403, False),
        ("https://sns.eu-west-1.amazonaws.com.evil.example/", TOPIC, 403, False),
        ("https://169.254.169.254/", TOPIC, 403, False),
    ],
)
def test_a_topic_is_confirmed_only_if_it_is_the_configured_one_and_at_sns_itself(url, topic, status, fetched):
    document = {"Type": "SubscriptionConfirmation", "TopicArn": TOPIC, "SubscribeURL": url}
    context = {"topic_arn": topic} if topic else {}

    answer = ask("sns_subscription_confirmation", document=document, verified=True, context=context)

    assert (answer.status, answer.fetch_url) == (status, url if fetched else None)


def test_every_preset_names_a_handshake_that_there_is():
    named = {preset(name).handshake for name in preset_names()} - {None}

    assert named <= set(handshake_names())
    assert len(handshake_names()) == 21
    assert {"slack_url_verification", "zoom_url_validation", "asana_x_hook_secret"} <= named


def test_xero_wants_refusals_without_a_body():
    assert [name for name in handshake_names() if compile_handshake(name).empty_refusal] == [
        "xero_intent_to_receive"
    ]


# By expression


def test_a_handshake_can_be_defined_by_expressions():
    own = compile_handshake(
        {"when": "body.kind == 'ping'", "answer": '{pong: body.nonce, to: headers."x-from"}'}
    )
    echo = compile_handshake(
        {"when": "query.echo", "answer": "query.echo", "methods": ["GET"], "signed": False}
    )

    answer = ask(own, document={"kind": "ping", "nonce": 7}, headers=(("X-From", "me"),), verified=True)

    assert said(answer) == (200, {"pong": 7, "to": "me"})
    assert said(ask(echo, "GET", query="echo=a%26b")) == (200, "a&b")
    assert ask(own, document={"kind": "ping", "nonce": 7}, verified=False) is None
    assert ask(own, document={"kind": "event"}, verified=True) is None
    assert ask(own, body=b"not JSON", verified=True) is None
    assert ask(echo, "GET", query="echo=a%0d%0ab") is None
    assert ask(echo, "GET", query="echo=") is None


@pytest.mark.parametrize(
    ("definition", "words"),
    [
        ("slack", "slack_url_verification"),
        ({"when": "a"}, "answer"),
        ({"when": "a ==", "answer": "b"}, "handshake.when"),
        ({"when": "a", "answer": "[" * 600}, "answer"),
        ({"when": "a", "answer": "b", "methods": []}, "methods"),
    ],
)
def test_a_handshake_that_cannot_be_is_refused_with_its_place(definition, words):
    with pytest.raises(ConfigError, match=words):
        compile_handshake(definition)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data())
def test_no_request_makes_a_handshake_raise(data):
    headers = st.sampled_from(
        [b"X-Hook-Secret", b"aeg-event-type", b"webhook-request-origin", b"x-adobesign-clientid", b"x"]
    )
    request = SignedRequest(
        data.draw(st.sampled_from(["GET", "POST", "HEAD", "OPTIONS", "PUT"])),
        URL
        + data.draw(
            st.sampled_from(["", "?challenge=%ff", "?hub.mode=%00", "?crc_token=" + "a&" * 200, "//[?"])
        ),
        tuple(data.draw(st.lists(st.tuples(headers, st.binary(max_size=20)), max_size=3))),
        data.draw(
            st.one_of(
                st.binary(max_size=30), st.sampled_from([b"[[]]", b'{"events":[]}', b"{" * 2000, b"[0]"])
            )
        ),
    )
    name = data.draw(st.sampled_from(handshake_names()))

    answer = handshake_for(
        name, request, verified=data.draw(st.booleans()), secret=SECRET, awaiting=data.draw(st.booleans())
    )

    assert answer is None or answer.status in (200, 403)
    assert answer is None or not any(mark in value for _, value in answer.headers for mark in "\r\n\0")
