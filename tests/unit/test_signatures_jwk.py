"""Keys as JSON Web Keys and sets of them: the vectors of the RFCs, what is passed over, and what is refused."""

import base64
import json

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from headwater.model.errors import ConfigError
from headwater.model.secret import Secret
from headwater.plugins.signatures.compile import compile_scheme
from headwater.plugins.signatures.keys import check_secrets
from headwater.plugins.signatures.request import SignedRequest
from headwater.plugins.signatures.verify import verify

AT_S = 1_760_000_000
BODY = b'{"id": 1}'
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
# RFC 8037 appendix A: the key, and its JWS over a text that is no JSON.
RFC_8037_KEY = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
# RFC 7515 appendix A.3: ES256.
RFC_7515_KEY = {
    "kty": "EC",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}
RFC_7515_TOKEN = (
    "eyJhbGciOiJFUzI1NiJ9"
    ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
    ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
)


def text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def number(value: int, size: int | None = None) -> str:
    return text(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


def rsa_jwk(key=RSA, **more):
    numbers = key.public_key().public_numbers()
    return {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e), **more}


def ec_jwk(key=EC, **more):
    numbers = key.public_key().public_numbers()
    return {"kty": "EC", "crv": "P-256", "x": number(numbers.x, 32), "y": number(numbers.y, 32), **more}


def ed_jwk(key=ED, **more):
    return {"kty": "OKP", "crv": "Ed25519", "x": text(key.public_key().public_bytes_raw()), **more}


JWKS = {"rsa-pkcs1v15": rsa_jwk, "jwt-rs256": rsa_jwk, "ecdsa-p256": ec_jwk, "jwt-es256": ec_jwk}
JWKS |= {"ed25519": ed_jwk, "jwt-eddsa": ed_jwk}


def made(kind: str, message: bytes) -> bytes:
    if kind in ("rsa-pkcs1v15", "jwt-rs256"):
        return RSA.sign(message, padding.PKCS1v15(), hashes.SHA256())
    if kind in ("ed25519", "jwt-eddsa"):
        return ED.sign(message)
    der = EC.sign(message, ec.ECDSA(hashes.SHA256()))
    if kind == "ecdsa-p256":
        return der
    return b"".join(part.to_bytes(32, "big") for part in decode_dss_signature(der))


def definition(kind: str, **key):
    form = {"header": "X-Sig", "encoding": "hex"}
    if kind.startswith("jwt-"):
        form["format"] = "jwt"
    return {"kind": kind, "signature": form, "key": key}


def signed(kind: str, claims: dict | None = None) -> str:
    if not kind.startswith("jwt-"):
        return made(kind, BODY).hex()
    names = {"jwt-rs256": "RS256", "jwt-es256": "ES256", "jwt-eddsa": "EdDSA"}
    head = {"alg": names[kind], "kid": "b"}
    message = ".".join(text(json.dumps(part).encode()) for part in (head, claims or {}))
    return message + "." + text(made(kind, message.encode()))


def judge(wanted: dict, secret: object, value: str):
    secrets = [Secret.of(secret if isinstance(secret, str) else json.dumps(secret))]
    request = SignedRequest("POST", "https://hooks.example/in/a/b", ((b"X-Sig", value.encode()),), BODY)
    return verify(compile_scheme(wanted), secrets, request, at_s=AT_S, tolerance_s=300)


@pytest.mark.parametrize("kind", sorted(JWKS))
@pytest.mark.parametrize("key", [{}, {"encoding": "jwk"}, {"encoding": "base64"}])
def test_a_json_web_key_verifies_what_its_other_half_signed(kind, key):
    right = judge(definition(kind, **key), JWKS[kind](), signed(kind))
    wrong = judge(definition(kind, **key), JWKS[kind](), signed(kind)[:-8] + "AAAAAAAA")

    assert right.valid, right
    assert wrong.reason == "mismatch"


@pytest.mark.parametrize("kind", sorted(JWKS))
def test_of_a_set_the_keys_of_the_schemes_kind_count_and_others_are_passed_over(kind):
    other_rsa = rsa.generate_private_key(65537, 2048)
    keys = [
        {"kty": "future", "z": 1},
        "no object",
        JWKS[kind](use="enc"),
        {"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA"},
        {"kty": "RSA"},
        ed_jwk(ed25519.Ed25519PrivateKey.generate(), kid="a"),
        rsa_jwk(other_rsa, kid="a", use="sig"),
        ec_jwk(ec.generate_private_key(ec.SECP256R1()), kid="a"),
        JWKS[kind](kid="b", use="sig", key_ops=["verify"]),
    ]

    verdict = judge(definition(kind), {"keys": keys}, signed(kind))

    assert (verdict.valid, verdict.secret_index) == (True, 0)


def test_the_secret_after_a_set_keeps_its_place():
    both = ed_jwk(ed25519.Ed25519PrivateKey.generate()), ed_jwk(ed25519.Ed25519PrivateKey.generate())
    secrets = [Secret.of(json.dumps({"keys": both})), Secret.of(json.dumps(ed_jwk()))]
    request = SignedRequest(
        "POST", "https://hooks.example/in/a/b", ((b"X-Sig", signed("ed25519").encode()),), BODY
    )

    verdict = verify(compile_scheme(definition("ed25519")), secrets, request, at_s=AT_S, tolerance_s=300)

    assert (verdict.valid, verdict.secret_index) == (True, 1)


