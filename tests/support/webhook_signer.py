"""A sender for every signature scheme, written against the rows of facts alone.

It shares no code with the verifier: what it signs is put together by text replacement and the standard library's
and `cryptography`'s own signing. `send(row, at_s=…)` gives what such a provider would send at that time.
"""

import base64
import hashlib
import hmac
import json
import re
import urllib.parse
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

from headwater.model.secret import Secret
from headwater.plugins.signatures.request import SignedRequest

URL = "https://hooks.example.com/in/default/orders?source=a%20b"
BODY = '{"id":"evt_1","type":"order.paid","name":"Ünïcode ✓","amount":1250}'.encode()
CONTEXT = {"webhook_id": "WH-42"}
SIGNED_HEADERS = b"content-type accept"


@dataclass(frozen=True)
class Sent:
    """What went over the wire, and what the receiver is configured with."""

    secret: Secret
    request: SignedRequest
    context: dict[str, str] = field(default_factory=dict)
    signature_headers: tuple[bytes, ...] = ()  # lower case


@cache
def rsa_key(name: str = "one") -> rsa.RSAPrivateKey:
    assert name
    return rsa.generate_private_key(65537, 2048)


@cache
def ec_key(name: str = "one") -> ec.EllipticCurvePrivateKey:
    assert name
    return ec.generate_private_key(ec.SECP256R1())


def _ed25519_key(name: str) -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())


@cache
def _certificate(name: str) -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "messageverification.example.com")])
    start = datetime(2020, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject)
    builder = builder.public_key(rsa_key(name).public_key()).serial_number(7)
    builder = builder.not_valid_before(start).not_valid_after(start + timedelta(days=9000))
    return builder.sign(rsa_key(name), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _spki(public, encoding):
    return public.public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)


def secret_of(row: dict, name: str = "one") -> Secret:
    """What the operator pastes for this scheme."""
    key = row.get("key", {"encoding": "utf8"})
    form = key.get("type", "")
    if row["kind"] == "ed25519":
        raw = (
            _ed25519_key(name)
            .public_key()
            .public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        )
    elif row["kind"] in ("ecdsa-p256", "jwt-es256"):
        raw = _spki(ec_key(name).public_key(), serialization.Encoding.DER)
    elif form.startswith("x509"):
        return Secret(_certificate(name))
    elif row["kind"] in ("rsa-pkcs1v15", "jwt-rs256"):
        return Secret(_spki(rsa_key(name).public_key(), serialization.Encoding.PEM))
    elif row["id"] == "basic_auth":
        return Secret(f"user:päss {name}".encode())
    elif key["encoding"] == "utf8":
        return Secret(f"key ﬁ {name} ü 0123456789".encode())
    else:
        raw = hashlib.sha256(name.encode()).digest()
    text = raw.hex() if key["encoding"] == "hex" else base64.b64encode(raw).decode()
    return Secret((key.get("strip_prefix", "") + text).encode())


def _hmac_key(row: dict, secret: Secret) -> bytes:
    key = row.get("key", {"encoding": "utf8"})
    text = secret.text()
    if key["encoding"] == "utf8":
        if key.get("normalize"):
            import unicodedata

            text = unicodedata.normalize(key["normalize"], text)
        return text.encode()
    text = text.split("_", 1)[1] if key.get("strip_prefix") else text
    return bytes.fromhex(text) if key["encoding"] == "hex" else base64.b64decode(text)


def stamp(unit: str, at_s: float) -> str:
    moment = datetime.fromtimestamp(at_s, UTC)
    match unit:
        case "s" | "s-str":
            return str(int(at_s))
        case "ms" | "s-or-ms":
            return str(int(at_s * 1000))
        case "iso8601":
            return moment.replace(tzinfo=None).isoformat()
        case "rfc3339":
            return moment.strftime("%Y-%m-%dT%H:%M:%S.%f") + "789Z"
        case "http-date":
            return format_datetime(moment.replace(microsecond=0), usegmt=True)
    raise ValueError(unit)


def encode(raw: bytes, encoding: str) -> str:
    match encoding:
        case "hex":
            return raw.hex()
        case "base64":
            return base64.b64encode(raw).decode()
        case "base64url":
            return base64.urlsafe_b64encode(raw).decode().rstrip("=")
    raise ValueError(encoding)


def ec_jwk(name: str = "one") -> dict[str, str]:
    """The public half of a P-256 key as a JSON Web Key."""
    point = ec_key(name).public_key().public_numbers()
    told = {"x": point.x.to_bytes(32, "big"), "y": point.y.to_bytes(32, "big")}
    return {"kty": "EC", "crv": "P-256", **{part: encode(raw, "base64url") for part, raw in told.items()}}


