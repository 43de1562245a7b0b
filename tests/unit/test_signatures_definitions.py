"""Schemes of users' own: what is refused at the outset, with place and mend; rotation; tokens; certificates."""

import dataclasses
import hashlib
import hmac
import json
from pathlib import Path

import jsonschema
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.support.webhook_signer import encode, secret_of, send, token

from headwater.model.errors import ConfigError
from headwater.model.secret import Secret
from headwater.plugins.signatures.compile import compile_scheme
from headwater.plugins.signatures.facts import certificate_url, delivery_id, event_type
from headwater.plugins.signatures.keys import check_secrets, load_keys
from headwater.plugins.signatures.presets import preset, preset_names, preset_row
from headwater.plugins.signatures.reasons import REASONS
from headwater.plugins.signatures.request import SignedRequest
from headwater.plugins.signatures.verify import bind, verify

AT_S = 1_760_000_000
SECRET = Secret.of("s3cret")
SCHEMA = Path(__file__).parents[2] / "schemas/config/signature-scheme.v1.json"


def mac(message, secret=SECRET, name="sha256"):
    return hmac.new(secret.reveal(), message, name).digest()


def request_with(*headers, body=b"{}", url="https://hooks.example.com/in/default/x"):
    return SignedRequest("POST", url, tuple((name.encode(), value.encode()) for name, value in headers), body)


def judge(definition, request, *, secrets=(SECRET,), at_s=AT_S, tolerance_s=300.0, context=None):
    scheme = compile_scheme(definition)
    return verify(scheme, secrets, request, at_s=at_s, tolerance_s=tolerance_s, context=context or {})


def test_a_header_alone_defines_hmac_sha256_over_the_body_in_hex():
    definition = {"signature": {"header": "X-My-Sig"}}
    request = request_with(("x-my-sig", mac(b"{}").hex()))

    assert judge(definition, request).valid
    assert judge(definition, dataclasses.replace(request, body=b"{ }")).reason == "mismatch"


