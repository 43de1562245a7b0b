"""Documents that are not JSON: JSON lines, CSV and XML, each as the plain values that JSON would give."""

import codecs
import csv
import io
import json
import re
from collections.abc import Sequence
from itertools import count
from typing import Any
from xml.parsers import expat

from headwater.contracts.codec import loads
from headwater.model.errors import ContractError

MAX_LINES = 5_000_000
_MAX_DEPTH = 200
_XML_ENCODING = re.compile(rb"""<\?xml[^>]*?encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})""")
_UTF16 = frozenset({codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE})
_OTHER_FORMATS = (b"{", b"[", b"<")
_BLANKS = b" \t\r\n"
_AROUND_LINES = b" \t\r\n\v\f\x1e"  # RFC 7464 puts a record separator before each
_DELIMITER_LINE = re.compile(r"sep=([^\r\n])\r?\n", re.IGNORECASE)
_XML_CUT = frozenset(
    expat.errors.codes[name]
    for name in (expat.errors.XML_ERROR_NO_ELEMENTS, expat.errors.XML_ERROR_UNCLOSED_TOKEN)
)
_ENOUGH = 5  # rows that do not fit the header, before it is taken to be none
_MAX_CELL_CHARACTERS = 10 * 1024 * 1024


class CutError(ContractError):
    """The text ends in the middle of what it says."""


class Unreadable:
    """A line that could not be read; it is rejected alone."""

    __slots__ = ("reason",)

    def __init__(self, reason: str) -> None:
        self.reason = reason


def json_lines(body: bytes, *, keeps_scale: bool = False) -> list[Any]:
    """The documents of newline-delimited JSON; a line that is none becomes Unreadable. `keeps_scale`: see `loads`.

    Raises: ContractError when no line at all is JSON, or each is a list; CutError when the last one has no end.
    """
    found: list[Any] = []
    last: ContractError | None = None
    for line in body.splitlines()[:MAX_LINES]:
        text = line.strip(_AROUND_LINES)
        if not text:
            continue
        last = None
        try:
            found.append(loads(text, keeps_scale=keeps_scale))
        except ContractError as error:
            last = error
            found.append(Unreadable(str(error)[:120]))
    if last is not None and not body.endswith((b"\n", b"\r")) and is_cut_json(last):
        raise CutError(f"the last line has no end: {last}")
    if found and all(isinstance(one, list) for one in found):
        raise ContractError("it is a JSON list: set records.format to json, or leave it out")
    if found and all(isinstance(one, Unreadable) for one in found):
        raise ContractError(f"no line is JSON: {found[0].reason}")
    return found


def is_cut_json(error: ContractError) -> bool:
    """Whether `loads` failed since the text ends too early."""
    cause = error.__cause__
    if not isinstance(cause, json.JSONDecodeError):
        return False
    end = len(cause.doc.rstrip())
    return end > 0 and (cause.pos >= end or cause.msg.startswith("Unterminated string"))


def csv_rows(
    body: bytes, delimiter: str, known: tuple[str, ...] = (), *, may_be_cut: bool = False
) -> tuple[list[Any], tuple[str, ...]]:
    """The rows of a CSV text with a header line, and its columns; empty cells are null, all others text.

    `known` are the columns of an earlier page: a first line of as many cells, none of them a name of these, is a row of
    a page without a header. A column without a name is called by its place, one whose name comes again gets a number
    behind it; a line `sep=;` before the header says the delimiter, as in Excel. A row with more cells than the header
    is Unreadable, unless these are empty; where all are, it is no header. `may_be_cut`: nothing else tells where the
    text ends. Raises: ContractError when it is no CSV, or JSON or a page of HTML, which would be one with a strange
    header; CutError when it ends within quotes, or where it may be cut in a last row that lacks cells and a line end.
    """
    if body.lstrip()[:1] in _OTHER_FORMATS:
        raise ContractError("not CSV: it begins as JSON, XML or HTML does")
    reader: Any = None
    try:
        text = body.decode("utf-8")
        if (said := _DELIMITER_LINE.match(text)) is not None:
            text, delimiter = text[said.end() :], said[1]
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        csv.field_size_limit(_MAX_CELL_CHARACTERS)
        first: list[str] = next(filter(None, reader), [])
        header = [name or f"column_{number}" for number, name in enumerate(first, 1)]
        if len(header) == len(known) and not {*header} & {*known}:
            rows = [cells for cells in (first, *reader) if cells]
            _check_end(rows, known, text, may_be_cut=may_be_cut)
            return [_row(known, cells) for cells in rows], known
        header = _each_once([name.replace("\0", "") or f"column_{n}" for n, name in enumerate(header, 1)])
        below = [cells for cells in reader if cells]
        _check_end(below, header, text, may_be_cut=may_be_cut)
        rows = [_row(header, cells) for cells in below]
        if rows and (len(rows) >= _ENOUGH or len(header) == 1) and {*map(type, rows)} == {Unreadable}:
            raise ContractError(
                f"its first line, {','.join(header)[:60]!r}, names no columns: every row has more"
            )
        return rows, tuple(header)
    except (csv.Error, UnicodeDecodeError) as error:
        where = "" if reader is None else f"line {reader.line_num}: "
        if str(error) == "unexpected end of data":
            raise CutError(f"not CSV: {where}{error}") from error
        mend = "; quotes within quotes are doubled" if "expected after" in str(error) else ""
        raise ContractError(f"not CSV: {where}{error}{mend}") from error


