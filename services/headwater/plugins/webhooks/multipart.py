"""multipart/form-data (RFC 7578) as plain values: texts as they are, files by name, type, size and hash.

The bytes of files stay in the delivery's raw body.
"""

import hashlib
import re
from typing import Any

from headwater.model.errors import ContractError

MAX_PARTS = 1000
_MAX_HEAD_BYTES = 16 * 1024
_BOUNDARY = re.compile(r";\s*boundary=(?:\"([^\"\r\n]{1,70})\"|([^\s;\"]{1,70}))", re.IGNORECASE)
_PARAMETER = re.compile(r";\s*(name|filename)=(?:\"((?:[^\"\\]|\\.)*)\"|([^\s;\"]+))", re.IGNORECASE)


def multipart(body: bytes, content_type: str) -> dict[str, Any]:
    """The fields of the form; a name that comes several times has a list. Raises: ContractError."""
    match = _BOUNDARY.search(content_type)
    if match is None:
        raise ContractError("not multipart: its type names no boundary")
    delimiter = b"--" + (match[1] or match[2]).encode("latin-1", "replace")
    pieces = (b"\r\n" + body).split(b"\r\n" + delimiter)
    if len(pieces) < 3 or not pieces[-1].startswith(b"--"):  # before, parts, closing
        raise ContractError("not multipart: the closing boundary is missing")
    if len(pieces) > MAX_PARTS + 2:
        raise ContractError(f"it has more than {MAX_PARTS} parts")
    fields: dict[str, Any] = {}
    for piece in pieces[1:-1]:
        name, value = _part(piece)
        add_field(fields, name, value)
    return fields


def add_field(fields: dict[str, Any], name: str, value: Any) -> None:
    """Note `value` under `name`; a second one makes a list."""
    if name not in fields:
        fields[name] = value
    elif isinstance(fields[name], list):
        fields[name].append(value)
    else:
        fields[name] = [fields[name], value]


def _part(piece: bytes) -> tuple[str, Any]:
    head, separator, content = piece.partition(b"\r\n\r\n")
    if not separator or len(head) > _MAX_HEAD_BYTES:
        raise ContractError("not multipart: a part has no headers, or too long ones")
    headers = _headers(head)
    disposition = headers.get("content-disposition", "")
    found = {name.lower(): _unquoted(quoted, bare) for name, quoted, bare in _PARAMETER.findall(disposition)}
    if not disposition.lower().startswith("form-data") or "name" not in found:
        raise ContractError("not multipart form data: a part has no name")
    if "filename" not in found:
        return found["name"], content.decode("utf-8", "replace")
    return found["name"], {
        "filename": found["filename"],
        "content_type": headers.get("content-type", "application/octet-stream"),
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def _headers(head: bytes) -> dict[str, str]:
    lines = head.decode("utf-8", "replace").split("\r\n")
    pairs = [line.partition(":") for line in lines if ":" in line]
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _unquoted(quoted: str, bare: str) -> str:
    return re.sub(r"\\(.)", r"\1", quoted) if quoted else bare