@pytest.mark.parametrize(
    ("definition", "said"),
    [
        ({}, ("signature", "is missing")),
        ({"signature": {}}, ("signature.header", "name the signature's header")),
        ({"signature": {"header": "X Y"}}, ("signature.header",)),
        ({"signature": {"header": "X", "encoding": "base32"}}, ("signature.encoding", "hex")),
        ({"signature": {"header": "X"}, "kind": "hmacs"}, ("kind", "hmac")),
        ({"signature": {"header": "X"}, "hash": "sha3"}, ("hash", "sha256")),
        ({"signature": {"header": "X"}, "colour": 1}, ("colour", "no such field")),
        ({"signature": {"header": "X"}, "signed": "{bdy}"}, ("signed", "{bdy}", "{body}")),
        ({"signature": {"header": "X"}, "signed": "{body"}, ("signed", "single {", "double it")),
        ({"signature": {"header": "X"}, "signed": "{header:}{body}"}, ("signed", "{header:NAME}")),
        ({"signature": {"header": "X"}, "signed": "always the same"}, ("signed", "add {body}")),
        ({"signature": {"header": "X"}, "signed": "{method}|{context:shop}"}, ("signed", "add {body}")),
        ({"signature": {"header": "X"}, "signed": "{timestamp}.{body}"}, ("timestamp", "say where it is")),
        ({"signature": {"header": "X"}, "signed": "{secret}{body}"}, ("signed", "remove {secret}")),
        ({"signature": {"header": "X"}, "kind": "hash"}, ("signed", "add {secret}")),
        ({"signature": {"header": "X"}, "kind": "token", "signed": "{body}"}, ("signed", "remove")),
        ({"signature": {"header": "X"}, "timestamp": {"from": "header:T"}}, ("timestamp", "{timestamp}")),
        ({"signature": {"header": "X"}, "timestamp": {"from": "claim:iat"}}, ("timestamp.from", "jwt")),
        (
            {"signature": {"header": "X"}, "timestamp": {"from": "sig"}, "signed": "{timestamp}{body}"},
            ("kv", "ts_key"),
        ),
        ({"signature": {"header": "X", "format": "kv"}}, ("signature.sig_key", "is missing")),
        ({"signature": {"header": "X", "format": "list"}}, ("signature.format", "{from: sig}")),
        (
            {"signature": {"header": "X", "format": "list", "multi": ","}, "timestamp": {"from": "sig"}},
            ("signature.multi", "plain only"),
        ),
        ({"signature": {"format": "body"}}, ("signature.field", "is missing")),
        ({"signature": {"format": "body", "field": "s"}}, ("signed", "cannot sign itself", "{json:PATH}")),
        (
            {"signature": {"format": "body", "field": "s"}, "signed": "{json:id}{body_sha256_hex}"},
            ("signed", "cannot sign itself"),
        ),
        (
            {"kind": "token", "signature": {"format": "body", "field": "s", "encoding": "utf8"}},
            ("signature.format", "query_param"),
        ),
        ({"signature": {"header": "X", "multi": ",", "prefix": "v1,"}}, ("signature.prefix", "','")),
        (
            {"signature": {"header": "X", "format": "kv", "sig_key": "v=1"}},
            ("signature.sig_key", "before the ="),
        ),
        (
            {"signature": {"header": "X", "format": "kv", "sig_key": "v", "sep": ";", "ts_key": "a;b"}},
            ("signature.ts_key", "';'"),
        ),
        (
            {"signature": {"header": "X", "format": "kv", "sig_key": "t", "ts_key": "t"}},
            ("signature.sig_key", "its own"),
        ),
        (
            {
                "signature": {"header": "X", "format": "kv", "sig_key": "v", "ts_key": "t"},
                "timestamp": {"from": "sig", "unit": "http-date"},
                "signed": "{timestamp}{body}",
            },
            ("timestamp.unit", "','"),
        ),
        ({"signature": {"header": "X", "format": "jwt"}}, ("signature.format", "jwt")),
        ({"signature": {"header": "X"}, "kind": "jwt-hs256"}, ("signature.format", "jwt")),
        ({"signature": {"header": "X", "encoding": "utf8"}}, ("signature.encoding", "token")),
        ({"signature": {"header": "X", "multi": "alt-headers"}}, ("signature.alt_headers", "give both")),
        ({"signature": {"header": "X", "multi": "numbered-header"}}, ("signature.header", "X-Signature-1")),
        ({"signature": {"header": "X", "multi": "repeat-key"}}, ("signature.multi", "kv")),
        ({"signature": {"header": "X"}, "hash": "by_signature_version"}, ("hash", "sha256")),
        ({"signature": {"header": "X"}, "kind": "ed25519", "hash": "md5"}, ("hash", "md5")),
        ({"signature": {"header": "X"}, "body_hash": {"query_param": "h"}}, ("body_hash", "{url}")),
        ({"signature": {"header": "X"}, "delivery_id": "cookie:id"}, ("delivery_id", "header:NAME")),
        ({"signature": {"header": "X", "query_param": "q"}}, ("signature.query_param", "one of them")),
        ({"signature": {"query_param": "q", "multi": ","}}, ("signature.multi", "one signature")),
        (
            {"signature": {"query_param": "q", "format": "kv", "sig_key": "v"}},
            ("signature.query_param", "plain or jwt"),
        ),
        ({"signature": {"query_param": "q"}, "signed": "{url}{body}"}, ("signed", "{url_no_query}")),
        ({"signature": {"header": "X"}, "signed": "{signed_headers}{body}"}, ("signed", "headers_key")),
        ({"signature": {"header": "X", "aud": "a"}}, ("signature.aud", "jwt-")),
        ({"signature": {"header": "X", "claims": {"a": "b"}}}, ("signature.claims", "jwt-")),
        (
            {"signature": {"header": "X"}, "key": {"keys_url": "https://keys.example/set"}},
            ("key.keys_url", "public keys"),
        ),
        (
            {"kind": "ed25519", "signature": {"header": "X"}, "key": {"keys_url": "http://keys.example/set"}},
            ("key.keys_url", "pattern"),
        ),
        (
            {"signature": {"header": "X"}, "kind": "token", "key": {"encoding": "jwk"}},
            ("key.encoding", "utf8"),
        ),
    ],
)
def test_a_definition_that_cannot_hold_is_refused_with_place_and_mend(definition, said):
    with pytest.raises(ConfigError) as raised:
        compile_scheme(definition)

    for words in said:
        assert words in str(raised.value)


