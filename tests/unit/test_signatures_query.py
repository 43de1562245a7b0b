"""Tokens and signatures in a query parameter: read strictly, and what is a token is never kept."""

import pytest

from headwater.model.secret import Secret
from headwater.plugins.signatures.compile import compile_scheme
from headwater.plugins.signatures.request import SignedRequest
from headwater.plugins.signatures.shield import shield_of
from headwater.plugins.signatures.verify import verify

TOKEN = {"kind": "token", "signature": {"query_param": "token", "encoding": "utf8"}}
BODY = b'{"id": 1}'
AT_S = 1_760_000_000
BASE = "https://hooks.example/in/default/orders"


def request_to(query: str) -> SignedRequest:
    return SignedRequest("POST", BASE + query, ((b"Host", b"hooks.example"),), BODY)


def judge(definition: dict, query: str, secret: str = "s3cret"):
    return verify(
        compile_scheme(definition), [Secret.of(secret)], request_to(query), at_s=AT_S, tolerance_s=300
    )


@pytest.mark.parametrize(
    ("query", "secret"),
    [
        ("?token=s3cret", "s3cret"),
        ("?a=1&token=s3cret&b=2", "s3cret"),
        ("?%74oken=%733cret", "s3cret"),
        ("?token=a%2Bb%2F%3D", "a+b/="),
        ("?token=a+b/==", "a+b/=="),  # as senders write it who do not encode
        ("?token=a+b", "a b"),  # as forms write it
        ("?token=%C3%BC", "ü"),
        ("?token=a=b", "a=b"),
        ("?Token=other&token=s3cret", "s3cret"),
    ],
)
def test_a_static_token_is_taken_from_the_query(query, secret):
    assert judge(TOKEN, query, secret).valid


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("", "parameter_missing"),
        ("?", "parameter_missing"),
        ("?Token=s3cret", "parameter_missing"),
        ("?tokens=s3cret", "parameter_missing"),
        ("?token=s3cret&token=s3cret", "parameter_duplicated"),
        ("?token=s3cret&%74oken=s3cret", "parameter_duplicated"),
        ("?token=", "malformed"),
        ("?token", "malformed"),
        ("?token=s3cre%", "encoding"),
        ("?token=%zz", "encoding"),
        ("?token=s3cret%00", "mismatch"),
        ("?token=S3CRET", "mismatch"),
        ("?token=s3cret#x", "mismatch"),
        ("?token=\udcff", "fault"),
    ],
)
def test_a_token_that_is_not_there_once_and_right_is_refused(query, reason):
    assert judge(TOKEN, query).reason == reason


def test_a_signature_in_the_query_covers_what_the_scheme_says():
    definition = {"signature": {"query_param": "sig", "prefix": "sha256="}, "signed": "{path}\n{body}"}
    import hmac

    right = hmac.digest(b"s3cret", b"/in/default/orders\n" + BODY, "sha256").hex()

    assert judge(definition, f"?sig=sha256%3D{right.upper()}").valid
    assert judge(definition, f"?sig=sha256={right[:-1]}").reason == "encoding"
    assert judge(definition, f"?sig={right}").reason == "malformed"


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("?token=s3cret", "?token=***"),
        ("?a=1&token=s3cret&b=a%20b", "?a=1&token=***&b=a%20b"),
        ("?%74oken=s3cret&TOKEN=s3cret&token", "?%74oken=***&TOKEN=***&token=***"),
        ("?other=token", "?other=token"),
        ("", ""),
    ],
)
def test_a_tokens_value_is_not_kept_however_its_name_is_written(query, kept):
    shield = shield_of(compile_scheme(TOKEN))

    assert shield.kept(request_to(query)).url == BASE + kept


def test_headers_in_which_proxies_repeat_the_address_have_stars_too():
    headers = (
        (b"X-Forwarded-Uri", b"/in/default/orders?a=1&token=long+secret%21&b=2"),
        (b"X-Original-Url", b"https://hooks.example/?token=long%20secret!"),
        (b"X-Auth-Request", b"t=long secret!"),
        (b"X-Count", b"1"),
    )
    shield = shield_of(compile_scheme(TOKEN))

    kept = shield.kept(SignedRequest("POST", BASE + "?token=long+secret%21&a=1", headers, BODY))
    short = shield.kept(SignedRequest("POST", BASE + "?token=1", ((b"X-Count", b"1"),), BODY))

    assert [value for _, value in kept.headers] == [
        b"/in/default/orders?a=1&token=***&b=2",
        b"***",  # written in another way than it came
        b"t=***",
        b"1",
    ]
    assert short.headers == ((b"X-Count", b"1"),)


def test_a_signature_is_kept_and_a_token_of_any_body_is_not():
    signature = compile_scheme({"signature": {"query_param": "sig"}, "signed": "{body}"})
    free = {"kind": "jwt-hs256", "signature": {"header": "X-Token", "format": "jwt"}}
    bound = {"kind": "jwt-hs256", "signature": {**free["signature"], "claim": "sha256"}}

    assert shield_of(signature).kept(request_to("?sig=00")).url.endswith("?sig=00")
    assert b"x-token" in shield_of(compile_scheme(free)).headers
    assert b"x-token" not in shield_of(compile_scheme(bound)).headers
