"""From an answer's bytes to its document: mislabelled encodings, byte order marks, and what is no JSON."""

import codecs
import re
from dataclasses import dataclass
from typing import Any

from headwater.contracts.codec import is_plain_json, loads
from headwater.contracts.walking import Records
from headwater.model.errors import ContractError, SourceError
from headwater.model.http import Response
from headwater.model.secret import Secret
from headwater.plugins.secret_text import masked
from headwater.plugins.walk.formats import (
    CutError,
    csv_rows,
    is_cut_json,
    json_lines,
    says_encoding,
    xml_document,
)

_PLAIN = Records()
NO_CONTENT = frozenset({204, 205, 304})
_SAMPLE_CHARACTERS = 200
_REASON = 120
_MOST_READ = 16 * 1024
_DEEPEST = 3
_LONGEST_PLAIN = 200  # of a text that may be what an API says of an error
_SAYING = (
    "message",
    "error_description",
    "detail",
    "title",
    "error",
    "reason",
    "errors",
    "fault",
    "errmsg",
    "error_message",
    "error_msg",
    "msg",
    "faultstring",
)
_CHARSET = re.compile(r"charset\s*=\s*\"?([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)
_MARKS = ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
          (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))  # fmt: skip
_LINES = re.compile(rb"\{[^\n]*\}[ \t\r]*\n\s*\{")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


@dataclass(frozen=True, slots=True)
class Document:
    """What an answer holds. `is_plain`: what is written of it as JSON again is known to be plain (`is_plain_json`);
    `columns` are those of CSV.
    """

    content: Any
    is_plain: bool = False
    columns: tuple[str, ...] = ()


def document_of(
    response: Response,
    secrets: tuple[Secret, ...] = (),
    records: Records = _PLAIN,
    columns: tuple[str, ...] = (),
    *,
    keeps_scale: bool = False,
) -> Document:
    """The document in the answer's body; its content is None for an answer that has none by its status.

    `columns` are those of CSV that an earlier page of the walk had; `keeps_scale`: see `loads`.
    What the Content-Type says is not believed: APIs label JSON as text/plain and UTF-8 as latin-1.
    Raises: SourceError `undecodable`, with a masked sample, when it is not in `records.format` (an empty body is
    in none but JSON lines and CSV). One that ends in the middle may be whole when it is asked for again: retryable.
    """
    if response.status in NO_CONTENT:
        return Document(None)
    try:
        return _read(response, records, columns, keeps_scale=keeps_scale)
    except ContractError as error:
        sample = sample_of(response.body, secrets)
        what = "empty" if not response.body.strip() else _no_document(error, records)
        is_cut = isinstance(error, CutError) or (records.format == "json" and is_cut_json(error))
        raise SourceError(
            "undecodable",
            f"the answer (status {response.status}, {response.header('content-type') or 'no type'!s:.60}) is {what}"
            + (", and ends in the middle" if is_cut else _likely(response, records))
            + (f"; it begins: {sample}" if sample else ""),
            retryable=is_cut,
            sample=sample,
        ) from error


def _likely(response: Response, records: Records) -> str:
    """What format the answer has likelier, for people who did not say which."""
    if records.format != "json":
        return ""
    head, kind = response.body[:_MOST_READ].lstrip(), (response.header("content-type") or "").lower()
    if _LINES.match(head):
        return ": it has a document on each line, set records.format: ndjson"
    if head.startswith(b"<?xml") or (head.startswith(b"<") and "xml" in kind and "html" not in kind):
        return ": set records.format: xml"
    return ": set records.format: csv" if "csv" in kind else ""


def _no_document(error: ContractError, records: Records) -> str:
    name = records.format.upper()
    why = " ".join(str(error).split()).removeprefix(f"not {name}: ")[:_REASON]
    is_plain = (
        records.format == "json" and "line 1 column 1 " in why
    )  # no JSON at all: its beginning says more
    return f"not {name}" if is_plain else f"not {name} ({why})"


def _read(response: Response, records: Records, columns: tuple[str, ...], *, keeps_scale: bool) -> Document:
    content_type = response.header("content-type") or ""
    match records.format:
        case "json":
            text = utf8(response.body, content_type)
            is_plain = is_plain_json(text)
            return Document(loads(text, is_plain=is_plain, keeps_scale=keeps_scale), is_plain)
        case "ndjson":
            text = utf8(response.body, content_type).removeprefix(codecs.BOM_UTF8)
            return Document(json_lines(text, keeps_scale=keeps_scale))
        case "csv":
            text = utf8(response.body, content_type).removeprefix(codecs.BOM_UTF8)
            is_open = (
                response.header("content-length") is None and response.header("transfer-encoding") is None
            )
            rows, found = csv_rows(text, records.delimiter, columns, may_be_cut=is_open)
            return Document(rows, columns=found)
        case "xml":  # mostly says its own encoding
            says = says_encoding(response.body)
            return Document(xml_document(response.body if says else utf8(response.body, content_type)))


def utf8(body: bytes, content_type: str) -> bytes:
    """`body` as UTF-8. Valid UTF-8 is taken as it is, whatever the label; else marks and the label decide."""
    mark = next((name for mark, name in _MARKS if body.startswith(mark)), None)
    if mark is None and body[:1] and (body[:1] == b"\x00" or body[1:2] == b"\x00"):
        mark = "utf-16-be" if body[0] == 0 else "utf-16-le"
    if mark is None and _is_utf8(body):
        return body.rstrip(b"\0") if body.endswith(b"\0") else body  # some pad their buffers
    return body.decode(mark or _label(content_type), "replace").encode("utf-8", "replace")


def _is_utf8(body: bytes) -> bool:
    if body.isascii():  # seen in a tenth of the time
        return True
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _label(content_type: str) -> str:
    """The charset that the label names, if it is a known one that has ASCII in it; else Windows-1252."""
    found = _CHARSET.search(content_type)
    try:
        name = codecs.lookup(found[1]).name if found else ""
    except LookupError:
        name = ""
    return name if name not in {"", "utf-8", "ascii"} and _is_text_codec(name) else "cp1252"


def _is_text_codec(name: str) -> bool:
    try:
        return b"{}\x80".decode(name, "replace").startswith("{}")
    except (LookupError, ValueError):
        return False


def sample_of(body: bytes, secrets: tuple[Secret, ...] = (), characters: int = _SAMPLE_CHARACTERS) -> str:
    """The beginning of a body for people: one line, secrets starred out before it is cut."""
    text = masked(body[: 20 * characters].decode("utf-8", "replace"), secrets)
    text = _CONTROL.sub(" ", text).strip()
    return text if len(text) <= characters else f"{text[:characters]}…"


def words_of(response: Response, secrets: tuple[Secret, ...] = ()) -> str:
    """What an answer says of an error, in its own words; empty where that cannot be told from anything else."""
    try:
        said = words_in(loads(response.body[:_MOST_READ]))
    except ContractError:
        is_plain = b"<" not in response.body and len(response.body) <= _LONGEST_PLAIN
        said = response.body.decode("utf-8", "replace") if is_plain else ""
    return sample_of(said.encode("utf-8", "replace"), secrets, _REASON)


def words_in(value: Any, depth: int = 0) -> str:
    """The text of the first member that APIs use to say what an error is."""
    if isinstance(value, str):
        return value if depth else ""
    if isinstance(value, list):
        return words_in(value[0], depth + 1) if value and depth < _DEEPEST else ""
    if not isinstance(value, dict) or depth > _DEEPEST:
        return ""
    found = (words_in(value[name], depth + 1) for name in _SAYING if name in value)
    return next((text for text in found if text), "")