def test_an_unknown_preset_is_refused_by_name():
    with pytest.raises(ConfigError, match="no preset 'githb'"):
        preset("githb")


def test_rows_as_providers_tables_write_them_compile():
    row = {
        "id": "aws_sns",
        "provider": "AWS SNS",
        "kind": "rsa-pkcs1v15",
        "hash": "by SignatureVersion: 1=sha1, 2=sha256",
        "key": {"encoding": "pem", "type": "x509 certificate (from SigningCertURL, host allow-list)"},
        "signature": {"header": None, "format": "body", "field": "Signature", "encoding": "base64"},
        "signed": "{sns:Name\\nValue\\n of Message,MessageId,Subject?,Timestamp,TopicArn,Type | Message}",
        "timestamp": {"from": "body:Timestamp", "unit": "rfc3339", "recommended_tolerance_s": 3600},
        "doc": "docs.aws.amazon.com/sns",
        "handshake": "sns_subscription_confirmation",
    }
    sent = send(preset_row("aws_sns"), at_s=AT_S)

    assert verify(compile_scheme(row), [sent.secret], sent.request, at_s=AT_S, tolerance_s=3600).valid


def test_the_published_schema_takes_every_preset():
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_bytes()))

    for name in preset_names():
        validator.validate(preset_row(name))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("github", "", "is empty"),
        ("github", "  \n", "is empty"),
        ("standard_webhooks", "whsec_", "empty behind its prefix"),
        ("standard_webhooks", "whsec_not base64!", "is not base64"),
        ("adyen_header", "zz", "is not hex"),
        ("discord", "00" * 31, "Ed25519"),
        ("discord", "00" * 32, "Ed25519"),  # of small order: anybody can sign for it
        ("discord", "01" + "00" * 30 + "80", "Ed25519"),
        ("sendgrid", "AAAA", "P-256"),
        ("kick", "-----BEGIN PUBLIC KEY-----", "RSA"),
        ("paypal", "-----BEGIN CERTIFICATE-----\nxx\n-----END CERTIFICATE-----", "RSA"),
        ("basic_auth", "nobody", "user:password"),
    ],
)
def test_an_unusable_secret_is_a_configuration_error_that_does_not_show_it(name, text, said):
    with pytest.raises(ConfigError, match="secret 2") as raised:
        check_secrets(preset(name), [secret_of(preset_row(name)), Secret.of(text)])

    assert said in str(raised.value)
    assert len(text) < 4 or text not in str(raised.value)


def test_an_endpoint_without_any_secret_is_a_configuration_error():
    with pytest.raises(ConfigError, match="give at least one"):
        check_secrets(preset("github"), [])


def test_an_unusable_secret_does_not_keep_its_neighbour_from_verifying():
    sent = send(preset_row("standard_webhooks"), at_s=AT_S)
    verifier = bind(preset("standard_webhooks"), [Secret.of("not base64!"), sent.secret])

    verdict = verifier.verify(sent.request, at_s=AT_S, tolerance_s=300)

    assert (verdict.valid, verdict.secret_index) == (True, 1)
    assert sent.secret.text() not in repr(verifier)


# Several signatures


def test_any_of_several_signatures_in_one_header_is_enough():
    definition = {"signature": {"header": "X", "prefix": "v1=", "multi": ","}}
    good = mac(b"{}").hex()

    for value in (
        f"v1={good}",
        f"v1={'0' * 64},v1={good}",
        f"v1=junk, v1={good}",
        f"v2={'1' * 64},v1={good}",
    ):
        assert judge(definition, request_with(("X", value))).valid
    for value in (f"v1={'0' * 64},v1={'1' * 64}", f"v2={good}", "v1=" + ",v1=".join([good] * 21)):
        assert judge(definition, request_with(("X", value))).valid is False


