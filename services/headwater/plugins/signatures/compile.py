"""From a definition to a scheme: whether its fields fit each other is decided here, once.

Messages name the place in the definition, what is wrong, and the mend.
"""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from headwater.contracts.signatures import HASH_BY_VERSION, SchemeDefinition, SignatureDefinition
from headwater.model.errors import ConfigError
from headwater.plugins.signatures import documents
from headwater.plugins.signatures.decoders import DECODERS
from headwater.plugins.signatures.scheme import BodyHash, Place, Scheme, SignatureForm, TimeForm
from headwater.plugins.signatures.template import Template, compile_template

_SEPARATORS = (",", " ", ";", "|")
_NO_TEXT = Template((), frozenset())
_SHARED_KINDS = ("hmac", "hash", "token", "jwt-hs256")
_UNSIGNED_KINDS = ("token", "jwt-hs256", "jwt-rs256", "jwt-es256", "jwt-eddsa")  # they sign no template
_SAME_FOR_ALL = {
    "secret",
    "timestamp",
    "signed_headers",
    "context",
    "method",
}  # no request is told from others by these
_BODY_FIELDS = ("body", "body_crc32_dec", "body_sha256_hex")  # what holds the whole body
_URL_FIELDS = ("url", "query", "twilio", "plivo")  # what holds the query


def compile_scheme(definition: Mapping[str, Any]) -> Scheme:
    """The scheme of a definition (shape: `schemas/config/signature-scheme.v1.json`). Raises ConfigError."""
    try:
        read = SchemeDefinition.model_validate(definition)
    except ValidationError as error:
        raise ConfigError("; ".join(_sentence(fault) for fault in error.errors(include_url=False))) from None
    return compile_definition(read)


def _sentence(fault: Mapping[str, Any]) -> str:
    place = ".".join(str(part) for part in fault["loc"]) or "definition"
    if fault["type"] == "extra_forbidden":
        return f"{place}: no such field; remove it or mend its spelling"
    if fault["type"] == "missing":
        return f"{place}: is missing; give it"
    return f"{place}: {fault['msg']}"


def compile_definition(definition: SchemeDefinition) -> Scheme:
    """The scheme of a definition that was read already. Raises ConfigError."""
    template = _template(definition)
    _check_key(definition)
    form = _signature_form(definition, template)
    time = _time_form(definition, template)
    hash_name = _hash(definition, template)
    advice = definition.timestamp.recommended_tolerance_s if definition.timestamp else None
    return Scheme(
        name=definition.id,
        kind=definition.kind,
        hash=hash_name,
        hash_by_version=hash_name == HASH_BY_VERSION,
        definition=definition,
        signature=form,
        template=template,
        time=time,
        body_hash=_body_hash(definition, template),
        delivery_id=_place(definition.delivery_id),
        event_type=_place(definition.event_type),
        reads_document=_reads_document(form, template, time),
        signs_items=template.uses("adyen"),
        signs_unfolded=definition.signed_body == "unfolded",
        tolerance_s=advice,
        handshake=definition.handshake,
    )


def _template(definition: SchemeDefinition) -> Template:
    text = definition.signed
    if definition.kind in _UNSIGNED_KINDS:
        if text is not None and not text.startswith("{jwt:"):
            raise ConfigError(f"signed: kind {definition.kind} signs no text of the request; remove `signed`")
        return _NO_TEXT
    template = compile_template("{body}" if text is None else text)
    told = {field.partition(":")[0] for field in template.fields}
    if not told - _SAME_FOR_ALL:
        raise ConfigError("signed: covers nothing of the request; add {body}")
    if definition.kind == "hash" and not template.uses("secret"):
        raise ConfigError("signed: anybody can compute a plain hash; add {secret}, or use kind hmac")
    if definition.kind != "hash" and template.uses("secret"):
        raise ConfigError(f"signed: kind {definition.kind} uses the secret as its key; remove {{secret}}")
    if template.uses("signed_headers") and (
        definition.signature.format != "kv" or definition.signature.headers_key is None
    ):
        raise ConfigError("signed: {signed_headers} goes with format kv and needs signature.headers_key")
    if template.uses("timestamp") and definition.timestamp is None:
        raise ConfigError(
            "timestamp: {timestamp} is signed; say where it is, for example {from: header:X-Timestamp}"
        )
    return template


