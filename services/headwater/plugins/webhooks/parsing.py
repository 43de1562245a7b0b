"""From a webhook's bytes to its document: JSON, JSON lines, forms, multipart, XML, text, CloudEvents.

What the content type says is a hint: it never decides whether a delivery is accepted, and text that is labelled
wrong but is JSON is read as JSON.
"""

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote

from headwater.contracts.codec import loads
from headwater.model.errors import ContractError
from headwater.plugins.walk.body import utf8
from headwater.plugins.walk.formats import Unreadable, json_lines, xml_document
from headwater.plugins.webhooks.encoding import decompressed
from headwater.plugins.webhooks.multipart import add_field, multipart

MAX_BYTES = 25 * 1024 * 1024  # of a decompressed body
MAX_FIELDS = 10_000
Headers = Sequence[Sequence[str]]  # [name, value] in wire order
_FORMS = {
    "application/json": "json",
    "text/json": "json",
    "application/x-ndjson": "ndjson",
    "application/ndjson": "ndjson",
    "application/jsonl": "ndjson",
    "application/x-jsonlines": "ndjson",
    "application/x-www-form-urlencoded": "form",
    "multipart/form-data": "multipart",
    "application/xml": "xml",
    "text/xml": "xml",
}
_EVENT_TYPE = "application/cloudevents"
_EVENT_NEEDS = ("specversion", "id", "source", "type")  # CloudEvents 1.0 §3.1
_EVENT_NAME = re.compile(r"ce-([a-z0-9]{1,64})", re.IGNORECASE)


class Parsed(NamedTuple):
    """A body's document, what it was read as, and what of it could not be read (lines)."""

    form: str
    document: Any
    faults: tuple[str, ...] = ()


def parse(body: bytes, headers: Headers, form: str = "auto", *, max_bytes: int = MAX_BYTES) -> Parsed:
    """The document in `body`. With form auto its type and its first bytes say what it is; an empty body is None.

    Raises: ContractError, which says what it is not and why.
    """
    told = _told(headers)
    content_type = told.get("content-type", "")
    encoding = told.get("content-encoding", "")
    if encoding:
        body = decompressed(body, encoding.strip().lower(), max_bytes)
    if form == "auto":
        form = _form_of(body, content_type, told)
    if form in ("empty", "none"):
        return Parsed(form, None)
    if form == "bytes":
        raise ContractError("it is neither JSON nor text; say with `parse` what it is, or `parse: none`")
    return _READERS[form](body, content_type, headers)


def header(headers: Headers, name: str) -> str:
    """The value of a header that came once (name in lower case); else an empty text."""
    return _told(headers).get(name, "")


def _told(headers: Headers) -> dict[str, str]:
    """Values by name in lower case; an empty text for what came several times."""
    told: dict[str, str] = {}
    for name, value in headers:
        key = name.lower()
        told[key] = "" if key in told else value
    return told


def _form_of(body: bytes, content_type: str, told: Mapping[str, str]) -> str:
    media = _media_in(content_type)
    if media.startswith(_EVENT_TYPE) or told.get("ce-specversion"):
        return "cloudevents"
    if not body.strip():
        return "empty"
    known = _FORMS.get(media)
    if known is not None:
        return known
    if media.endswith("+json") or body.lstrip()[:1] in (b"{", b"[") or body.startswith(b"\xef\xbb\xbf"):
        return "json"
    if media.endswith("+xml"):
        return "xml"
    return "text" if media.startswith("text/") or _is_text(body) else "bytes"


