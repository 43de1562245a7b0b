"""The signatures a request presents, read from where the scheme says and decoded strictly."""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from headwater.plugins.signatures import documents
from headwater.plugins.signatures.reasons import Refused
from headwater.plugins.signatures.request import (
    SignedRequest,
    header_values,
    single_header,
    single_parameter,
)
from headwater.plugins.signatures.scheme import SignatureForm

MAX_SIGNATURES = 20  # rotation shows two or three; each costs a public-key operation
MAX_NUMBERED = 100  # DocuSign numbers its keys 1 to 100
MAX_TEXT = 16_384  # bytes of one signature's text
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(slots=True)  # not frozen, which would double the time that making one takes
class Presented:
    """Decoded signatures, at least one; `timestamp` is the time's text if it stands beside them, `header_names` the
    signed headers'.
    """

    signatures: tuple[bytes, ...]
    timestamp: bytes | None = None
    header_names: bytes | None = None


def presented(form: SignatureForm, request: SignedRequest) -> Presented:
    """What the headers present. Raises Refused."""
    if form.is_single:
        text = without_prefix(form, single_header(request, form.headers[0]))
        return Presented(_decoded(form, [text]))
    values = _values(form, request) if form.parameter is None else _spelled(form.parameter, request)
    if form.format == "kv":
        return _key_values(form, values[0])
    if form.format == "list":
        return _listed(form, values[0])
    texts = [text for value in values for text in _split(form, value)]
    if not texts:
        raise Refused("malformed")
    return Presented(_decoded(form, texts))


def presented_text(form: SignatureForm, request: SignedRequest) -> bytes:
    """The one text of a form that has one, a token's, without its prefix. Raises Refused."""
    if form.parameter is None:
        return without_prefix(form, single_header(request, form.headers[0]))
    return without_prefix(form, _spelled(form.parameter, request)[-1])


def presented_in(form: SignatureForm, document: Any) -> Presented:
    """What a field of the body presents. Raises Refused."""
    found = documents.look_up(document, form.field)
    if not isinstance(found, str):
        raise Refused("malformed", ".".join(form.field))
    return Presented(_decoded(form, [without_prefix(form, found.encode("utf-8"))]))


def _values(form: SignatureForm, request: SignedRequest) -> list[bytes]:
    if form.numbered is not None:
        return _numbered(form.numbered, request)
    if len(form.headers) == 1 and not form.repeatable:
        return [single_header(request, form.headers[0])]
    found: list[bytes] = []
    for name in form.headers:
        values = header_values(request, name)
        if len(values) > 1 and not form.repeatable:
            raise Refused("header_duplicated", name.decode("ascii"))
        found += values
    if not found:
        raise Refused("header_missing", form.headers[0].decode("ascii"))
    return found


def _spelled(name: bytes, request: SignedRequest) -> list[bytes]:
    """What a query parameter may say: many senders write a plus as it is, where forms write a blank so."""
    text = single_parameter(request, name)
    if _BAD_ESCAPE.search(text):
        raise Refused("encoding")
    plain = unquote_to_bytes(text)
    return [plain] if "+" not in text else [unquote_to_bytes(text.replace("+", " ")), plain]


def _numbered(beginning: bytes, request: SignedRequest) -> list[bytes]:
    found: dict[int, bytes] = {}
    for key, value in request.headers:
        name = key.lower()
        number = name[len(beginning) :]
        if not name.startswith(beginning) or not number.isdigit() or len(number) > len(str(MAX_NUMBERED)):
            continue
        if int(number) in found:
            raise Refused("header_duplicated", name.decode("ascii"))
        found[int(number)] = value
    wanted = [value for number, value in sorted(found.items()) if 1 <= number <= MAX_NUMBERED]
    if not wanted:
        raise Refused("header_missing", (beginning + b"1").decode("ascii"))
    return wanted


def without_prefix(form: SignatureForm, text: bytes) -> bytes:
    """The text behind the form's prefix. Raises: Refused."""
    found = _behind_prefix(form, text)
    if found is None:
        raise Refused("malformed")
    return found


def _behind_prefix(form: SignatureForm, text: bytes) -> bytes | None:
    """None when the prefix is needed and not there."""
    size = len(form.prefix)
    begins = text.startswith(form.prefix) or (
        form.prefix_any_case and text[:size].lower() == form.prefix.lower()
    )
    if begins:
        return text[size:]
    return text if form.prefix_optional else None


def _split(form: SignatureForm, value: bytes) -> list[bytes]:
    """The texts of one value without their prefix; items without a prefix that is needed are passed over."""
    items = [value] if form.multi is None else [item.strip(b" \t") for item in value.split(form.multi)]
    return [text for item in items if (text := _behind_prefix(form, item)) is not None]


def _key_values(form: SignatureForm, value: bytes) -> Presented:
    """`t=…,v1=…,v1=…`: one time, one or more signatures; other keys are passed over."""
    timestamps: list[bytes] = []
    names: list[bytes] = []
    texts: list[bytes] = []
    for item in without_prefix(form, value).split(form.separator):
        key, equals, text = item.strip(b" \t").partition(b"=")
        if not equals:
            raise Refused("malformed")
        if key == form.signature_key:
            texts.append(text)
        elif key == form.time_key:
            timestamps.append(text)
        elif key == form.headers_key:
            names.append(text)
    if not texts or len(timestamps) > 1 or len(names) > 1 or (len(texts) > 1 and not form.several_keys):
        raise Refused("malformed")
    return Presented(
        _decoded(form, texts), timestamps[0] if timestamps else None, names[0] if names else None
    )


def _listed(form: SignatureForm, value: bytes) -> Presented:
    """`1700000000,…,…`: the time, and one or more signatures."""
    time, *texts = (item.strip(b" \t") for item in without_prefix(form, value).split(form.separator))
    if not texts:
        raise Refused("malformed")
    return Presented(_decoded(form, texts), time)


def _decoded(form: SignatureForm, texts: list[bytes]) -> tuple[bytes, ...]:
    if len(texts) > 1 and len(texts) > (MAX_SIGNATURES if form.numbered is None else MAX_NUMBERED):
        raise Refused("malformed")
    found = []
    for text in texts:
        if not text or len(text) > MAX_TEXT:
            continue
        try:
            found.append(form.decode(text))
        except ValueError:  # one unreadable signature does not spoil the others
            continue
    if not found:
        raise Refused("encoding" if any(texts) else "malformed")
    return tuple(found)