def _check_key(definition: SchemeDefinition) -> None:
    if definition.key.encoding == "jwk" and definition.kind in ("hash", "token"):
        raise ConfigError(f"key.encoding: kind {definition.kind} takes a text, not a JSON Web Key; give utf8")
    for name in ("aud", "claims"):
        if getattr(definition.signature, name) and not definition.kind.startswith("jwt-"):
            raise ConfigError(f"signature.{name}: goes with kinds jwt-… only; remove it")
    if definition.key.keys_url is not None and (
        definition.kind in _SHARED_KINDS or definition.key.certificate_from is not None
    ):
        raise ConfigError(
            "key.keys_url: goes with kinds of public keys, and instead of certificate_from; a shared key is a secret"
        )


def _hash(definition: SchemeDefinition, template: Template) -> str:
    name = definition.hash or "sha256"
    if name == HASH_BY_VERSION and not template.uses("sns"):
        raise ConfigError(
            "hash: only {sns:} names the hash in the message; give md5, sha1, sha256, sha384 or sha512"
        )
    if name == "md5" and definition.kind not in ("hmac", "hash"):
        raise ConfigError(f"hash: kind {definition.kind} does not go with md5; give sha256")
    return name


def _signature_form(definition: SchemeDefinition, template: Template) -> SignatureForm:
    form = definition.signature
    _check_form(definition.kind, form)
    if form.format == "list" and (definition.timestamp is None or definition.timestamp.place != "sig"):
        raise ConfigError("signature.format: a list begins with the time; give timestamp: {from: sig}")
    if form.query_param is not None:
        _check_parameter(form, template)
    if form.format == "body" and template.uses(*_BODY_FIELDS):
        raise ConfigError(
            "signed: the body holds the signature, which cannot sign itself; name the signed fields, {json:PATH}"
        )
    header = (form.header or "").lower()
    names = (header, *(name.lower() for name in form.alt_headers)) if header else ()
    numbered = re.sub(r"[0-9]+\Z", "", header) if form.multi == "numbered-header" else None
    return SignatureForm(
        format=form.format,
        headers=tuple(name.encode("ascii") for name in names),
        parameter=None if form.query_param is None else form.query_param.encode("utf-8"),
        numbered=numbered.encode("ascii") if numbered else None,
        repeatable=form.multi == "repeat-header",
        multi=form.multi.encode("ascii") if form.multi in _SEPARATORS else None,
        prefix=form.prefix.encode("utf-8"),
        prefix_optional=form.prefix_optional,
        prefix_any_case=header == "authorization",  # RFC 9110 §11.1: the scheme's name in any case
        decode=DECODERS[form.encoding],
        separator=form.sep.encode("ascii"),
        time_key=(form.ts_key or "").encode("utf-8"),
        signature_key=(form.sig_key or "").encode("utf-8"),
        headers_key=(form.headers_key or "").encode("utf-8"),
        several_keys=form.multi == "repeat-key",
        field=documents.read_path(form.field) if form.field else (),
    )


def _check_form(kind: str, form: SignatureDefinition) -> None:
    faults = (
        (
            form.format != "body" and not form.header and not form.query_param,
            "signature.header: is missing; name the signature's header, or its `query_param`",
        ),
        (form.format == "body" and not form.field, "signature.field: is missing; name the body's field"),
        (form.format == "kv" and not form.sig_key, "signature.sig_key: is missing; name the signature's key"),
        (
            (form.format == "jwt") != kind.startswith("jwt-"),
            "signature.format: kinds jwt-… go with format jwt, and no other kind does",
        ),
        (
            (form.multi == "alt-headers") != bool(form.alt_headers),
            "signature.alt_headers: goes with multi alt-headers; give both or neither",
        ),
        (
            form.multi == "numbered-header" and not re.search(r"[^0-9][0-9]+\Z", form.header or ""),
            "signature.header: multi numbered-header needs a name with a number at its end (X-Signature-1)",
        ),
        (
            form.multi == "repeat-key" and form.format != "kv",
            "signature.multi: repeat-key goes with format kv only",
        ),
        (
            form.multi not in (None, "repeat-key") and form.format != "plain",
            f"signature.multi: {form.multi!r} goes with format plain only",
        ),
        (
            form.multi in _SEPARATORS and form.encoding == "utf8",
            "signature.encoding: a list of plain texts cannot be told apart; use hex or base64",
        ),
        (
            form.encoding == "utf8" and kind != "token",
            "signature.encoding: utf8 goes with kind token only; give hex, base64 or base64url",
        ),
        (
            form.format == "body" and kind == "token",
            "signature.format: a token in the body would be kept with it; take one of a header or `query_param`",
        ),
        (
            form.multi in _SEPARATORS and form.multi in form.prefix and not form.prefix_optional,
            f"signature.prefix: holds {form.multi!r}, at which lists are divided; no item would have it",
        ),
    )
    for wrong, message in faults:
        if wrong:
            raise ConfigError(message)
    if form.format == "kv":
        _check_keys(form)


