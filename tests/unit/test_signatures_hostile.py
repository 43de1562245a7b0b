"""Whatever comes, verification gives a verdict: never an exception, never a yes."""

import base64
import dataclasses
import hmac

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.webhook_signer import encode, send, stamp

from headwater.model.secret import Secret
from headwater.plugins.signatures.decoders import DECODERS
from headwater.plugins.signatures.presets import preset, preset_names, preset_row
from headwater.plugins.signatures.reasons import REASONS, Refused
from headwater.plugins.signatures.request import SignedRequest
from headwater.plugins.signatures.timestamps import read_timestamp
from headwater.plugins.signatures.verify import verify

AT_S = 1_760_000_000.0
quick = settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)

ADDRESSES = [
    "",
    "/",
    "https://",
    "http://[::1",
    "https://a:b:c/?%",
    "https://h:99999999/",
    "\ud800",
    "https://h/?a=" + "b" * 500,
]


def header_names(name):
    """The names of all headers that mean something to a scheme, and one that does not."""
    row = preset_row(name)
    named = [row["signature"].get("header"), row.get("timestamp", {}).get("from", "").removeprefix("header:")]
    return [text.encode() for text in named if text and ":" not in text] + [b"X-Other", b"webhook-id"]


@quick
@given(data=st.data())
def test_no_request_makes_verification_raise_or_accept(data):
    name = data.draw(st.sampled_from(preset_names()))
    value = st.one_of(
        st.binary(max_size=60),
        st.from_regex(rb"(t=[0-9]{0,40},?)?(v[01]a?[=,])?[A-Za-z0-9+/=. -]{0,90}", fullmatch=True),
    )
    pair = st.tuples(st.one_of(st.sampled_from(header_names(name)), st.binary(max_size=10)), value)
    request = SignedRequest(
        data.draw(st.one_of(st.sampled_from(["POST", "GET", "\u00fc", ""]), st.text(max_size=5))),
        data.draw(st.one_of(st.sampled_from(ADDRESSES), st.text(max_size=30))),
        tuple(data.draw(st.lists(pair, max_size=6))),
        data.draw(st.one_of(st.binary(max_size=80), st.just(b'{"Signature":"AA==","Type":"Notification"}'))),
    )
    moments = st.floats() | st.integers()
    secrets = [Secret(data.draw(st.binary(min_size=40, max_size=50)))]

    verdict = verify(
        preset(name),
        secrets,
        request,
        at_s=data.draw(moments),
        tolerance_s=data.draw(moments),
        context={"webhook_id": "x"},
    )

    assert verdict.valid is False
    assert verdict.reason in REASONS


@quick
@given(data=st.data())
def test_a_genuine_request_with_noise_in_it_never_raises(data):
    name = data.draw(st.sampled_from(preset_names()))
    sent = send(preset_row(name), at_s=AT_S)
    headers = list(sent.request.headers)
    place = data.draw(st.integers(0, len(headers) - 1))
    key, value = headers[place]
    cut = data.draw(st.integers(0, len(value)))
    headers[place] = (key, value[:cut] + data.draw(st.binary(max_size=5)) + value[cut + 1 :])
    at = data.draw(st.integers(0, len(sent.request.body)))
    body = sent.request.body[:at] + data.draw(st.binary(max_size=5)) + sent.request.body[at + 1 :]
    request = dataclasses.replace(
        sent.request,
        headers=tuple(headers),
        body=body,
        url=data.draw(st.sampled_from([sent.request.url, *ADDRESSES])),
    )

    verdict = verify(preset(name), [sent.secret], request, at_s=AT_S, tolerance_s=300, context=sent.context)

    assert verdict.reason in REASONS
    assert verdict.reason != "fault" or request.url == "\ud800"  # the one address that no bytes stand for


def test_a_fault_inside_is_a_refusal_that_tells_nothing():
    sent = send(preset_row("square"), at_s=AT_S)
    broken = dataclasses.replace(sent.request, url="\ud800")

    verdict = verify(preset("square"), [sent.secret], broken, at_s=AT_S, tolerance_s=300)

    assert (verdict.valid, verdict.reason, verdict.detail, verdict.secret_index) == (False, "fault", "", None)


