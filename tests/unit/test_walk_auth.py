"""Credentials that are made: signatures, assertions, and tokens that are asked for first."""

import hashlib
import hmac
import json
from base64 import b64encode, urlsafe_b64decode
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from pydantic import TypeAdapter, ValidationError

from headwater.contracts.auth import Auth
from headwater.model.errors import ConfigError, SecretError, SourceError
from headwater.model.http import Credentials, HttpRequest, Response
from headwater.model.secret import Secret
from headwater.plugins.auth import (
    ACCESS_TOKEN,
    HeldToken,
    TokenAuthenticator,
    authenticator_for,
    token_authenticator_for,
)

NOW = datetime(2024, 5, 1, 12, 0, tzinfo=UTC)
SECRETS = {
    "KEY": Secret.of("s3cret-key"),
    "REFRESH": Secret.of("first-refresh"),
    ACCESS_TOKEN: Secret.of("acc3ss"),
}
OAUTH = {
    "type": "oauth2", "token_url": "https://login.example/token", "client_id": "me@x", "client_secret": "${secret:KEY}",
}  # fmt: skip


def _auth(**parts: Any) -> Any:
    return TypeAdapter(Auth).validate_python(parts)


def _tokens(**parts: Any) -> TokenAuthenticator:
    plugin = token_authenticator_for(_auth(**parts))
    assert plugin is not None
    return plugin


def _applied(request: HttpRequest, **parts: Any) -> dict[str, str]:
    made = authenticator_for(_auth(**parts)).apply(request, SECRETS, NOW)
    assert "s3cret" not in repr(made)
    return {name: value.text() for name, value in made.credentials.headers}


def _request(body: bytes | None = None) -> HttpRequest:
    url = "https://api.example/v1/items?a=1&b=%2F"
    return HttpRequest(
        "POST" if body else "GET", url, body=body, credentials=Credentials("https://api.example:443")
    )


def _form(request: HttpRequest) -> dict[str, str]:
    assert request.credentials.body is not None
    return {name: values[0] for name, values in parse_qs(request.credentials.body.text()).items()}


def _answer(document: object, status: int = 200) -> Response:
    return Response(status, (), json.dumps(document).encode(), "https://login.example/token")


# -- signed requests


def test_a_request_is_signed_as_the_template_says() -> None:
    headers = _applied(
        _request(b'{"x":1}'),
        type="hmac",
        key="${secret:KEY}",
        key_id="me",
        signed="{method}\\n{path}\\n{query}\\n{timestamp}\\n{body}",
        headers={"X-Signature": "v1={signature}", "X-Time": "{timestamp}", "X-Key": "{key_id}"},
    )

    text = b"POST\n/v1/items\na=1&b=%2F\n1714564800\n" + b'{"x":1}'
    assert headers == {
        "X-Signature": f"v1={hmac.new(b's3cret-key', text, hashlib.sha256).hexdigest()}",
        "X-Time": "1714564800",
        "X-Key": "me",
    }


def test_a_signature_covers_the_digest_of_a_body_and_may_be_base64() -> None:
    headers = _applied(
        _request(),
        type="hmac",
        key="616263",
        key_encoding="hex",
        algorithm="sha512",
        encoding="base64",
        timestamp="iso",
        signed="{timestamp}{host}{body_sha256}",
        headers={"Authorization": "Sig {signature}"},
    )

    text = f"2024-05-01T12:00:00Zapi.example{hashlib.sha256(b'').hexdigest()}".encode()
    signature = b64encode(hmac.new(b"abc", text, hashlib.sha512).digest()).decode()
    assert headers == {"Authorization": f"Sig {signature}"}


@pytest.mark.parametrize("parts", [{"signed": "{nothing}"}, {"headers": {"X": "{body}"}}])
def test_a_template_that_names_what_is_not_there_is_refused(parts: dict[str, Any]) -> None:
    whole = {"type": "hmac", "key": "k", "signed": "{path}", "headers": {"X": "{signature}"}} | parts
    with pytest.raises(ConfigError, match="names"):
        authenticator_for(_auth(**whole))


