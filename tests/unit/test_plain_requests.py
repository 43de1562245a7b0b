"""Requests that may go the short way: what is taken is read as the framework's parser reads it, and nothing doubtful is."""

import asyncio
import random
from typing import Any

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser

from headwater.http.plain import MAX_BODY_BYTES, PlainRequest, read_head

PLAIN = (
    b"POST /in/default/orders?a=1&b=%20 HTTP/1.1\r\nHost: example.com\r\nContent-Type: application/json\r\n"
    b"X-Odd_Name.1: a \t b\r\nX-Empty:\r\nX-High: caf\xe9 \xff\r\nx-blank: \t  v\r\nContent-Length: 7\r\n\r\n"
    b'{"n":1}'
)


def with_line(line: bytes) -> bytes:
    return PLAIN.replace(b"X-Empty:", line)


def framework(data: bytes) -> Any:
    """The first request as aiohttp's parser reads it, its body, and how many there are; None where it refuses."""
    loop = asyncio.new_event_loop()
    try:
        parser = HttpRequestParser(
            BaseProtocol(loop),
            loop,
            2**16,
            max_line_size=16_384,
            max_field_size=16_384,
            auto_decompress=False,
        )
        messages, _, tail = parser.feed_data(data)
        if not messages:
            return None
        message, payload = messages[0]
        body = payload.read_nowait(-1) if payload.is_eof() else None
        return message, body, len(messages), tail
    except HttpProcessingError:
        return None
    finally:
        loop.close()


def test_a_plain_request_is_read_with_its_headers_as_they_were_written():
    head = read_head(PLAIN)

    assert head is not None
    assert (head.target, head.length, PLAIN[head.end :]) == ("/in/default/orders?a=1&b=%20", 7, b'{"n":1}')
    assert dict(head.headers)[b"X-High"] == b"caf\xe9 \xff"
    assert head.values[b"x-odd_name.1"] == b"a \t b"
    assert (head.values[b"x-empty"], head.values[b"x-blank"]) == (b"", b"v")
    assert PlainRequest(head, b"", None).headers["x-high"] == "caf\udce9 \udcff"


@pytest.mark.parametrize(
    "line",
    [
        b"Connection: keep-alive",
        b"Connection: Keep-Alive",
        b"X-Forwarded-For: 1.2.3.4, 5.6.7.8",
        b"Accept: */*",
    ],
)
def test_headers_that_change_nothing_are_plain(line: bytes):
    assert read_head(with_line(line)) is not None


@pytest.mark.parametrize(
    "line",
    [
        b"Transfer-Encoding: chunked",
        b"transfer-encoding: identity",
        b"Connection: close",
        b"Connection: keep-alive, x-high",
        b"Connection: upgrade",
        b"Upgrade: h2c",
        b"Expect: 100-continue",
        b"Content-Encoding: gzip",
        b"Trailer: x",
        b"TE: trailers",
        b"Content-Length: 7",
        b"Host: other",
        b"X-High: twice",
        b"Bad Name: v",
        b"Blank : v",
        b" Folded: v",
        b"\tfolded",
        b"NoColon",
        b": nameless",
        b"X-Ends-In-Blank: v ",
        b"X-Nul: a\0b",
        b"X-Control: a\x01b",
        b"X-Delete: a\x7fb",
        b"X-Bare-Return: a\rb",
        b"X-Bare-Feed: a\nX-B: b",
        b"X-Bare-Feed: a\nTransfer-Encoding: chunked",
        b"Na\xefve: v",
        b'Qu"oted: v',
    ],
)
def test_what_is_doubtful_or_asks_for_more_is_not_plain(line: bytes):
    assert read_head(with_line(line)) is None


@pytest.mark.parametrize(
    "data",
    [
        PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0"),
        PLAIN.replace(b"HTTP/1.1", b"HTTP/2.0"),
        PLAIN.replace(b"POST ", b"PUT "),
        PLAIN.replace(b"POST ", b"post "),
        PLAIN.replace(b"POST ", b"POST  "),
        PLAIN.replace(b" /in", b" http://example.com/in"),
        PLAIN.replace(b" /in", b" in"),
        PLAIN.replace(b"orders?", b"orders#?"),
        PLAIN.replace(b"orders?", b"ord ers?"),
        PLAIN.replace(b"orders?", b"ord\xe9rs?"),
        PLAIN.replace(b"orders?", b"ord\\ers?"),
        PLAIN.replace(b"\r\n", b"\n"),
        PLAIN.replace(b"HTTP/1.1\r\n", b"HTTP/1.1\n"),
        PLAIN.replace(b"Content-Length: 7", b"Content-Length: +7"),
        PLAIN.replace(b"Content-Length: 7", b"Content-Length: 07"),
        PLAIN.replace(b"Content-Length: 7", b"Content-Length: 7, 7"),
        PLAIN.replace(b"Content-Length: 7", b"Content-Length: 0x7"),
        PLAIN.replace(b"Content-Length: 7", b"Content-Length:"),
        PLAIN.replace(b"Content-Length: 7", b"Content-Length: -1"),
        PLAIN.replace(b"Content-Length: 7", b"Content-Length: " + str(MAX_BODY_BYTES + 1).encode()),
        PLAIN.replace(b"Content-Length: 7\r\n", b""),
        PLAIN.replace(b"Host: example.com\r\n", b""),
        PLAIN.replace(b"X-Empty:", b"\r\n".join(b"X-%d: v" % n for n in range(80))),
        PLAIN.replace(b"X-Empty:", b"X-Long: " + b"v" * 9000),
        PLAIN[: PLAIN.index(b"\r\n\r\n") + 3],
        b"\r\n" + PLAIN,
        b"",
    ],
    ids=range(27),
)
def test_another_line_length_or_shape_is_not_plain(data: bytes):
    assert read_head(data) is None


PIECES = (
    b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b"\0", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 3\r\n",
    b"Connection: close\r\n", b"Expect: 100-continue\r\n", b"POST / HTTP/1.1\r\n", b"\x80", b"\xff", b"0", b"7", b",",
    b"\r\n ", b"%", b"#", b"..", b"//", b"\x0b", b"\x0c", b"\x85", b"\xa0", b"chunked", b"identity", b"\r\n\r\n",
)  # fmt: skip


@pytest.mark.parametrize("seed", range(40))
def test_what_is_taken_of_spoilt_requests_the_framework_reads_alike(seed: int):
    drawn = random.Random(seed)
    taken = 0
    for _ in range(50):
        data = bytearray(PLAIN)
        for _ in range(drawn.randrange(1, 4)):
            at = drawn.randrange(len(data))
            until = at + drawn.choice((0, 0, 1, 2, 5))
            data[at:until] = drawn.choice((*PIECES, drawn.randbytes(1), drawn.randbytes(2)))
        spoilt = bytes(data)
        head = read_head(spoilt)
        if head is None or len(spoilt) < head.end + head.length:
            continue
        taken += 1
        read = framework(spoilt[: head.end + head.length])
        assert read is not None, spoilt
        message, body, count, tail = read
        assert (count, tail) == (1, b""), spoilt
        assert (message.method, message.path) == ("POST", head.target), spoilt
        assert message.raw_headers == head.headers, spoilt
        assert (message.chunked, message.upgrade, message.should_close) == (False, False, False), spoilt
        assert body == spoilt[head.end : head.end + head.length], spoilt

    assert taken > 0