def test_in_a_list_a_prefix_may_be_left_out_where_that_is_allowed():
    good, bad = mac(b"{}").hex(), "0" * 64
    strict = {"signature": {"header": "X", "prefix": "v1=", "multi": ","}}
    loose = {"signature": {**strict["signature"], "prefix_optional": True}}

    for value in (good, f"v1={good}", f"{bad}, {good}", f"v1={bad},{good}"):
        assert judge(loose, request_with(("X", value))).valid
    assert judge(strict, request_with(("X", good))).reason == "malformed"
    assert judge(strict, request_with(("X", f"v1={bad},{good}"))).reason == "mismatch"


def test_either_of_two_headers_may_match_either_key():
    scheme = preset_row("box")
    sent = send(scheme, at_s=AT_S, name="two")
    moved = tuple(
        (b"box-signature-secondary" if name.lower() == b"box-signature-primary" else name, value)
        for name, value in sent.request.headers
    )
    both = ((b"BOX-SIGNATURE-PRIMARY", encode(bytes(32), "base64").encode()), *moved)

    for headers in (moved, both):
        verdict = verify(
            preset("box"),
            [secret_of(scheme, "one"), sent.secret],
            dataclasses.replace(sent.request, headers=headers),
            at_s=AT_S,
            tolerance_s=600,
        )
        assert (verdict.valid, verdict.secret_index) == (True, 1)


def test_numbered_headers_are_all_looked_at_and_each_number_once():
    scheme = preset("docusign")
    secret = Secret.of("k2")
    good = encode(mac(b"{}", secret), "base64")
    wrong = encode(bytes(32), "base64")

    def judged(*headers):
        return verify(scheme, [secret], request_with(*headers), at_s=AT_S, tolerance_s=300)

    assert judged(("X-DocuSign-Signature-1", wrong), ("X-DocuSign-Signature-2", good)).valid
    assert judged(("X-DocuSign-Signature-100", good)).valid
    assert judged(("X-DocuSign-Signature-101", good)).reason == "header_missing"
    assert judged(("X-DocuSign-Signature-x", good)).reason == "header_missing"
    doubled = judged(("X-DocuSign-Signature-2", wrong), ("x-docusign-signature-2", good))
    assert doubled.reason == "header_duplicated"


@pytest.mark.parametrize("other", ["sha256=" + "0" * 64, "sha512=" + "0" * 128, "junk", ""])
def test_a_rotating_mollie_shows_both_signatures_in_headers_of_one_name(other):
    definition = preset_row("mollie")
    headers = (("X-Mollie-Signature", other), ("X-Mollie-Signature", "sha256=" + mac(b"{}").hex()))

    assert judge(definition, request_with(*headers)).valid
    assert judge(definition, request_with(*headers[::-1])).valid
    assert not judge(definition, request_with(headers[0])).valid


@pytest.mark.parametrize("times", ["t=1,t=1760000000", "t=1760000000,t=1760000000"])
def test_two_times_beside_one_signature_are_refused(times):
    signature = mac(b"1760000000.{}").hex()
    request = request_with(("Stripe-Signature", f"{times},v1={signature}"))

    assert judge(preset_row("stripe"), request).reason == "malformed"


# Tokens and JWT


def test_the_word_basic_may_be_in_any_case():
    for word in ("Basic", "basic", "BASIC"):
        request = request_with(("Authorization", f"{word} {encode(b'user:pass', 'base64')}"))
        assert judge(preset_row("basic_auth"), request, secrets=[Secret.of("user:pass")]).valid