def _check_keys(form: SignatureDefinition) -> None:
    """Keys that no header can have would refuse every request."""
    keys = [
        (name, key)
        for name, key in (
            ("sig_key", form.sig_key),
            ("ts_key", form.ts_key),
            ("headers_key", form.headers_key),
        )
        if key is not None
    ]
    for name, key in keys:
        if "=" in key or form.sep in key or key.strip(" \t") != key:
            raise ConfigError(
                f"signature.{name}: {key!r} is no key; give what stands before the = of an item between {form.sep!r}"
            )
    if len({key for _, key in keys}) != len(keys):
        raise ConfigError("signature.sig_key: ts_key and headers_key are other keys; give each its own")


def _check_parameter(form: SignatureDefinition, template: Template) -> None:
    faults = (
        (form.header is not None, "signature.query_param: stands instead of a header; give one of them"),
        (
            form.format not in ("plain", "jwt"),
            f"signature.query_param: does not go with format {form.format}; give plain or jwt",
        ),
        (form.multi is not None, "signature.multi: a query parameter holds one signature; remove it"),
        (
            template.uses(*_URL_FIELDS),
            "signed: the query holds the signature, which cannot sign itself; use {url_no_query} or {path}",
        ),
    )
    for wrong, message in faults:
        if wrong:
            raise ConfigError(message)


def _place(text: str | None) -> Place | None:
    if text is None:
        return None
    kind, _, rest = text.partition(":")
    if kind == "header":
        return Place(header=rest.lower().encode("ascii"))
    return Place(path=documents.read_path(rest))


def _time_form(definition: SchemeDefinition, template: Template) -> TimeForm | None:
    time = definition.timestamp
    if time is None:
        return None
    kind, _, rest = time.place.partition(":")
    if kind == "claim":
        if not definition.kind.startswith("jwt-"):
            raise ConfigError("timestamp.from: claim:… goes with kinds jwt-… only")
        return TimeForm(time.unit, claim=rest)
    form = definition.signature
    if kind == "sig" and form.format != "list" and (form.format != "kv" or not form.ts_key):
        raise ConfigError("timestamp.from: sig goes with signature.format list, or kv with signature.ts_key")
    if not _is_signed(kind, rest, template):
        raise ConfigError(
            "timestamp: is not part of what is signed, so anybody can change it; add {timestamp} to `signed`"
        )
    if kind == "sig":
        if time.unit == "http-date" and form.sep in (",", " "):
            raise ConfigError(
                f"timestamp.unit: an HTTP date holds {form.sep!r}, at which the header is divided"
            )
        return TimeForm(time.unit, in_signature=True)
    return TimeForm(
        time.unit, place=_place(time.place), after_match=kind == "body" and not template.uses("timestamp")
    )


def _is_signed(kind: str, name: str, template: Template) -> bool:
    if template.uses("timestamp"):
        return True
    if kind == "header":
        return f"header:{name.lower()}" in template.fields
    if kind == "body":
        return template.uses("body", "sns") or f"json:{name}" in template.fields
    return False


def _body_hash(definition: SchemeDefinition, template: Template) -> BodyHash | None:
    form = definition.body_hash
    if form is None:
        return None
    if not template.uses(*_URL_FIELDS):
        raise ConfigError(
            "body_hash: its parameter is in the URL, so the URL must be signed; add {url} to `signed`"
        )
    return BodyHash(form.query_param, form.hash, DECODERS[form.encoding])


def _reads_document(form: SignatureForm, template: Template, time: TimeForm | None) -> bool:
    signed_time = (
        time is not None and time.place is not None and time.place.path is not None and not time.after_match
    )
    return form.format == "body" or template.uses("json", "sns", "adyen") or signed_time