def test_a_key_that_is_not_in_its_encoding_is_named_without_its_value() -> None:
    with pytest.raises(SecretError) as caught:
        _applied(
            _request(),
            type="hmac",
            key="${secret:KEY}",
            key_encoding="hex",
            signed="{path}",
            headers={"X": "{signature}"},
        )

    assert "s3cret" not in str(caught.value)


# -- OAuth 2


def test_client_credentials_go_to_the_token_endpoint_only() -> None:
    request = _tokens(**OAUTH, scope="read all", params={"resource": "r"}).token_request(SECRETS, None, NOW)

    assert (request.method, request.url, request.body) == ("POST", "https://login.example/token", None)
    assert request.credentials.origin == "https://login.example:443"
    assert _form(request) == {"grant_type": "client_credentials", "scope": "read all", "resource": "r"}
    assert {name: value.text() for name, value in request.credentials.headers} == {
        "Authorization": f"Basic {b64encode(b'me%40x:s3cret-key').decode()}"
    }
    assert "s3cret" not in repr(request)


def test_client_credentials_may_go_in_the_body() -> None:
    request = _tokens(**OAUTH, client_in="body", audience="https://api").token_request(SECRETS, None, NOW)

    assert _form(request) == {
        "grant_type": "client_credentials",
        "audience": "https://api",
        "client_id": "me@x",
        "client_secret": "s3cret-key",
    }
    assert request.credentials.headers == ()


def test_the_token_is_shown_until_shortly_before_its_end() -> None:
    plugin = _tokens(**OAUTH)

    held = plugin.token_of(
        _answer({"access_token": "acc3ss", "expires_in": "3600", "token_type": "bearer"}), None, NOW
    )

    assert held == HeldToken(Secret.of("acc3ss"), NOW, NOW + timedelta(hours=1), None)
    assert not held.is_due(NOW + timedelta(minutes=58))
    assert held.is_due(NOW + timedelta(minutes=59))
    assert "acc3ss" not in repr(held)
    shown = plugin.apply(_request(), SECRETS, NOW)
    assert shown.credentials.headers == (("Authorization", Secret.of("Bearer acc3ss")),)


def test_a_short_lived_token_is_used_for_most_of_its_life() -> None:
    held = _tokens(**OAUTH).token_of(_answer({"access_token": "a", "expires_in": 20}), None, NOW)

    assert not held.is_due(NOW + timedelta(seconds=17))
    assert held.is_due(NOW + timedelta(seconds=18))


@pytest.mark.parametrize("life", [None, "soon", -5, 0, True, [], "٣"])
def test_a_token_without_a_readable_life_is_used_until_it_is_refused(life: object) -> None:
    held = _tokens(**OAUTH).token_of(_answer({"access_token": "a", "expires_in": life}), None, NOW)

    assert held.expires_at is None
    assert not held.is_due(NOW + timedelta(days=999))


def test_a_refresh_token_rotates() -> None:
    plugin = _tokens(**OAUTH | {"grant": "refresh_token", "refresh_token": "${secret:REFRESH}"})

    first = plugin.token_request(SECRETS, None, NOW)
    held = plugin.token_of(_answer({"access_token": "a", "refresh_token": "second"}), None, NOW)
    second = plugin.token_request(SECRETS, held, NOW)
    kept = plugin.token_of(_answer({"access_token": "b"}), held, NOW)

    assert _form(first) == {"grant_type": "refresh_token", "refresh_token": "first-refresh"}
    assert _form(second)["refresh_token"] == "second"
    assert kept.refresh == Secret.of("second")


