"""Requests that are plain: one POST, well-formed beyond doubt, its body with a told length. Pure.

Most webhooks are. They need neither a parser's state nor a stream, a task and objects of a framework: their bytes are
read in one go. Whatever is not of this narrow form is no plain request and goes the long way, through the HTTP server;
so this form need not cover what is allowed, it must never take what is not.
"""

import re
from dataclasses import dataclass
from functools import cached_property

from multidict import CIMultiDict, CIMultiDictProxy

METHOD = "POST"
MAX_HEAD_BYTES = 8 * 1024
MAX_BODY_BYTES = 64 * 1024
MAX_HEADERS = 64
# RFC 9112 §3: an origin-form target of visible characters, none of which some server would read differently.
_LINE = re.compile(rb"POST (/[A-Za-z0-9_.~/?&=%+:,;@!$'()*-]*) HTTP/1\.1\r\n")
# RFC 9110 §5: a token, no blank before the colon; visible characters, blanks between them. `^` is a line's beginning.
_FIELD = re.compile(rb"(?m)^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)\r\n")
_LENGTH = re.compile(rb"(?:0|[1-9][0-9]{0,6})")
_BLANK_ENDS = re.compile(rb"[ \t]\r\n")
# What changes how a body or a connection is to be read, or asks for something.
_UNPLAIN = frozenset(
    {
        b"transfer-encoding",
        b"content-encoding",
        b"expect",
        b"upgrade",
        b"trailer",
        b"te",
        b"keep-alive",
        b"proxy-connection",
        b"http2-settings",
    }
)
_STAYS = b"keep-alive"


@dataclass(slots=True)
class Head:
    """What stands before a body of `length` bytes, which begins at `end`.

    `headers` are in wire order as they were written; `values` are by lower-case name, and each name is there once.
    """

    target: str
    headers: tuple[tuple[bytes, bytes], ...]
    values: dict[bytes, bytes]
    length: int
    end: int


def read_head(data: bytes) -> Head | None:
    """The head at the beginning of `data`; None when it is not there as a whole or not plain."""
    end = data.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES)
    line = _LINE.match(data)
    if end < 0 or line is None:
        return None
    at = line.end()
    end += 2
    headers = tuple(_FIELD.findall(data, at, end))
    values = {name.lower(): value for name, value in headers}
    length = values.get(b"content-length")
    if (
        length is None
        or len(values) != len(headers)  # a header that is there twice
        or len(headers) > MAX_HEADERS
        or data.count(b"\n", at, end) != len(headers)  # a line that is no header
        or b"host" not in values
        or not _UNPLAIN.isdisjoint(values)
        or values.get(b"connection", _STAYS).lower() != _STAYS
        or _LENGTH.fullmatch(length) is None
        or _BLANK_ENDS.search(data, at, end) is not None
    ):
        return None
    size = int(length)
    if size > MAX_BODY_BYTES:
        return None
    return Head(line[1].decode("ascii"), headers, values, size, end + 2)


class PlainRequest:
    """A plain request with its body, from `remote`."""

    def __init__(self, head: Head, body: bytes, remote: str | None) -> None:
        self.method = METHOD
        self.raw_path = head.target
        self.raw_headers = head.headers
        self.values = head.values
        self.body = body
        self.remote = remote

    @cached_property
    def headers(self) -> CIMultiDictProxy[str]:
        """As aiohttp gives them."""
        pairs = [
            (name.decode("ascii"), value.decode("utf-8", "surrogateescape"))
            for name, value in self.raw_headers
        ]
        return CIMultiDictProxy(CIMultiDict(pairs))
