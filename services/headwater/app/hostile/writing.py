"""A page's document as bytes, with the labels that servers put on them, right and wrong."""

import csv
import functools
import gzip
import io
import json
import sys
import zlib
from collections.abc import Callable, Mapping
from typing import Any
from xml.sax.saxutils import escape

import brotli
from aiohttp import web

from headwater.app.hostile.behaviour import Behaviour

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BOMB_BYTES = 12 * 1024 * 1024  # of zeros
_PACKERS: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstd.compress,
}


def written(document: Any, headers: Mapping[str, str], style: Behaviour, page: int) -> web.Response:
    """The answer for a page, in the behaviour's way of writing."""
    form = style.body
    body, kind = _body(document, form, page)
    packed = form.removeprefix("cut_").removeprefix("bomb_")
    more = {}
    if packed in _PACKERS:
        body = _packed(body, form, packed, page)
        more["Content-Encoding"] = packed
    elif form == "raw_deflate":
        packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        body, more["Content-Encoding"] = packer.compress(body) + packer.flush(), "deflate"
    elif form in {"gzip_members", "zstd_frames"}:
        packed = form.partition("_")[0]
        body = b"".join(_PACKERS[packed](body[at : at + 1000]) for at in range(0, len(body), 1000))
        more["Content-Encoding"] = packed
    elif form == "gzip_twice":
        body, more["Content-Encoding"] = gzip.compress(gzip.compress(body)), "gzip"
    elif form == "utf8_encoding":
        more["Content-Encoding"] = "utf-8"
    elif form in {"false_gzip", "false_zstd"}:
        more["Content-Encoding"] = form.removeprefix("false_")
    elif form == "unknown_encoding":
        more["Content-Encoding"] = "compress"
    elif form == "many_encodings":
        more["Content-Encoding"] = "gzip, gzip, gzip"
    return web.Response(status=style.status, body=body, headers={**headers, **more, "Content-Type": kind})