@pytest.mark.parametrize(
    ("status", "document", "retryable", "text"),
    [
        (400, {"error": "invalid_grant", "error_description": "s3cret-key"}, False, "(invalid_grant)"),
        (401, {"error": "invalid_client"}, False, "(invalid_client)"),
        (429, {}, True, "429"),
        (503, "down", True, "503"),
        (200, {"error": "s3cret-key"}, False, "no access_token"),
        (200, {"access_token": ""}, False, "no access_token"),
        (200, [], False, "no access_token"),
    ],
)
def test_a_token_that_is_not_given_is_an_error_without_secrets(
    status: int, document: object, retryable: bool, text: str
) -> None:
    with pytest.raises(SourceError) as caught:
        _tokens(**OAUTH).token_of(_answer(document, status), None, NOW)

    assert (caught.value.kind, caught.value.retryable) == ("token_failed", retryable)
    assert text in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_token_endpoint_that_limits_its_requests_is_asked_again_when_it_says() -> None:
    answer = Response(429, (("Retry-After", "7"),), b"{}", OAUTH["token_url"])

    with pytest.raises(SourceError) as caught:
        _tokens(**OAUTH).token_of(answer, None, NOW)

    assert (caught.value.retryable, caught.value.delay_s) == (True, 7.0)


# -- assertions


def _parts(assertion: str) -> tuple[dict[str, Any], dict[str, Any], bytes, bytes]:
    header, claims, signature = (
        urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in assertion.split(".")
    )
    return json.loads(header), json.loads(claims), signature, assertion.rpartition(".")[0].encode()


def _pem(key: Any) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


@pytest.mark.parametrize("algorithm", ["HS256", "RS256", "ES256"])
def test_an_assertion_verifies_by_its_public_key(algorithm: str) -> None:
    rsa_key, ec_key = rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())
    key = {"HS256": "shared", "RS256": _pem(rsa_key).replace("\n", "\\n"), "ES256": _pem(ec_key)}[algorithm]
    plugin = _tokens(
        type="jwt", token_url="https://login.example/token", algorithm=algorithm, key="${secret:K}", issuer="me",
        scope="read", key_id="k1", claims={"team": 7},
    )  # fmt: skip

    form = _form(plugin.token_request({"K": Secret.of(key)}, None, NOW))

    header, claims, signature, text = _parts(form["assertion"])
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assert header == {"alg": algorithm, "typ": "JWT", "kid": "k1"}
    assert claims.pop("jti")
    assert claims == {
        "iss": "me", "sub": "me", "aud": "https://login.example/token", "iat": 1714564800, "exp": 1714565100,
        "scope": "read", "team": 7,
    }  # fmt: skip
    if algorithm == "HS256":
        assert signature == hmac.new(b"shared", text, hashlib.sha256).digest()
    elif algorithm == "RS256":
        rsa_key.public_key().verify(signature, text, padding.PKCS1v15(), hashes.SHA256())
    else:
        pair = encode_dss_signature(
            int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        )
        ec_key.public_key().verify(pair, text, ec.ECDSA(hashes.SHA256()))


def test_an_assertion_may_be_shown_itself() -> None:
    parts = {"type": "jwt", "algorithm": "HS256", "key": "shared", "issuer": "me", "audience": "api"}

    headers = _applied(_request(), **parts)

    assert token_authenticator_for(_auth(**parts)) is None
    _, claims, _, _ = _parts(headers["Authorization"].removeprefix("Bearer "))
    assert claims["aud"] == "api"


@pytest.mark.parametrize("key", ["no pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"])
def test_a_key_that_is_none_is_an_error_without_the_key(key: str) -> None:
    with pytest.raises(SecretError) as caught:
        _applied(_request(), type="jwt", key=key, issuer="me", audience="api")

    assert key not in str(caught.value)


def test_a_key_of_another_kind_is_refused() -> None:
    with pytest.raises(SecretError, match="another kind"):
        _applied(
            _request(),
            type="jwt",
            key=_pem(ec.generate_private_key(ec.SECP256R1())),
            issuer="me",
            audience="api",
        )


