"""The verdict on a request. Pure: time is an argument, and nothing ever escapes as an exception.

The signature is decided over the raw bytes before the body is parsed; only schemes that sign fields of the
body (AWS SNS, Mailgun, Adyen notifications) need it parsed first, and then within a bound.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import orjson

from headwater.model.errors import ConfigError
from headwater.model.secret import Secret
from headwater.plugins.signatures import canonical, documents
from headwater.plugins.signatures.jwt import Claims, claim_time, open_token
from headwater.plugins.signatures.keys import Key, load_keys
from headwater.plugins.signatures.material import Material
from headwater.plugins.signatures.presented import Presented, presented, presented_in, presented_text
from headwater.plugins.signatures.proofs import PROOFS, Keys, digest_matches, token_matches
from headwater.plugins.signatures.reasons import Refused
from headwater.plugins.signatures.request import SignedRequest, optional_header
from headwater.plugins.signatures.scheme import BodyHash, Place, Scheme
from headwater.plugins.signatures.timestamps import outside_window, read_timestamp
from headwater.plugins.signatures.unfolding import unfolded

_URLS: Final = ("url", "url_no_query", "twilio", "plivo")
NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(slots=True)  # not frozen, which would double the time that making one takes
class Verdict:
    """`reason` is a key of REASONS; `detail` names the header or field concerned, never a value, or the address
    that was taken for the signed one.

    `secret_index` is the place of the secret that matched; `timestamp_s` is the signed time in epoch seconds,
    None unless the signature was right.
    """

    valid: bool
    reason: str
    secret_index: int | None = None
    timestamp_s: float | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Verifier:
    """A scheme with its keys at hand: what a receiver keeps per endpoint."""

    scheme: Scheme
    keys: tuple[tuple[int, Key], ...] = field(repr=False)

    def verify(
        self, request: SignedRequest, *, at_s: float, tolerance_s: float, context: Mapping[str, str] = NOTHING
    ) -> Verdict:
        """The verdict. `at_s` is now in epoch seconds; `tolerance_s` counts for the past and the future."""
        try:
            return _judge(self.scheme, self.keys, request, context).at(at_s, tolerance_s)
        except Refused as refusal:
            return Verdict(valid=False, reason=refusal.reason, detail=refusal.detail)
        except Exception:  # noqa: BLE001 - whatever fails inside is a refusal, and its text may hold hostile bytes
            return Verdict(valid=False, reason="fault")


def bind(scheme: Scheme, secrets: Sequence[Secret]) -> Verifier:
    """The scheme with its keys. Unusable secrets are passed over; `check_secrets` refuses them."""
    keys: list[tuple[int, Key]] = []
    for index, secret in enumerate(secrets):
        try:
            keys += [(index, key) for key in load_keys(scheme, secret)]
        except ConfigError:
            continue
    return Verifier(scheme, tuple(keys))


def verify(
    scheme: Scheme,
    secrets: Sequence[Secret],
    request: SignedRequest,
    *,
    at_s: float,
    tolerance_s: float,
    context: Mapping[str, str] = NOTHING,
) -> Verdict:
    """The verdict for secrets given anew. Who verifies often keeps what `bind` gives."""
    try:
        verifier = bind(scheme, secrets)
    except Exception:  # noqa: BLE001 - as in Verifier.verify
        return Verdict(valid=False, reason="fault")
    return verifier.verify(request, at_s=at_s, tolerance_s=tolerance_s, context=context)


@dataclass(slots=True)
class _Match:
    """A right signature: by which secret, and the times it is bound to (None: not at all)."""

    secret_index: int
    stamp_s: float | None = None
    not_before_s: float | None = None
    not_after_s: float | None = None

    def at(self, at_s: float, tolerance_s: float) -> Verdict:
        reason = outside_window(self.stamp_s, at_s, tolerance_s) if self.stamp_s is not None else None
        if self.not_after_s is not None and not at_s <= self.not_after_s + tolerance_s:
            reason = "timestamp_too_old"
        if self.not_before_s is not None and not at_s >= self.not_before_s - tolerance_s:
            reason = "timestamp_too_new"
        return Verdict(reason is None, reason or "ok", self.secret_index, self.stamp_s)


def _judge(scheme: Scheme, keys: Keys, request: SignedRequest, context: Mapping[str, str]) -> _Match:
    if not keys:
        raise Refused("no_secret")
    if scheme.signs_unfolded:
        request = unfolded(request)
    if scheme.signature.format == "jwt":
        return _by_jwt(scheme, keys, request)
    if scheme.kind == "token":
        return _by_token(scheme, keys, request)
    return _by_signature(scheme, keys, request, context)


def _by_token(scheme: Scheme, keys: Keys, request: SignedRequest) -> _Match:
    shown = presented(scheme.signature, request).signatures
    for index, key in keys:
        if isinstance(key, bytes) and token_matches(key, shown):
            return _Match(index)
    raise Refused("mismatch")


def _by_signature(scheme: Scheme, keys: Keys, request: SignedRequest, context: Mapping[str, str]) -> _Match:
    document = documents.parse(request.body) if scheme.reads_document else None
    items = canonical.adyen_items(document) if scheme.signs_items else (document,)
    match = _Match(-1)
    for item in items:  # every item must be right; the last one's secret is told
        shown = presented_in(scheme.signature, item) if scheme.signature.format == "body" else None
        match = _match(scheme, keys, request, context, shown or presented(scheme.signature, request), item)
    if scheme.body_hash is not None:
        _check_body_hash(scheme.body_hash, request)
    if scheme.hash_by_version:
        _check_topic(document, context)
    return match


def _match(
    scheme: Scheme,
    keys: Keys,
    request: SignedRequest,
    context: Mapping[str, str],
    shown: Presented,
    document: Any,
) -> _Match:
    text = _time_text(scheme, request, shown, document)
    stamp_s = read_timestamp(text, scheme.time.unit) if scheme.time is not None and text is not None else None
    material = Material(request, request.url, context, text or b"", document, header_names=shown.header_names)
    index = _signing_secret(scheme, keys, material, shown.signatures)
    if index is None:
        raise Refused("mismatch", _as_sent_to(request.url) if scheme.template.uses(*_URLS) else "")
    if scheme.time is not None and scheme.time.after_match:
        stamp_s = _stamp_in_body(scheme.time.place, scheme.time.unit, request, document)
    return _Match(index, stamp_s)


def _as_sent_to(url: str) -> str:
    """Which address was judged: a wrong one is what most often is wrong where it is signed. Without the query."""
    return f"as sent to {url.partition('?')[0]}"


def _signing_secret(
    scheme: Scheme, keys: Keys, material: Material, signatures: Sequence[bytes]
) -> int | None:
    if scheme.is_plain:
        return PROOFS[scheme.kind](keys, (scheme.template.render(material),), signatures, scheme.hash)
    spelled = [material]
    if scheme.definition.url_variants is not None:
        variants = canonical.URL_VARIANTS[scheme.definition.url_variants]
        spelled = [replace(material, url=url) for url in variants(material.url)]
    if scheme.kind != "hash":
        name = canonical.sns_hash(material.document) if scheme.hash_by_version else scheme.hash
        messages = [scheme.template.render(each) for each in spelled]
        return PROOFS[scheme.kind](keys, messages, signatures, name)
    for index, key in keys:
        for each in spelled:
            if isinstance(key, bytes) and digest_matches(
                scheme.template.render(replace(each, secret=key)), signatures, scheme.hash
            ):
                return index
    return None


def _time_text(scheme: Scheme, request: SignedRequest, shown: Presented, document: Any) -> bytes | None:
    """The time's text where it is needed for the signed bytes, or stands in a header."""
    form = scheme.time
    if form is None or form.after_match:
        return None
    if form.in_signature:
        text, name = shown.timestamp, "signature"
    elif form.place is not None and form.place.header is not None:
        text, name = optional_header(request, form.place.header), form.place.header.decode("ascii")
    else:
        text, name = documents.as_bytes(_in_body(form.place, document)), "body"
    if text is None:
        raise Refused("timestamp_missing", name)
    return text