@pytest.mark.parametrize("kind", ["jwt-hs256", "jwt-rs256", "jwt-es256"])
def test_a_token_is_bound_to_the_body_the_issuer_and_its_times(kind):
    form = {"header": "Authorization", "format": "jwt", "prefix": "Bearer ", "claim": "body", "iss": "me"}
    time = {"from": "claim:iat", "unit": "s"}
    row = {"id": "own", "kind": kind, "signature": form, "timestamp": time}
    secret = secret_of({"id": "own", "kind": kind, "key": {"encoding": "utf8"}})
    row["key"] = {"encoding": "base64"} if kind == "jwt-es256" else {"encoding": "utf8"}
    claims = {
        "body": hashlib.sha256(b"{}").hexdigest(),
        "iss": "me",
        "iat": AT_S,
        "exp": AT_S + 60,
        "nbf": AT_S,
    }

    def reason(**changes):
        text = token(kind, {k: v for k, v in (claims | changes).items() if v is not None}, secret)
        return judge(row, request_with(("Authorization", f"Bearer {text}")), secrets=[secret]).reason

    assert reason() == "ok"
    assert reason(body="0" * 64) == "body_hash_mismatch"
    assert reason(body="zz") == "encoding"
    assert reason(body=None) == "body_hash_missing"
    assert reason(iss="you") == "issuer_mismatch"
    assert reason(iat=AT_S - 301) == "timestamp_too_old"
    assert reason(iat=AT_S + 301) == "timestamp_too_new"
    assert reason(iat=None) == "timestamp_missing"
    assert reason(iat="now") == "timestamp_malformed"
    assert reason(iat=10**40) == "timestamp_malformed"
    assert reason(exp=AT_S - 301) == "timestamp_too_old"
    assert reason(nbf=AT_S + 301) == "timestamp_too_new"


def test_the_token_does_not_choose_its_algorithm():
    row = preset_row("fusionauth")
    secret = secret_of(row)
    claims = {"request_body_sha256": encode(hashlib.sha256(b"{}").digest(), "base64")}
    good = token("jwt-hs256", claims, secret)

    def judged(text):
        return judge(row, request_with((row["signature"]["header"], text)), secrets=[secret])

    assert judged(good).valid
    for header in (
        {"alg": "none"},
        {"alg": "hs256"},
        {"alg": "RS256"},
        {},
        {"alg": "HS256", "crit": ["b64"]},
    ):
        assert judged(token("jwt-hs256", claims, secret, header=header)).reason == "malformed"
    head, payload, signature = good.split(".")
    for text in (f"{head}.{payload}.", f"{head}.{payload}", f"{good}.x", f"{head}=.{payload}.{signature}"):
        assert judged(text).valid is False
    assert judged(f"{head}.{payload}.{signature}=").valid is False


# Details of single schemes


def test_a_signed_value_of_the_context_must_be_configured():
    sent = send(preset_row("paypal"), at_s=AT_S)
    scheme = preset("paypal")

    missing = verify(scheme, [sent.secret], sent.request, at_s=AT_S, tolerance_s=300)
    other = verify(
        scheme, [sent.secret], sent.request, at_s=AT_S, tolerance_s=300, context={"webhook_id": "WH-43"}
    )

    assert scheme.context_names == {"webhook_id"}
    assert (missing.reason, missing.detail) == ("context_missing", "webhook_id")
    assert other.reason == "mismatch"


def test_a_message_of_another_topic_is_refused_where_the_topic_is_configured():
    sent = send(preset_row("aws_sns"), at_s=AT_S)

    def judged(topic):
        return judge(preset_row("aws_sns"), sent.request, secrets=[sent.secret], context={"topic_arn": topic})

    assert judged("arn:aws:sns:eu-west-1:123456789012:orders").valid
    assert judged("arn:aws:sns:eu-west-1:666:orders").reason == "topic_mismatch"


def test_the_hash_of_the_body_must_stand_in_the_signed_address_once():
    row = preset_row("twilio_json")
    secret = Secret.of("12345")

    def judged(query):
        url = f"https://hooks.example.com/in/default/x{query}"
        signature = encode(mac(url.encode(), secret, "sha1"), "base64")
        return judge(row, request_with(("X-Twilio-Signature", signature), url=url), secrets=[secret])

    right = hashlib.sha256(b"{}").hexdigest()
    assert judged(f"?bodySHA256={right}").valid
    assert judged(f"?bodySHA256={'0' * 64}").reason == "body_hash_mismatch"
    assert judged("").reason == "body_hash_missing"
    assert judged(f"?bodySHA256={right}&bodySHA256={right}").reason == "body_hash_missing"
    assert judged("?bodySHA256=xyz").reason == "encoding"