@lru_cache(maxsize=256)
def _media_in(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _is_text(body: bytes) -> bool:
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return b"\0" not in body


def _json(body: bytes, content_type: str, _headers: Headers) -> Parsed:
    """JSON is UTF-8 (RFC 8259 §8.1), or UTF-16 and 32 by their first bytes; else the charset that the sender names."""
    try:
        return Parsed("json", loads(body))
    except ContractError:
        if "charset" not in content_type.lower():
            raise
        told = utf8(body, content_type)
        if told == body:
            raise
    return Parsed("json", loads(told))


def _ndjson(body: bytes, content_type: str, _headers: Headers) -> Parsed:
    lines = json_lines(utf8(body, content_type))
    faults = tuple(
        f"line {number}: {line.reason}"
        for number, line in enumerate(lines, 1)
        if isinstance(line, Unreadable)
    )
    return Parsed("ndjson", [line for line in lines if not isinstance(line, Unreadable)], faults)


def _form(body: bytes, content_type: str, _headers: Headers) -> Parsed:
    """Names that come several times have a list. A lone `payload` that holds JSON is read: Slack and GitHub do so."""
    try:
        pairs = parse_qsl(
            body.decode("latin-1"), keep_blank_values=True, max_num_fields=MAX_FIELDS, encoding="latin-1"
        )  # a character for each byte, until it is known which charset they are in
    except ValueError as error:
        raise ContractError(f"not a form: more than {MAX_FIELDS} fields") from error
    fields: dict[str, Any] = {}
    for name, value in pairs:
        add_field(fields, _form_text(name, content_type), _form_text(value, content_type))
    payload = fields.get("payload")
    if len(fields) == 1 and isinstance(payload, str) and payload[:1] in ("{", "["):
        fields["payload"] = _json_or_text(payload)
    return Parsed("form", fields)


def _form_text(text: str, content_type: str) -> str:
    """UTF-8 wherever it is; else the charset that the sender names, or Windows-1252, as old forms send it."""
    return text if text.isascii() else utf8(text.encode("latin-1"), content_type).decode("utf-8")


def _json_or_text(text: str) -> Any:
    try:
        return loads(text.encode("utf-8", "surrogatepass"))
    except ContractError:
        return text


def _multipart(body: bytes, content_type: str, _headers: Headers) -> Parsed:
    return Parsed("multipart", multipart(body, content_type))


def _xml(body: bytes, _type: str, _headers: Headers) -> Parsed:
    return Parsed("xml", xml_document(body))


def _text(body: bytes, content_type: str, _headers: Headers) -> Parsed:
    return Parsed("text", {"text": utf8(body, content_type).decode("utf-8")})


def _cloudevents(body: bytes, content_type: str, headers: Headers) -> Parsed:
    """The same document for all modes: the event with its attributes, and its data under `data`."""
    if not content_type.lower().startswith(_EVENT_TYPE):
        return Parsed("cloudevents", _checked(_binary_event(body, content_type, headers)))
    document = loads(body)
    if content_type.lower().startswith(f"{_EVENT_TYPE}-batch"):
        if not isinstance(document, list):
            raise ContractError("not a batch of CloudEvents: it is no list")
        return Parsed("cloudevents", [_checked(event) for event in document])
    return Parsed("cloudevents", _checked(document))


def _binary_event(body: bytes, content_type: str, headers: Headers) -> dict[str, Any]:
    """CloudEvents HTTP binding 1.0 §3.1: attributes are `ce-` headers, percent-encoded; the body is the data.

    Text is a text, and what is neither JSON nor text stands in base64, as in structured mode (CloudEvents JSON format
    1.0 §3.1.1).
    """
    event: dict[str, Any] = {}
    for name, value in headers:
        match = _EVENT_NAME.fullmatch(name)
        if match is not None:
            event[match[1].lower()] = unquote(value)
    if content_type:
        event["datacontenttype"] = content_type
    if body:
        plain = [pair for pair in headers if pair[0].lower() not in ("ce-specversion", "content-encoding")]
        told = _told(plain)
        form = _form_of(body, told.get("content-type", ""), told)
        if form == "bytes":
            event["data_base64"] = base64.b64encode(body).decode("ascii")
        else:
            data = parse(body, plain).document
            event["data"] = data["text"] if form == "text" else data
    return event


def _checked(event: Any) -> Mapping[str, Any]:
    if not isinstance(event, dict):
        raise ContractError("not a CloudEvent: it is no object")
    for name in _EVENT_NEEDS:
        if not isinstance(event.get(name), str) or not event[name]:
            raise ContractError(f"not a CloudEvent: {name!r} is missing")
    return event


_READERS: Mapping[str, Callable[[bytes, str, Headers], Parsed]] = {
    "json": _json,
    "ndjson": _ndjson,
    "form": _form,
    "multipart": _multipart,
    "xml": _xml,
    "text": _text,
    "cloudevents": _cloudevents,
}