def test_things_that_are_no_request_are_a_refusal_too():
    for thing in (None, object(), SignedRequest("POST", "", None, b"")):  # type: ignore[arg-type]
        verdict = verify(preset("github"), [Secret(b"x")], thing, at_s=AT_S, tolerance_s=300)
        assert (verdict.valid, verdict.reason) == (False, "fault")


@given(st.binary(max_size=40), st.sampled_from(["hex", "base64", "base64url"]))
def test_a_decoder_reads_what_was_encoded_and_no_second_spelling(raw, encoding):
    text = encode(raw, encoding).encode()

    assert DECODERS[encoding](text) == raw


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("hex", b"a"),
        ("hex", b"0x12"),
        ("hex", b"12 34"),
        ("hex", b"zz"),
        ("hex", "\u0661\u0662".encode()),
        ("base64", b"QQ"),
        ("base64", b"QQ="),
        ("base64", b"QQ==="),
        ("base64", b"QR=="),  # unused bits set: another spelling of the same byte
        ("base64", b"Q Q=="),
        ("base64", b"QQ==\n"),
        ("base64", b"-_8="),
        ("base64", "QQ=\u00fc".encode()),
        ("base64url", b"+/8="),
        ("base64url", b"QR"),
        ("base64url", b"Q"),
        ("base64url", b"QQ=="[:3]),
        ("base64url", b"Q.Q"),
    ],
)
def test_a_decoder_refuses_anything_but_the_one_right_form(encoding, text):
    with pytest.raises(ValueError):
        DECODERS[encoding](text)


def test_url_safe_base64_is_read_with_and_without_padding():
    raw = bytes([251, 255])

    assert DECODERS["base64url"](b"-_8") == DECODERS["base64url"](b"-_8=") == raw
    assert base64.urlsafe_b64encode(raw) == b"-_8="


@given(
    st.integers(0, 4_000_000_000), st.sampled_from(["s", "s-str", "ms", "rfc3339", "iso8601", "http-date"])
)
def test_a_time_is_read_as_it_was_written(at_s, unit):
    assert read_timestamp(stamp(unit, at_s).encode(), unit) == pytest.approx(at_s, abs=0.001)


@pytest.mark.parametrize(
    ("text", "expected_s"),
    [
        (b"1970-01-01T00:00:00Z", 0),
        (b"1970-01-01t01:00:00+01:00", 0),
        (b"1969-12-31T16:00:00-08:00", 0),
        (b"2016-12-31T23:59:60Z", 1483228800),
        (b"2025-01-01T00:00:00.123456789Z", 1735689600.123456789),
    ],
)
def test_rfc3339_offsets_fractions_and_leap_seconds_are_read(text, expected_s):
    assert read_timestamp(text, "rfc3339") == pytest.approx(expected_s, abs=1e-6)
    assert read_timestamp(text, "iso8601") == pytest.approx(expected_s, abs=1e-6)


def test_a_time_without_a_zone_is_utc_only_where_the_scheme_says_so():
    assert read_timestamp(b"1970-01-02T00:00:00.5", "iso8601") == 86_400.5
    for unit, text in (("rfc3339", b"1970-01-02T00:00:00"), ("iso8601", b"1970-01-02")):
        with pytest.raises(Refused):
            read_timestamp(text, unit)


def test_a_signed_header_that_is_there_and_empty_is_missing():
    secret = base64.b64encode(b"k" * 24).decode()
    mac = base64.b64encode(hmac.digest(b"k" * 24, b".1700000000.{}", "sha256")).decode()
    headers = (
        (b"webhook-id", b""),
        (b"webhook-timestamp", b"1700000000"),
        (b"webhook-signature", b"v1," + mac.encode()),
    )

    verdict = verify(
        preset("standard_webhooks"), [Secret.of(secret)], SignedRequest("POST", "", headers, b"{}"),
        at_s=1700000000, tolerance_s=300,
    )  # fmt: skip

    assert (verdict.valid, verdict.reason, verdict.detail) == (False, "header_missing", "webhook-id")
