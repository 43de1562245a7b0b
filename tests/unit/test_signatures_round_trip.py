"""Every preset: what its provider sends is accepted; the same with any change to it is not."""

import base64
import dataclasses
import hmac
import re

import pytest
from tests.support.webhook_signer import send

from headwater.model.secret import Secret
from headwater.plugins.signatures.presets import preset, preset_names, preset_row
from headwater.plugins.signatures.verify import verify

AT_S = 1_760_000_000.25
ARABIC_DIGITS = (
    "\u0661\u0667\u0666\u0660\u0660\u0660\u0660\u0660\u0660\u0660".encode()
)  # int() would take them
BODY_NOT_COVERED = {"plivo_v2", "mailgun", "mercadopago"} | {
    name for name in preset_names() if preset(name).kind == "token"
}
SIGNED_FIELDS_ONLY = {"aws_sns", "adyen_notification"}  # other bytes of the body may change
FORMS = {
    name for name in preset_names() if re.search(r"\{(twilio|plivo)", preset_row(name).get("signed", ""))
}
WITH_HEADER = [name for name in preset_names() if preset_row(name)["signature"].get("header")]
TIMED = [name for name in preset_names() if preset_row(name).get("timestamp")]
HEADER_TIMED = [name for name in TIMED if preset_row(name)["timestamp"]["from"].startswith("header:")]
URL_SIGNED = [
    name for name in preset_names() if re.search(r"\{(url|twilio|plivo)", preset_row(name).get("signed", ""))
]

every_preset = pytest.mark.parametrize("name", preset_names())


def judged(name, sent, request=None, *, at_s=AT_S, secret=None, tolerance_s=300.0):
    secrets = [secret or sent.secret]
    return verify(
        preset(name),
        secrets,
        request or sent.request,
        at_s=at_s,
        tolerance_s=tolerance_s,
        context=sent.context,
    )


def with_header(request, name, change):
    """The request with `change` applied to the values of one header; None removes it."""
    headers = []
    for key, value in request.headers:
        if key.lower() != name:
            headers.append((key, value))
        elif (changed := change(value)) is not None:
            headers.append((key, changed))
    return dataclasses.replace(request, headers=tuple(headers))


def header_of(request, name):
    return next(value for key, value in request.headers if key.lower() == name)


def test_there_are_presets_for_all_known_providers():
    assert len(preset_names()) == 128
    assert {"hmac_sha256", "github", "stripe", "standard_webhooks", "aws_sns", "paypal"} <= set(
        preset_names()
    )


@every_preset
def test_what_the_provider_sends_is_accepted(name):
    sent = send(preset_row(name), at_s=AT_S)

    verdict = judged(name, sent)

    assert (verdict.valid, verdict.reason, verdict.secret_index) == (True, "ok", 0)
    if preset_row(name).get("timestamp"):
        assert verdict.timestamp_s == pytest.approx(AT_S, abs=1)
    else:
        assert verdict.timestamp_s is None


@every_preset
def test_another_secret_is_refused_and_the_right_one_is_found_behind_it(name):
    row = preset_row(name)
    sent = send(row, at_s=AT_S, name="two")
    other = send(row, at_s=AT_S, name="one").secret

    alone = judged(name, sent, secret=other)
    both = verify(
        preset(name), [other, sent.secret], sent.request, at_s=AT_S, tolerance_s=300, context=sent.context
    )

    assert (alone.valid, alone.reason, alone.secret_index) == (False, "mismatch", None)
    assert (both.valid, both.secret_index) == (True, 1)


@every_preset
def test_no_secret_and_empty_secrets_never_verify(name):
    sent = send(preset_row(name), at_s=AT_S)

    for secrets in ([], [Secret(b"")], [Secret(b" \n")]):
        verdict = verify(
            preset(name), secrets, sent.request, at_s=AT_S, tolerance_s=300, context=sent.context
        )
        assert (verdict.valid, verdict.reason) == (False, "no_secret")