def test_the_keys_of_the_standards_are_read():
    token = judge(definition("jwt-es256"), RFC_7515_KEY, RFC_7515_TOKEN)

    assert token.reason == "timestamp_too_old"  # the signature is right; it expired in 2011
    check_secrets(compile_scheme(definition("ed25519")), [Secret.of(json.dumps(RFC_8037_KEY))])


@pytest.mark.parametrize(("kind", "hash_name"), [("hmac", "sha512"), ("jwt-hs256", "sha256")])
def test_a_shared_key_may_be_a_json_web_key_where_the_scheme_says_so(kind, hash_name):
    import hmac

    key = bytes(range(64))
    wanted = {**definition(kind, encoding="jwk"), "hash": hash_name}
    value = hmac.digest(key, BODY, hash_name).hex()
    if kind == "jwt-hs256":
        message = text(b'{"alg":"HS256"}') + "." + text(b"{}")
        value = message + "." + text(hmac.digest(key, message.encode(), "sha256"))

    assert judge(wanted, {"kty": "oct", "k": text(key)}, value).valid
    assert not judge(definition(kind), {"kty": "oct", "k": text(key)}, value).valid  # there it is a text


@pytest.mark.parametrize(
    ("kind", "secret", "said"),
    [
        ("ed25519", "{", ("no JSON", "set of them")),
        ("jwt-rs256", {"keys": []}, ("set without keys",)),
        ("jwt-rs256", {"keys": {"a": rsa_jwk()}}, ("set without keys",)),
        ("jwt-rs256", ec_jwk(), ("is not of kty RSA",)),
        ("ed25519", {**ed_jwk(), "crv": "X25519"}, ("kty OKP, crv Ed25519",)),
        ("ed25519", ed_jwk(d="AAAA"), ("private key", "public half")),
        ("jwt-es256", {"keys": [ec_jwk(), ec_jwk(d="AAAA")]}, ("private key", "keys.1")),
        ("jwt-rs256", rsa_jwk(alg="PS256"), ("`alg`", "RS256")),
        ("jwt-rs256", rsa_jwk(use="enc"), ("not for signatures",)),
        ("jwt-rs256", rsa_jwk(key_ops=["sign"]), ("not for signatures",)),
        ("jwt-rs256", {**rsa_jwk(), "n": 5}, ("base64url", "`n`")),
        ("jwt-rs256", {**rsa_jwk(), "e": "AQAB=="}, ("base64url", "`e`")),
        ("jwt-rs256", {**rsa_jwk(), "n": "AQAB"}, ("no usable key",)),
        ("jwt-rs256", {"keys": [ec_jwk(), rsa_jwk(use="enc")]}, ("no key for kty RSA", "keys.0")),
        ("jwt-es256", {**ec_jwk(), "x": number(1, 32)}, ("no usable key",)),
        ("jwt-es256", {**ec_jwk(), "y": number(1)}, ("no usable key",)),
        ("ed25519", {**ed_jwk(), "x": text(bytes(32))}, ("no usable key",)),  # of small order
        ("ed25519", {**ed_jwk(), "x": text(bytes(33))}, ("no usable key",)),
        ("ed25519", {**ed_jwk(), "x": ed_jwk()["x"][:-1] + "!"}, ("base64url", "`x`")),
        ("jwt-rs256", {"keys": [rsa_jwk(kid=str(count)) for count in range(21)]}, ("21 keys", "at most 20")),
    ],
)
def test_a_json_web_key_that_cannot_be_used_is_refused_with_its_place_and_never_its_value(kind, secret, said):
    given = secret if isinstance(secret, str) else json.dumps(secret)

    with pytest.raises(ConfigError) as raised:
        check_secrets(compile_scheme(definition(kind)), [Secret.of(given)])

    assert str(raised.value).startswith("secret 1 of scheme definition ")
    for words in said:
        assert words in str(raised.value)
    assert rsa_jwk()["n"] not in str(raised.value)


def test_a_token_must_say_what_the_scheme_wants_of_other_claims():
    wanted = definition("jwt-eddsa")
    wanted["signature"]["claims"] = {"email": "push@project.iam.example", "email_verified": True}

    def by(**claims):
        verdict = judge(wanted, ed_jwk(), signed("jwt-eddsa", claims))
        return verdict.reason, verdict.detail

    right = {"email": "push@project.iam.example", "email_verified": True}
    assert by(**right) == ("ok", "")
    for wrong in (
        "other@project.iam.example",
        None,
        ["push@project.iam.example"],
        "PUSH@project.iam.example",
    ):
        assert by(**{**right, "email": wrong}) == ("claim_mismatch", "email")
    for wrong in (False, 1, "true", None):
        assert by(**{**right, "email_verified": wrong}) == ("claim_mismatch", "email_verified")


def test_a_token_must_be_for_the_audience_that_the_scheme_names():
    wanted = definition("jwt-eddsa")
    wanted["signature"]["aud"] = "https://hooks.example"

    def by(audience):
        return judge(wanted, ed_jwk(), signed("jwt-eddsa", {"aud": audience})).reason

    assert by("https://hooks.example") == "ok"
    assert by(["https://else.example", "https://hooks.example"]) == "ok"
    for other in ("https://else.example", ["https://else.example"], None, {"https://hooks.example": 1}, []):
        assert by(other) == "audience_mismatch"
