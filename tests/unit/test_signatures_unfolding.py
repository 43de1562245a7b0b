"""Schemes that sign what a compressed body unfolds to."""

import gzip
import hmac
import zlib

import pytest

from headwater.model.secret import Secret
from headwater.plugins.signatures.compile import compile_scheme
from headwater.plugins.signatures.facts import delivery_id, event_type
from headwater.plugins.signatures.request import SignedRequest
from headwater.plugins.signatures.verify import Verdict, verify

BODY = b'{"id": "evt_1", "type": "message.new"}'
DEFINITION = {
    "signature": {"header": "X-Signature"},
    "signed_body": "unfolded",
    "delivery_id": "body:id",
    "event_type": "body:type",
}
SCHEME = compile_scheme(DEFINITION)


def request(body: bytes, *encodings: bytes, signed: bytes = BODY) -> SignedRequest:
    signature = hmac.new(b"s3cret", signed, "sha256").hexdigest().encode()
    headers = [(b"X-Signature", signature), *((b"Content-Encoding", each) for each in encodings)]
    return SignedRequest("POST", "https://hooks.example.com/in/default/x", tuple(headers), body)


def judge(sent: SignedRequest) -> Verdict:
    return verify(SCHEME, [Secret.of("s3cret")], sent, at_s=0, tolerance_s=300)


@pytest.mark.parametrize(
    ("body", "encodings"),
    [
        (BODY, ()),
        (BODY, (b"identity",)),
        (gzip.compress(BODY, mtime=0), (b"gzip",)),
        (gzip.compress(BODY, mtime=0), (b" GZIP ",)),
        (zlib.compress(BODY), (b"deflate",)),
    ],
)
def test_what_a_body_unfolds_to_is_what_counts(body: bytes, encodings: tuple[bytes, ...]) -> None:
    sent = request(body, *encodings)

    assert judge(sent).valid
    assert (delivery_id(SCHEME, sent), event_type(SCHEME, sent)) == ("evt_1", "message.new")


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (request(gzip.compress(BODY, mtime=0), b"gzip", signed=gzip.compress(BODY, mtime=0)), "mismatch"),
        (request(gzip.compress(BODY + b" ", mtime=0), b"gzip"), "mismatch"),
        (request(gzip.compress(BODY, mtime=0)), "mismatch"),
        (request(gzip.compress(BODY, mtime=0)[:-3], b"gzip"), "body_unreadable"),
        (request(gzip.compress(b"0" * 3_000_000, mtime=0), b"gzip"), "body_unreadable"),
        (request(gzip.compress(gzip.compress(BODY), mtime=0), b"gzip, gzip"), "body_unreadable"),
        (request(gzip.compress(BODY, mtime=0), b"gzip", b"gzip"), "header_duplicated"),
        (request(BODY, b"snappy"), "body_unreadable"),
    ],
    ids=["as_sent", "another", "not_said", "cut", "bomb", "twice", "two_headers", "unknown"],
)
def test_anything_else_is_refused(sent: SignedRequest, reason: str) -> None:
    verdict = judge(sent)

    assert (verdict.valid, verdict.reason) == (False, reason)


def test_other_schemes_count_the_bytes_as_sent() -> None:
    scheme = compile_scheme({"signature": {"header": "X-Signature"}})
    folded = gzip.compress(BODY, mtime=0)

    verdict = verify(
        scheme, [Secret.of("s3cret")], request(folded, b"gzip", signed=folded), at_s=0, tolerance_s=300
    )

    assert verdict.valid