@pytest.mark.parametrize("value", ["true", "null", '"soon"', "1.76e12", "-5", "1e400", '{"a":1}'])
def test_a_time_in_the_body_that_is_no_time_is_refused(value):
    body = b'{"webhookTimestamp": %s}' % value.encode()
    request = request_with(("Linear-Signature", mac(body).hex()), body=body)

    verdict = judge(preset_row("linear"), request)

    assert (verdict.valid, verdict.reason.startswith("timestamp_")) == (False, True)


def test_the_time_in_a_body_is_read_only_after_its_signature_was_right():
    request = request_with(("Linear-Signature", "0" * 64), body=b"\xff not JSON")

    assert judge(preset_row("linear"), request).reason == "mismatch"
    signed = request_with(("Linear-Signature", mac(request.body).hex()), body=request.body)
    assert judge(preset_row("linear"), signed).reason == "timestamp_missing"


def test_braces_of_the_text_itself_are_doubled():
    definition = {"signature": {"header": "X"}, "signed": "{{{method}}}:{path}:{query}:{body_sha256_hex}"}
    digest = hashlib.sha256(b"{}").hexdigest()
    message = f"{{POST}}:/in/default/x:a=1:{digest}".encode()
    url = "https://hooks.example.com/in/default/x?a=1"

    assert judge(definition, request_with(("X", mac(message).hex()), url=url)).valid


def test_every_reason_is_explained():
    assert all(text.endswith(".") for text in REASONS.values())


# What a verified request says about itself


@pytest.mark.parametrize(
    ("name", "headers", "body", "expected"),
    [
        (
            "github",
            [("X-GitHub-Delivery", "72d3162e"), ("X-GitHub-Event", "push")],
            b"",
            ("72d3162e", "push"),
        ),
        ("github", [], b"", (None, None)),
        ("github", [("X-GitHub-Delivery", "a"), ("x-github-delivery", "b")], b"", (None, None)),
        ("github", [("X-GitHub-Delivery", "")], b"", (None, None)),
        ("github", [("X-GitHub-Delivery", "x" * 257)], b"", (None, None)),
        ("github", [("X-GitHub-Delivery", "a\x00b")], b"", (None, None)),
        ("stripe", [], b'{"id":"evt_1","type":"a.b"}', ("evt_1", "a.b")),
        ("stripe", [], b"not JSON", (None, None)),
        ("stripe", [], b"[1]", (None, None)),
        ("stripe", [], b'{"id":{"a":1},"type":true}', (None, None)),
        ("telegram", [], b'{"update_id":10000}', ("10000", None)),
        (
            "pagerduty",
            [],
            b'{"event":{"id":"e1","event_type":"incident.triggered"}}',
            ("e1", "incident.triggered"),
        ),
        ("standard_webhooks", [("webhook-id", "msg_1")], b'{"type":"x"}', ("msg_1", "x")),
        ("meta", [], b"{}", (None, None)),
    ],
)
def test_delivery_id_and_event_type_are_what_the_provider_says_or_nothing(name, headers, body, expected):
    request = request_with(*headers, body=body)

    assert (delivery_id(preset(name), request), event_type(preset(name), request)) == expected


GOOD_SNS = (
    "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-56e67fcb41f6fec09b0196692625d385.pem"
)


@pytest.mark.parametrize(
    ("url", "taken"),
    [
        (GOOD_SNS, True),
        ("https://sns.cn-north-1.amazonaws.com.cn/x.pem", True),
        (GOOD_SNS.replace("https", "http"), False),
        ("https://sns.eu-west-1.amazonaws.com.evil.example/x.pem", False),
        ("https://evil.example/sns.eu-west-1.amazonaws.com/x.pem", False),
        ("https://sns.eu-west-1.amazonaws.com@evil.example/x.pem", False),
        ("https://sns.eu-west-1.amazonaws.com:444/x.pem", False),
        ("https://sns.a.b.amazonaws.com/x.pem", False),
        ("https://sns..amazonaws.com/x.pem", False),
        ("https://sns.eu-west-1.amazonaws.com\\@evil.example/x.pem", False),
        ("https://sns.eu-west-1.amazonaws.com/x\n.pem", False),
        ("", False),
    ],
)
def test_a_certificate_is_only_looked_for_at_the_providers_hosts(url, taken):
    request = request_with(body=json.dumps({"SigningCertURL": url}).encode())

    assert certificate_url(preset("aws_sns"), request) == (url if taken else None)