# -- sessions


def test_a_login_gives_a_token_that_is_shown_from_then_on() -> None:
    plugin = _tokens(
        type="session", login_url="https://login.example/in", json={"user": "me", "password": "${secret:KEY}"},
        token_path="data.token", expires_path="data.ttl", name="X-Session", template="s={token}",
    )  # fmt: skip

    request = plugin.token_request(SECRETS, None, NOW)
    held = plugin.token_of(_answer({"data": {"token": "acc3ss", "ttl": 900}}), None, NOW)
    shown = plugin.apply(_request(), SECRETS, NOW)

    assert request.credentials.body is not None
    assert json.loads(request.credentials.body.reveal()) == {"user": "me", "password": "s3cret-key"}
    assert held.expires_at == NOW + timedelta(seconds=900)
    assert shown.credentials.headers == (("X-Session", Secret.of("s=acc3ss")),)


def test_a_login_may_be_a_form() -> None:
    plugin = _tokens(
        type="session", login_url="https://login.example/in", form={"p": "${secret:KEY}"}, token_path="t"
    )

    assert _form(plugin.token_request(SECRETS, None, NOW)) == {"p": "s3cret-key"}
    assert plugin.token_of(_answer({"t": "x"}), None, NOW).expires_at == NOW + timedelta(hours=1)


def test_a_login_without_a_token_in_its_answer_is_an_error() -> None:
    plugin = _tokens(type="session", login_url="https://login.example/in", token_path="data.token")

    with pytest.raises(SourceError) as caught:
        plugin.token_of(_answer({"data": {"tocken": "x"}}), None, NOW)

    assert caught.value.kind == "token_failed"


# -- Amazon's signature


AWS = {
    "type": "aws", "access_key_id": "AKIDEXAMPLE", "secret_access_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    "region": "us-east-1",
}  # fmt: skip
_AWS_TIME = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
_FORM_KIND = (("Content-Type", "application/x-www-form-urlencoded; charset=utf-8"),)


@pytest.mark.parametrize(
    ("url", "headers", "service", "names", "signature"),
    [
        # "get-vanilla" of the suite of tests, and the example of the documentation on Signature Version 4
        ("https://example.amazonaws.com/", (), "service", "host;x-amz-date",
         "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("https://iam.amazonaws.com/?Version=2010-05-08&Action=ListUsers", _FORM_KIND, "iam",
         "content-type;host;x-amz-date", "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"),
    ],
)  # fmt: skip
def test_requests_are_signed_as_amazon_says(
    url: str, headers: Any, service: str, names: str, signature: str
) -> None:
    request = HttpRequest("GET", url, headers, credentials=Credentials("https://example.amazonaws.com:443"))

    made = authenticator_for(_auth(**AWS, service=service)).apply(request, {}, _AWS_TIME)

    shown = {name: value.text() for name, value in made.credentials.headers}
    assert shown["X-Amz-Date"] == "20150830T123600Z"
    assert shown["Authorization"] == (
        f"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/{service}/aws4_request, SignedHeaders={names}, "
        f"Signature={signature}"
    )


def test_the_query_goes_out_as_it_was_signed() -> None:
    request = HttpRequest(
        "GET", "https://a.example/x?b=2+x&a=%C3%A9*~&b=1", credentials=Credentials("https://a.example:443")
    )

    made = authenticator_for(_auth(**AWS, service="execute-api", session_token="t0ken")).apply(
        request, {}, NOW
    )

    assert made.url == "https://a.example/x?a=%C3%A9%2A~&b=1&b=2%20x"
    assert dict(made.credentials.headers)["X-Amz-Security-Token"] == Secret.of("t0ken")
    assert (
        "SignedHeaders=host;x-amz-date;x-amz-security-token"
        in dict(made.credentials.headers)["Authorization"].text()
    )