def _each_once(header: list[str]) -> list[str]:
    """The names with a number behind those that come again: `name`, `name_2`."""
    if len(set(header)) == len(header):
        return header
    taken, found = set(header), set[str]()
    for place, name in enumerate(header):
        if name in found:
            number = next(number for number in count(2) if f"{name}_{number}" not in taken)
            header[place] = f"{name}_{number}"
        taken.add(header[place])
        found.add(header[place])
    return header


def _check_end(rows: list[list[str]], header: Sequence[str], text: str, *, may_be_cut: bool) -> None:
    is_open = may_be_cut and bool(rows) and not text.endswith(("\n", "\r"))
    if is_open and len(rows[-1]) < len(header) and any(len(cells) == len(header) for cells in rows):
        raise CutError("not CSV: the last row has no end")


def _row(header: Sequence[str], cells: list[str]) -> Any:
    if len(cells) > len(header) and any(cells[len(header) :]):  # many end each row with a delimiter
        return Unreadable(f"{len(cells)} cells under {len(header)} columns")
    return {name: cell or None for name, cell in zip(header, [*cells, *[""] * len(header)], strict=False)}


def says_encoding(body: bytes) -> bool:
    """Whether an XML document says how its letters are written: in its declaration, or by how it begins."""
    return body[:2] in _UTF16 or b"\0" in body[:4] or _XML_ENCODING.match(body.lstrip(_BLANKS)) is not None


def xml_document(body: bytes) -> Any:
    """An XML document as `{root: value}`: attributes become `@name`, text beside them `#text`, children that
    repeat a list. Document type declarations are refused, and with them entities.

    Raises: ContractError.
    """
    body = body.lstrip(_BLANKS)  # before its declaration no blank is allowed, and many have one
    named = _XML_ENCODING.match(body)
    try:
        return _xml(body, None)
    except ValueError:  # expat knows encodings of one byte a letter, and UTF
        try:
            text = body.decode(named[1].decode("ascii") if named else "utf-8")
        except (LookupError, UnicodeDecodeError) as error:
            raise ContractError(f"not XML: {error}") from error
        return _xml(text.encode(), "utf-8")


def _xml(body: bytes, encoding: str | None) -> Any:
    builder = _XmlBuilder()
    parser = expat.ParserCreate(encoding, namespace_separator=None)
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.text
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.buffer_text = True
    try:
        parser.Parse(body, True)
    except expat.ExpatError as error:
        fault = CutError if body and error.code in _XML_CUT else ContractError
        raise fault(f"not XML: {error}") from error
    return builder.root


def _refuse_doctype(*_: object) -> None:
    raise ContractError("an XML document with a document type declaration is not read")


class _XmlBuilder:
    def __init__(self) -> None:
        self.root: dict[str, Any] = {}
        self._open: list[tuple[dict[str, Any], list[str]]] = [(self.root, [])]

    def start(self, _: str, attributes: dict[str, str]) -> None:
        if len(self._open) > _MAX_DEPTH:
            raise ContractError(f"an XML document of more than {_MAX_DEPTH} levels is not read")
        self._open.append(({f"@{_local(key)}": value for key, value in attributes.items()}, []))

    def text(self, text: str) -> None:
        self._open[-1][1].append(text)

    def end(self, name: str) -> None:
        content, texts = self._open.pop()
        text = "".join(texts).strip()
        value: Any = content
        if not content:
            value = text or None
        elif text:
            content["#text"] = text
        parent, key = self._open[-1][0], _local(name)
        if key not in parent:
            parent[key] = value
        elif isinstance(parent[key], list):
            parent[key].append(value)
        else:
            parent[key] = [parent[key], value]


def _local(name: str) -> str:
    """A name without its namespace prefix."""
    return name.rpartition(":")[2]