def test_the_certificate_of_paypal_is_named_by_a_header():
    url = "https://api.sandbox.paypal.com/v1/notifications/certs/CERT-360caa42"

    assert certificate_url(preset("paypal"), request_with(("PayPal-Cert-Url", url))) == url
    assert (
        certificate_url(preset("paypal"), request_with(("PayPal-Cert-Url", url), ("PayPal-Cert-Url", url)))
        is None
    )
    assert certificate_url(preset("paypal"), request_with()) is None
    assert certificate_url(preset("github"), request_with(("PayPal-Cert-Url", url))) is None


@pytest.mark.parametrize("name", ["square", "twilio_form", "plivo_v2", "hubspot_v2"])
def test_who_is_refused_where_the_address_is_signed_learns_which_one_was_judged(name):
    sent = send(preset_row(name), at_s=AT_S)
    elsewhere = dataclasses.replace(sent.request, url="http://0.0.0.0:8080/in/default/orders?key=1")

    verdict = verify(preset(name), [sent.secret], elsewhere, at_s=AT_S, tolerance_s=300)

    assert (verdict.reason, verdict.detail) == (
        "mismatch",
        "as sent to http://0.0.0.0:8080/in/default/orders",
    )


def test_who_is_refused_where_it_is_not_learns_no_address():
    sent = send(preset_row("github"), at_s=AT_S)
    changed = dataclasses.replace(sent.request, body=b"{}")

    assert verify(preset("github"), [sent.secret], changed, at_s=AT_S, tolerance_s=300).detail == ""


def test_what_woocommerce_sends_within_a_second_is_not_one_delivery():
    sent = send(preset_row("woocommerce"), at_s=AT_S)
    # class-wc-webhook.php makes it of the webhook's id and the second: deliveries of one second share it
    headers = (*sent.request.headers, (b"X-WC-Webhook-Delivery-ID", b"0123456789abcdef0123456789abcdef"))

    assert delivery_id(preset("woocommerce"), dataclasses.replace(sent.request, headers=headers)) is None


def test_a_key_in_pem_may_stand_on_one_line_as_environment_files_hold_it() -> None:
    private = Ed25519PrivateKey.generate()
    pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    scheme = compile_scheme(
        {"kind": "ed25519", "key": {"encoding": "pem"}, "signature": {"header": "X-Signature"}}
    )

    for text in (pem, pem.replace("\n", "\\n"), pem.replace("\n", "\r\n")):
        (key,) = load_keys(scheme, Secret.of(text))
        assert isinstance(key, Ed25519PublicKey)
        assert key.public_bytes_raw() == private.public_key().public_bytes_raw()


@pytest.mark.parametrize(
    ("told", "headers", "reason"),
    [
        ("h=a b", [("A", "1"), ("b", "2")], "ok"),
        ("h=a b", [("A", "1"), ("b", "3")], "mismatch"),
        ("h=b a", [("A", "1"), ("b", "2")], "mismatch"),
        ("h=a b", [("A", "1")], "header_missing"),
        ("h=a b", [("A", "1"), ("b", "2"), ("B", "2")], "header_duplicated"),
        ("h=a b,h=a b", [("A", "1"), ("b", "2")], "malformed"),
        ("h=", [("A", "1"), ("b", "2")], "malformed"),
        ("x=1", [("A", "1"), ("b", "2")], "malformed"),
        ("h=" + " ".join(["a"] * 51), [("A", "1")], "malformed"),
        ("h=a  b", [("A", "1"), ("b", "2")], "header_missing"),
    ],
)
def test_headers_that_the_signature_names_are_signed_with_their_names(told, headers, reason):
    definition = {
        "signature": {"header": "X-Sig", "format": "kv", "sig_key": "v1", "headers_key": "h"},
        "signed": "{signed_headers}.{body}",
    }
    value = f"{told},v1={mac(b'a b.1.2.{}').hex()}"

    assert judge(definition, request_with(("X-Sig", value), *headers)).reason == reason