def body_for(row: dict, at_s: float) -> bytes:
    """A body such as the scheme needs; the signature of schemes that carry it inside is put in later."""
    time = row.get("timestamp") or {}
    if row["id"] == "linear":
        return json.dumps({"action": "create", "webhookTimestamp": int(at_s * 1000)}).encode()
    if row["id"] == "aws_sns":
        text = stamp("rfc3339", at_s)
        topic = "arn:aws:sns:eu-west-1:123456789012:orders"
        notification = {"Type": "Notification", "MessageId": "m-1", "TopicArn": topic, "Subject": "Hällo"}
        return json.dumps(
            notification | {"Message": "a\nb", "Timestamp": text, "SignatureVersion": "2"}
        ).encode()
    if row["id"] == "mailgun":
        inner = {"timestamp": str(int(at_s)), "token": "c4f6"}
        return json.dumps({"signature": inner, "event-data": {"event": "opened"}}).encode()
    if row["id"] == "adyen_notification":
        item = {
            "pspReference": "7914073381342284",
            "merchantAccountCode": "Test:Merchant",
            "merchantReference": "back\\slash",
            "amount": {"currency": "EUR", "value": 1130},
            "eventCode": "AUTHORISATION",
            "success": "true",
        }
        wrapped = [
            {"NotificationRequestItem": item},
            {"NotificationRequestItem": item | {"success": "false"}},
        ]
        return json.dumps({"live": "false", "notificationItems": wrapped}).encode()
    if re.search(r"\{(twilio|plivo):", row.get("signed") or ""):
        return urllib.parse.urlencode(
            [
                ("To", "+18005551212"),
                ("Body", "ü & b"),
                ("Digits", "5678"),
                ("Digits", "1234"),
                ("Digits", "1234"),
            ]
        ).encode()
    assert not str(time.get("from", "")).startswith("body:")
    return BODY


def _sns_string(document: dict) -> str:
    names = ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"]
    if document["Type"] != "Notification":
        names = ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
    return "".join(f"{name}\n{document[name]}\n" for name in names if name in document)


def _plivo_string(request: SignedRequest) -> str:
    """As Plivo's own library for Python puts it together, for a POST that has a form."""
    split = urllib.parse.urlsplit(request.url)
    fields = urllib.parse.parse_qs(request.body.decode(), keep_blank_values=True)
    query = urllib.parse.parse_qs(split.query, keep_blank_values=True)
    asked = "&".join(f"{name}={value}" for name in sorted(query) for value in sorted(query[name]))
    told = "".join(name + value for name in sorted(fields) for value in sorted(fields[name]))
    return f"{split.scheme}://{split.netloc}{split.path}?{asked}{'.' if asked else ''}{told}"


def _adyen_string(item: dict) -> str:
    flat = item | {"value": item["amount"]["value"], "currency": item["amount"]["currency"]}
    order = [
        "pspReference",
        "originalReference",
        "merchantAccountCode",
        "merchantReference",
        "value",
        "currency",
    ]
    return ":".join(str(flat.get(name, "")) for name in [*order, "eventCode", "success"])


def _signed_bytes(row: dict, request: SignedRequest, timestamp: str, secret: Secret) -> bytes:
    headers = {name.decode().lower(): value for name, value in request.headers}

    def value(found: re.Match) -> bytes:
        name, _, argument = found[1].decode().partition(":")
        match name:
            case "body":
                return request.body
            case "timestamp":
                return timestamp.encode()
            case "url":
                return request.url.encode()
            case "url_no_query":
                return request.url.split("?")[0].encode()
            case "method":
                return request.method.encode()
            case "secret":
                return secret.reveal()
            case "header":
                return headers[argument.lower()]
            case "query_param" | "query_param_lower":
                told = urllib.parse.parse_qs(urllib.parse.urlsplit(request.url).query)[argument][0]
                return (told.lower() if name.endswith("lower") else told).encode()
            case "context":
                return CONTEXT[argument].encode()
            case "body_crc32_dec":
                return str(zlib.crc32(request.body)).encode()
            case "json":
                found_value = json.loads(request.body)
                for key in argument.split("."):
                    found_value = found_value[key]
                return str(found_value).encode()
            case "signed_headers":
                names = SIGNED_HEADERS.decode().split(" ")
                return b".".join([SIGNED_HEADERS, *(headers[name] for name in names)])
            case "twilio":
                pairs = sorted(set(urllib.parse.parse_qsl(request.body.decode(), keep_blank_values=True)))
                return (request.url + "".join(a + b for a, b in pairs)).encode()
            case "plivo":
                return _plivo_string(request).encode()
            case "sns":
                return _sns_string(json.loads(request.body)).encode()
        raise ValueError(name)

    return re.sub(rb"\{([^{}]+)\}", value, row["signed"].encode())


def raw_signature(row: dict, message: bytes, secret: Secret, name: str) -> bytes:
    match row["kind"]:
        case "hmac":
            return hmac.new(_hmac_key(row, secret), message, row["hash"]).digest()
        case "hash":
            return hashlib.new(row["hash"], message).digest()
        case "ed25519":
            return _ed25519_key(name).sign(message)
        case "ecdsa-p256":
            return ec_key(name).sign(message, ec.ECDSA(hashes.SHA256()))
        case "rsa-pkcs1v15":
            return rsa_key(name).sign(message, padding.PKCS1v15(), hashes.SHA256())
    raise ValueError(row["kind"])