@pytest.mark.parametrize("name", sorted(set(preset_names()) - BODY_NOT_COVERED - SIGNED_FIELDS_ONLY))
def test_one_changed_bit_of_the_body_is_refused(name):
    sent = send(preset_row(name), at_s=AT_S)
    body = sent.request.body

    for place in {0, len(body) // 2, len(body) - 1}:
        changed = bytes([*body[:place], body[place] ^ 1, *body[place + 1 :]])
        assert judged(name, sent, dataclasses.replace(sent.request, body=changed)).valid is False
    for changed in (b"", body + b"\n", b"\xef\xbb\xbf" + body, b"\xff\xfe" + body):
        assert judged(name, sent, dataclasses.replace(sent.request, body=changed)).valid is False


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("aws_sns", b'"Message": "a', b'"Message": "b'),
        ("aws_sns", b"m-1", b"m-2"),
        ("aws_sns", b":orders", b":orderz"),
        ("adyen_notification", b"1130", b"1131"),
        ("adyen_notification", b"EUR", b"USD"),
        ("adyen_notification", b'"success": "false"', b'"success": "true"'),  # of the second item
        ("mailgun", b"c4f6", b"c4f7"),
    ],
)
def test_a_changed_field_that_is_signed_is_refused(name, before, after):
    sent = send(preset_row(name), at_s=AT_S)
    changed = sent.request.body.replace(before, after)
    assert changed != sent.request.body

    assert judged(name, sent, dataclasses.replace(sent.request, body=changed)).reason == "mismatch"