# -- where a session's token stands


LOGIN = {"type": "session", "login_url": "https://login.example/in", "json": {"user": "me"}}


@pytest.mark.parametrize(
    ("parts", "headers", "body", "shown"),
    [
        ({"token_header": "X-Subject-Token", "name": "X-Auth-Token", "template": "{token}"},
         (("x-subject-token", "t0k"),), b"", ("X-Auth-Token", "t0k")),
        ({"token_path": "@"}, (("Content-Type", "text/plain"),), b"t0k.a-b_c/+==\n", ("Authorization", "Bearer t0k.a-b_c/+==")),
        ({"token_path": "@"}, (), b'"t0k"', ("Authorization", "Bearer t0k")),
        ({"token_cookie": "SID"}, (("Set-Cookie", "A=1; Path=/"), ("Set-Cookie", "SID=a%3D=; HttpOnly")), b"<html>",
         ("SID", "a%3D=")),
    ],
)  # fmt: skip
def test_a_login_may_give_its_token_elsewhere_than_in_json(
    parts: dict[str, Any], headers: Any, body: bytes, shown: tuple[str, str]
) -> None:
    plugin = _tokens(**LOGIN, **parts)

    held = plugin.token_of(Response(200, headers, body, "https://login.example/in"), None, NOW)
    made = plugin.apply(_request(), {ACCESS_TOKEN: held.access}, NOW).credentials

    assert [(name, value.text()) for name, value in (*made.headers, *made.cookies)] == [shown]


@pytest.mark.parametrize(
    ("parts", "status", "body", "said"),
    [
        ({"token_header": "X-Token"}, 200, b"", "auth.token_header"),
        ({"token_cookie": "SID"}, 200, b"{}", "auth.token_cookie"),
        ({"token_cookie": "SID"}, 403, b"no", "status 403"),
        ({"token_path": "@"}, 200, b"<html>log in</html>", "no JSON"),
        ({"token_path": "@"}, 200, b"two words", "no JSON"),
        ({"token_path": "@"}, 401, b"t0k", "status 401"),
    ],
)
def test_a_login_without_a_token_is_an_error(
    parts: dict[str, Any], status: int, body: bytes, said: str
) -> None:
    with pytest.raises(SourceError, match=said) as raised:
        _tokens(**LOGIN, **parts).token_of(Response(status, (), body, "https://login.example/in"), None, NOW)

    assert raised.value.kind == "token_failed"


@pytest.mark.parametrize(
    "parts",
    [{}, {"token_path": "a", "token_header": "X-Token"}, {"token_cookie": "SID", "template": "x {token}"},
     {"token_cookie": "SID", "name": "X-Token"}, {"token_cookie": "a b"}],
)  # fmt: skip
def test_a_session_says_where_its_one_token_is(parts: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        _auth(**LOGIN, **parts)


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain; charset=utf-8"])
def test_a_token_may_come_as_a_form(kind: str) -> None:
    body = b"access_token=t%3D0k&expires_in=60&token_type=bearer"

    held = _tokens(**OAUTH).token_of(
        Response(200, (("Content-Type", kind),), body, OAUTH["token_url"]), None, NOW
    )

    assert (held.access.text(), held.expires_at) == ("t=0k", NOW + timedelta(seconds=60))


def test_an_assertion_may_prove_who_the_client_is() -> None:
    plugin = _tokens(
        type="jwt", algorithm="HS256", key="${secret:KEY}", issuer="me", token_url="https://login.example/token",
        grant="client_credentials", scope="read write",
    )  # fmt: skip

    form = _form(plugin.token_request(SECRETS, None, NOW))

    assertion = form.pop("client_assertion")
    assert _parts(assertion)[1]["sub"] == "me"
    assert form == {
        "grant_type": "client_credentials", "client_id": "me", "scope": "read write",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    }  # fmt: skip