def token(kind: str, claims: dict, secret: Secret, name: str = "one", header: dict | None = None) -> str:
    """A JSON Web Token of this kind."""
    head = {"alg": kind[4:].upper(), "typ": "JWT"} if header is None else header
    message = ".".join(encode(json.dumps(part).encode(), "base64url") for part in (head, claims)).encode()
    match kind:
        case "jwt-hs256":
            raw = hmac.new(secret.reveal(), message, "sha256").digest()
        case "jwt-rs256":
            raw = rsa_key(name).sign(message, padding.PKCS1v15(), hashes.SHA256())
        case "jwt-es256":
            r, s = decode_dss_signature(ec_key(name).sign(message, ec.ECDSA(hashes.SHA256())))
            raw = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return message.decode() + "." + encode(raw, "base64url")


def send(
    row: dict, *, at_s: float, name: str = "one", body: bytes | None = None, method: str = "POST"
) -> Sent:
    """What the provider of this row sends at `at_s`, with the secret called `name`."""
    secret = secret_of(row, name)
    form = row["signature"]
    body = body_for(row, at_s) if body is None else body
    url = URL
    if row.get("body_hash"):
        url += f"&{row['body_hash']['query_param']}={hashlib.sha256(body).hexdigest()}"
    for wanted in re.findall(r"\{query_param(?:_lower)?:([^}]+)\}", row.get("signed") or ""):
        url += f"&{wanted}=Pay%2B123"
    time = row.get("timestamp")
    timestamp = stamp(time["unit"], at_s) if time else ""
    headers = [(b"Host", b"hooks.example.com"), (b"Content-Type", b"application/json"), (b"Accept", b"*/*")]
    if time and time["from"].startswith("header:"):
        headers.append((time["from"][7:].encode(), timestamp.encode()))
    for wanted in re.findall(r"\{header:([^}]+)\}", row.get("signed") or ""):
        headers.append((wanted.encode(), b"msg_2KWPBgLlAfxdpx2AI54pPJ85f4W"))
    context = CONTEXT if "{context:" in (row.get("signed") or "") else {}

    def sent(value: str | None, final_body: bytes = body) -> Sent:
        all_headers = list(headers)
        names = ()
        if value is not None:
            all_headers.insert(1, (form["header"].swapcase().encode(), value.encode()))
            names = (form["header"].lower().encode(),)
        return Sent(secret, SignedRequest(method, url, tuple(all_headers), final_body), dict(context), names)

    if row["kind"] == "token":
        text = secret.reveal()
        shown = base64.b64encode(text).decode() if form["encoding"] == "base64" else None
        if shown is not None:
            return sent(form.get("prefix", "") + shown)
        plain = sent("")
        name_and_value = (form["header"].encode(), text)
        kept = tuple(pair for pair in plain.request.headers if pair[1])
        request = SignedRequest(method, url, (*kept, name_and_value), body)
        return Sent(secret, request, dict(context), plain.signature_headers)
    if row["kind"].startswith("jwt-"):
        claims = (
            {form["claim"]: encode(hashlib.sha256(body).digest(), form["encoding"])}
            if "claim" in form
            else {}
        )
        claims |= {"iss": form["iss"]} if form.get("iss") else {}
        if time and time["from"].startswith("claim:"):
            claims[time["from"][6:]] = int(at_s)
        return sent(form.get("prefix", "") + token(row["kind"], claims, secret, name))

    unsigned = SignedRequest(method, url, tuple(headers), body)
    if row["id"] == "adyen_notification":
        document = json.loads(body)
        for entry in document["notificationItems"]:
            item = entry["NotificationRequestItem"]
            raw = raw_signature(row, _adyen_string(item).encode(), secret, name)
            item["additionalData"] = {"hmacSignature": encode(raw, "base64")}
        return sent(None, json.dumps(document).encode())
    raw = raw_signature(row, _signed_bytes(row, unsigned, timestamp, secret), secret, name)
    text = encode(raw, form["encoding"])
    if form.get("format") == "body":
        document = json.loads(body)
        if row["id"] == "mailgun":
            document["signature"]["signature"] = text
        else:
            document[form["field"]] = text
        return sent(None, json.dumps(document).encode())
    if form.get("format") == "list":
        return sent(f"{timestamp}{form.get('sep', ',')}{text}")
    if form.get("format") == "kv":
        blank = " " if row["id"] == "workos" else ""
        named = f"{form['headers_key']}={SIGNED_HEADERS.decode()}," if "headers_key" in form else ""
        return sent(f"{form['ts_key']}={timestamp}{form['sep']}{blank}{named}{form['sig_key']}={text}")
    return sent(form.get("prefix", "") + text)