def _packed(body: bytes, form: str, encoding: str, page: int) -> bytes:
    if form.startswith("bomb_") and page == 2:
        return _bomb(encoding)
    packed = _PACKERS[encoding](body)
    return packed[: len(packed) // 2] if form.startswith("cut_") and page == 2 else packed


@functools.cache
def _bomb(encoding: str) -> bytes:
    return _PACKERS[encoding](bytes(BOMB_BYTES))


def _body(document: Any, form: str, page: int) -> tuple[bytes, str]:
    """The bytes before compression, and the Content-Type."""
    if form in _FORMS:
        return _FORMS[form](document, page)
    text = json.dumps(document, ensure_ascii=form == "escaped")
    return text.encode("utf-8", "surrogatepass"), "application/json"


Form = Callable[[Any, int], tuple[bytes, str]]


def _text(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False)


def _labelled(kind: str, charset: str = "utf-8", before: bytes = b"") -> Form:
    return lambda document, _: (before + _text(document).encode(charset), kind)


def _changed(change: Callable[[str], str]) -> Form:
    """JSON that is none any more, from the second page on."""
    return lambda document, page: (
        (change(_text(document)) if page == 2 else _text(document)).encode(),
        "application/json",
    )


def _invalid_utf8(document: Any, _: int) -> tuple[bytes, str]:
    return _text(document).encode().replace("Zo\xeb".encode(), b"Zo\xff"), "application/json; charset=utf-8"


def _twice(document: Any, _: int) -> tuple[bytes, str]:
    return _text(document).replace('"id": ', '"id": -1, "id": ').encode(), "application/json"


def _ndjson(
    document: Any, page: int, *, broken: bool = False, cut: bool = False, between: str = ""
) -> tuple[bytes, str]:
    lines = [_text(row) + between for row in document]
    if cut and page == 2:
        return "\n".join(lines)[:-20].encode(), "application/x-ndjson"
    if broken and page == 2:
        lines[5] = lines[5][:-4]
    return ("\r\n".join([*lines, ""])).encode(), "application/x-ndjson"


def _csv(
    document: Any,
    page: int,
    *,
    delimiter: str = ",",
    broken: bool = False,
    head: str = "",
    names_once: bool = False,
    twins: bool = False,
    last: tuple[str, ...] = (),
) -> tuple[bytes, str]:
    if names_once and page > 1 and not document:
        return b"", "text/csv"
    if not document:
        return head.encode() + b"id,name,updated_at\r\n".replace(b",", delimiter.encode()), "text/csv"
    out = io.StringIO()
    out.write(head)
    writer = csv.writer(out, delimiter=delimiter)
    if not names_once or page == 1:
        writer.writerow([*document[0], *(["name"] if twins else [])])
    for index, row in enumerate(document):
        name = f'{row["name"]} "{delimiter}\n" end'
        more = ["too", "many"] if broken and page == 2 and index == 5 else ["again"] if twins else last
        writer.writerow([row["id"], name, row["updated_at"], *more])
    return b"\xef\xbb\xbf" + out.getvalue().encode(), "text/csv"


def _xml(document: Any, _: int, *, head: str = "") -> tuple[bytes, str]:
    rows = "".join(
        f"<item><id>{row['id']}</id><name>{escape(row['name'])}</name></item>" for row in document["items"]
    )
    return f"<?xml version='1.0'?>{head}<answer><items>{rows}</items></answer>".encode(), "text/xml"


def _fault_in_xml(*_: Any) -> tuple[bytes, str]:
    fault = "<s:Fault><faultcode>s:Server</faultcode><faultstring>db down</faultstring></s:Fault>"
    envelope = '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Header/><s:Body>'
    return f"{envelope}{fault}</s:Body></s:Envelope>".encode(), "text/xml"


_DTD = '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
_FORMS: Mapping[str, Form] = {
    "bom": _labelled("application/json", before=b"\xef\xbb\xbf"),
    "text": _labelled("text/plain"),
    "latin1": _labelled("application/json; charset=ISO-8859-1", "latin-1"),
    "latin1_label": _labelled("application/json; charset=ISO-8859-1"),
    "utf16": _labelled("application/json", "utf-16"),
    "no_label": _labelled("application/octet-stream"),
    "invalid_utf8": _invalid_utf8,
    "twice": _twice,
    "nan": _changed(lambda text: text.replace('"id": 100', '"id": NaN')),
    "infinity": _changed(lambda text: text.replace('"id": 100', '"id": Infinity')),
    "trailing": _changed(lambda text: text + "]"),
    "comma": _changed(lambda text: text.replace("}]", "},]")),
    "two": _changed(lambda text: text + text),
    "cut_json": _changed(lambda text: text[:-30]),
    "nuls": lambda document, _: (_text(document).encode() + bytes(7), "application/json"),
    "levels": _changed(lambda text: "[" * 100_000 + text),
    "ndjson": _ndjson,
    "ndjson_blank": functools.partial(_ndjson, between="\r\n\r\n \t"),
    "ndjson_cut": functools.partial(_ndjson, cut=True),
    "ndjson_broken": functools.partial(_ndjson, broken=True),
    "csv": _csv,
    "csv_semicolon": functools.partial(_csv, delimiter=";"),
    "csv_names_once": functools.partial(_csv, names_once=True),
    "csv_sep": functools.partial(_csv, delimiter=";", head="sep=;\r\n"),
    "csv_blank": functools.partial(_csv, head="\r\n\r\n"),
    "csv_open": functools.partial(_csv, last=("",)),
    "csv_twins": functools.partial(_csv, twins=True),
    "csv_broken": functools.partial(_csv, broken=True),
    "xml": _xml,
    "xml_blank": lambda document, page: (b"\n " + _xml(document, page)[0], "text/xml"),
    "xml_label": lambda document, page: (
        _xml(document, page)[0].decode().encode("latin-1"),
        "text/xml; charset=ISO-8859-1",
    ),
    "xml_fault": _fault_in_xml,
    "xml_dtd": functools.partial(_xml, head=_DTD),
}