def _in_body(place: Place | None, document: Any) -> Any:
    return documents.look_up(document, place.path) if place is not None and place.path is not None else None


def _stamp_in_body(place: Place | None, unit: str, request: SignedRequest, document: Any) -> float:
    """The time in a body that is known to be the signed one."""
    if document is None:
        try:
            document = orjson.loads(request.body)
        except orjson.JSONDecodeError:
            raise Refused("timestamp_missing", "body") from None
    value = _in_body(place, document)
    if value is None:
        raise Refused("timestamp_missing", "body")
    text = documents.as_bytes(value)
    if text is None:
        raise Refused("timestamp_malformed", "body")
    return read_timestamp(text, unit)


def _check_body_hash(form: BodyHash, request: SignedRequest) -> None:
    found = [value for name, value in parse_qsl(urlsplit(request.url).query) if name == form.parameter]
    if len(found) != 1:
        raise Refused("body_hash_missing", form.parameter)
    _check_hash(form.hash, request.body, found[0].encode("utf-8"), form.decode)


def _check_hash(name: str, body: bytes, text: bytes, decode: Any) -> None:
    try:
        said = decode(text)
    except ValueError:
        raise Refused("encoding") from None
    if not hmac.compare_digest(hashlib.new(name, body, usedforsecurity=False).digest(), said):
        raise Refused("body_hash_mismatch")


def _check_topic(document: Any, context: Mapping[str, str]) -> None:
    """Any account can have SNS sign for it; the configured `topic_arn` tells the right ones."""
    wanted = context.get("topic_arn")
    if wanted and documents.look_up(document, ("TopicArn",)) != wanted:
        raise Refused("topic_mismatch")


def _by_jwt(scheme: Scheme, keys: Keys, request: SignedRequest) -> _Match:
    form = scheme.signature
    index, claims = open_token(scheme.kind, keys, presented_text(form, request))
    wanted = scheme.definition.signature
    if wanted.iss is not None and claims.get("iss") != wanted.iss:
        raise Refused("issuer_mismatch")
    if wanted.aud is not None and not _is_for(wanted.aud, claims.get("aud")):
        raise Refused("audience_mismatch")
    for name, told in wanted.claims.items():
        if not _says(claims.get(name), told):
            raise Refused("claim_mismatch", name)
    if wanted.claim is not None:
        said = claims.get(wanted.claim)
        if not isinstance(said, str):
            raise Refused("body_hash_missing", wanted.claim)
        _check_hash(scheme.hash, request.body, said.encode("utf-8"), form.decode)
    return _Match(index, _claimed_stamp(scheme, claims), claim_time(claims, "nbf"), claim_time(claims, "exp"))


def _says(said: Any, told: str | bool | int) -> bool:
    """Whether a claim says the very same, of the same kind: true is not 1."""
    return type(said) is type(told) and said == told


def _is_for(audience: str, said: Any) -> bool:
    """RFC 7519 §4.1.3: the claim is a text or a list of them."""
    return audience == said or (isinstance(said, list) and audience in said)


def _claimed_stamp(scheme: Scheme, claims: Claims) -> float | None:
    if scheme.time is None or scheme.time.claim is None:
        return None
    stamp_s = claim_time(claims, scheme.time.claim)
    if stamp_s is None:
        raise Refused("timestamp_missing", scheme.time.claim)
    return stamp_s