@pytest.mark.parametrize("name", WITH_HEADER)
def test_any_changed_character_of_the_signature_is_refused(name):
    sent = send(preset_row(name), at_s=AT_S)
    [header] = sent.signature_headers
    size = len(header_of(sent.request, header))
    start = len(preset_row(name)["signature"].get("prefix", ""))

    for place in {start, (start + size) // 2, size - 3, size - 2, size - 1}:

        def flipped(value, place=place):  # this bit never turns one case of a hex digit into the other
            return bytes([*value[:place], value[place] ^ 1, *value[place + 1 :]])

        assert judged(name, sent, with_header(sent.request, header, flipped)).valid is False


@pytest.mark.parametrize("name", WITH_HEADER)
def test_missing_empty_padded_and_doubled_signature_headers_are_refused(name):
    form = preset_row(name)["signature"]
    sent = send(preset_row(name), at_s=AT_S)
    [header] = sent.signature_headers
    pair = (header, header_of(sent.request, header))

    missing = judged(name, sent, with_header(sent.request, header, lambda _: None))
    empty = judged(name, sent, with_header(sent.request, header, lambda _: b""))
    padded = judged(name, sent, with_header(sent.request, header, lambda value: b" " + value))
    doubled = judged(name, sent, dataclasses.replace(sent.request, headers=(*sent.request.headers, pair)))

    assert (missing.valid, missing.reason) == (False, "header_missing")
    assert (empty.valid, empty.reason) == (False, "malformed")
    if form.get("multi") not in (",", " ") and form.get("format") not in (
        "kv",
        "list",
    ):  # lists may hold blanks
        assert padded.valid is False
    expected = (True, "ok") if form.get("multi") == "repeat-header" else (False, "header_duplicated")
    assert (doubled.valid, doubled.reason) == expected


JUNK = [
    b"\xc3\xbc",
    ARABIC_DIGITS,
    b"\x00",
    b"sha256=",
    b"v1,",
    b"t=,v1=",
    b"=",
    b"," * 500,
    b"a" * 100_000,
    b"...",
    b"a.b.c",
]


@pytest.mark.parametrize("name", WITH_HEADER)
def test_junk_for_a_signature_is_refused_without_a_fault(name):
    sent = send(preset_row(name), at_s=AT_S)
    [header] = sent.signature_headers

    for junk in JUNK:
        whole = judged(name, sent, with_header(sent.request, header, lambda _: junk))  # noqa: B023
        behind = judged(name, sent, with_header(sent.request, header, lambda value: value + junk))  # noqa: B023

        assert whole.valid is False
        assert "fault" not in (whole.reason, behind.reason)
        if junk[:1] not in (b",", b"="):  # a list passes over an item that it cannot read
            assert behind.valid is False


@pytest.mark.parametrize(
    "name", [name for name in preset_names() if preset_row(name)["signature"].get("encoding") == "hex"]
)
def test_upper_case_hex_is_accepted(name):
    sent = send(preset_row(name), at_s=AT_S)
    headers, body = sent.request.headers, sent.request.body

    def upper(text):
        return re.sub(rb"[0-9a-f]{32,}", lambda found: found[0].upper(), text)

    if not preset(name).kind.startswith("jwt-"):  # there the hex is inside what is signed
        headers = tuple((key, upper(value)) for key, value in headers)
        body = upper(body) if name == "mailgun" else body

    assert judged(name, sent, dataclasses.replace(sent.request, headers=headers, body=body)).valid


@pytest.mark.parametrize("name", TIMED)
def test_the_time_must_be_within_the_tolerance_on_both_sides(name):
    sent = send(preset_row(name), at_s=AT_S)

    for later_s in (-290, 0, 290):
        assert judged(name, sent, at_s=AT_S + later_s).valid
    old, new = judged(name, sent, at_s=AT_S + 302), judged(name, sent, at_s=AT_S - 302)
    assert (old.valid, old.reason, old.secret_index) == (False, "timestamp_too_old", 0)
    assert (new.valid, new.reason, new.secret_index) == (False, "timestamp_too_new", 0)
    assert old.timestamp_s == pytest.approx(AT_S, abs=1)
    assert judged(name, sent, at_s=AT_S + 302, tolerance_s=600).valid
    assert judged(name, sent, at_s=float("nan")).valid is False
    assert judged(name, sent, tolerance_s=float("nan")).valid is False


@pytest.mark.parametrize("name", TIMED)
def test_a_changed_time_is_refused_as_it_is_part_of_what_is_signed(name):
    sent = send(preset_row(name), at_s=AT_S)
    later = send(preset_row(name), at_s=AT_S + 1)
    place = preset_row(name)["timestamp"]["from"]
    moved = sent.request

    if place.startswith("header:"):
        header = place[7:].lower().encode()
        moved = with_header(moved, header, lambda _: header_of(later.request, header))
    elif place == "sig":
        [header] = sent.signature_headers
        time = re.compile(rb"(?:=|\A)\d{10,}[,;]")
        new = time.search(header_of(later.request, header))[0]
        moved = with_header(moved, header, lambda value: time.sub(new, value))
    elif place.startswith("claim:"):
        [header] = sent.signature_headers
        claims = header_of(later.request, header).split(b".")[1]

        def moved_on(value):
            head, _, mac = value.split(b".")
            return b".".join((head, claims, mac))

        moved = with_header(moved, header, moved_on)
    else:
        time = re.compile(rb'(?<=imestamp": )"?[-0-9T:.Z]+')
        new = time.search(later.request.body)[0]
        moved = dataclasses.replace(moved, body=time.sub(new, moved.body, count=1))

    assert moved != sent.request
    assert judged(name, sent, moved).reason == "mismatch"


@pytest.mark.parametrize("name", HEADER_TIMED)
def test_a_time_that_is_no_time_is_refused(name):
    sent = send(preset_row(name), at_s=AT_S)
    header = preset_row(name)["timestamp"]["from"][7:].lower().encode()
    hostile = [
        b"",
        b"NaN",
        b"inf",
        b"-1",
        b"+1760000000",
        b"1e9",
        b"1_760_000_000",
        b" 1760000000",
        b"9" * 40,
    ]
    hostile += [ARABIC_DIGITS, b"\xff", b"1760000000.5", b"2025-13-40T25:61:61Z", b"0000-00-00T00:00:00Z"]

    for text in hostile:
        verdict = judged(name, sent, with_header(sent.request, header, lambda _: text))  # noqa: B023
        assert (verdict.valid, verdict.reason) == (False, "timestamp_malformed"), text
    missing = judged(name, sent, with_header(sent.request, header, lambda _: None))
    pair = (header, header_of(sent.request, header))
    doubled = judged(name, sent, dataclasses.replace(sent.request, headers=(*sent.request.headers, pair)))

    assert (missing.valid, missing.reason) == (False, "timestamp_missing")
    assert (doubled.valid, doubled.reason) == (False, "header_duplicated")


@pytest.mark.parametrize("name", URL_SIGNED)
def test_another_address_is_refused_where_the_address_is_signed(name):
    sent = send(preset_row(name), at_s=AT_S)
    url = sent.request.url.replace("/orders", "/refunds")

    assert judged(name, sent, dataclasses.replace(sent.request, url=url)).reason == "mismatch"


@pytest.mark.parametrize("name", ["hubspot_v2", "hubspot_v3"])
def test_another_method_is_refused_where_the_method_is_signed(name):
    sent = send(preset_row(name), at_s=AT_S)

    assert judged(name, sent, dataclasses.replace(sent.request, method="PUT")).reason == "mismatch"


@pytest.mark.parametrize(
    ("query", "is_signed"),
    [("to=x%40y.z&at=12%3A30&q=a%20b%2f", True), ("to=x%40y.z&at=12%3A30&q=a b/", False)],
)
def test_hubspot_signs_some_characters_of_its_address_decoded(query: str, is_signed: bool):
    sent = send(preset_row("hubspot_v3"), at_s=AT_S)
    address = "https://h.example/in/a/b?"
    stamp = str(int(AT_S * 1000))
    signed = f"POST{address}to=x@y.z&at=12:30&q=a%20b/".encode() + sent.request.body + stamp.encode()
    mac = base64.b64encode(hmac.digest(sent.secret.reveal(), signed, "sha256"))
    headers = ((b"X-HubSpot-Signature-v3", mac), (b"X-HubSpot-Request-Timestamp", stamp.encode()))

    verdict = judged(
        "hubspot_v3", sent, dataclasses.replace(sent.request, url=address + query, headers=headers)
    )

    assert verdict.valid is is_signed


@pytest.mark.parametrize(
    "name", sorted(set(preset_names()) - SIGNED_FIELDS_ONLY - FORMS - {"mailgun", "linear"})
)
def test_any_bytes_are_a_body_where_bytes_are_signed(name):
    for body in (b"", b"\xef\xbb\xbf{}", b"\xff\xfe\x00", b"null", b"\x00" * 10, b"{" * 3000):
        sent = send(preset_row(name), at_s=AT_S, body=body)

        assert judged(name, sent).valid


@pytest.mark.parametrize("name", sorted({*SIGNED_FIELDS_ONLY, "mailgun"}))
def test_a_body_without_the_signed_fields_is_refused_without_a_fault(name):
    sent = send(preset_row(name), at_s=AT_S)

    for body in (
        b"",
        b"\xef\xbb\xbf{}",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"{}",
        b'"x"',
        b"{" * 2000,
        b'{"a":NaN}',
    ):
        verdict = judged(name, sent, dataclasses.replace(sent.request, body=body))

        assert verdict.valid is False
        assert verdict.reason in {"body_unreadable", "malformed"}


@every_preset
def test_verdicts_and_schemes_never_show_a_secret(name):
    sent = send(preset_row(name), at_s=AT_S)
    wrong = Secret(b"wrong secret")

    shown = f"{judged(name, sent)} {judged(name, sent, secret=wrong)} {preset(name)}"

    assert sent.secret.text() not in shown
    assert "wrong secret" not in shown
