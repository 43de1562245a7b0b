"""Compressed bodies: read to the last byte, refused when cut, damaged or a bomb, without the memory for it."""

import gzip
import random
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from functools import cache, partial

import brotli
import pytest

from headwater.http.decode import decode_body
from headwater.model.errors import SourceError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MIB = 1024 * 1024
ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": partial(
        brotli.compress, quality=5
    ),  # as servers do; the highest takes a second for each of these bodies
    "zstd": zstd.compress,
}
LONG = random.Random(7).randbytes(300_000) + b"[1, 2, 3]" * 100_000


@cache
def encoded_long(name: str) -> bytes:
    return ENCODERS[name](LONG)


def decoded(body: bytes, encodings: str, max_bytes: int = 16 * MIB) -> bytes:
    return decode_body(body, encodings, max_bytes=max_bytes, max_ratio=200)


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("body", [b"[]", LONG, b""], ids=["short", "long", "nothing"])
def test_a_body_comes_back_to_the_last_byte(name: str, body: bytes) -> None:
    assert decoded(ENCODERS[name](body), name) == body
    assert decoded(b"", name) == b""


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("missing", [1, 5, 200_000])
def test_a_cut_body_is_never_taken_for_whole(name: str, missing: int) -> None:
    with pytest.raises(SourceError) as caught:
        decoded(encoded_long(name)[:-missing], name)

    assert (caught.value.kind, caught.value.retryable) == ("cut_body", True)


@pytest.mark.parametrize("name", ["gzip", "deflate"])  # the others carry no checksum here
def test_a_damaged_body_is_an_error(name: str) -> None:
    body = bytearray(encoded_long(name))
    body[1000:1200] = bytes(200)

    with pytest.raises(SourceError) as caught:
        decoded(bytes(body), name)

    assert caught.value.kind in {"bad_encoding", "cut_body"}


@pytest.mark.parametrize("name", ENCODERS)
def test_a_bomb_is_cut_before_it_fills_the_memory(name: str) -> None:
    bomb = ENCODERS[name](bytes(64 * MIB))
    tracemalloc.start()

    with pytest.raises(SourceError) as caught:
        decoded(bomb, name)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert caught.value.kind == "too_large"
    assert peak < 36 * MIB


@pytest.mark.parametrize("inner", ["gzip", "br", "zstd"])
@pytest.mark.parametrize("outer", ["gzip", "br", "zstd"])
def test_two_layers_come_off_in_their_order_and_a_bomb_within_is_cut(inner: str, outer: str) -> None:
    assert decoded(ENCODERS[outer](ENCODERS[inner](b"[1]")), f"{inner}, {outer}") == b"[1]"
    with pytest.raises(SourceError) as caught:
        decoded(ENCODERS[outer](ENCODERS[inner](bytes(40 * MIB))), f"{inner}, {outer}")
    assert caught.value.kind == "too_large"


def test_several_frames_are_one_body_and_what_is_skipped_is_skipped() -> None:
    frames = zstd.compress(b"[1,") + b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc" + zstd.compress(b"2]")

    assert decoded(frames, "zstd") == b"[1,2]"


def test_a_window_larger_than_http_allows_is_refused() -> None:
    options = {zstd.CompressionParameter.window_log: 25, zstd.CompressionParameter.content_size_flag: 0}
    compressor = zstd.ZstdCompressor(options=options)
    body = compressor.compress(LONG) + compressor.flush()

    with pytest.raises(SourceError) as caught:
        decoded(body, "zstd")

    assert caught.value.kind == "bad_encoding"


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_a_false_label_is_passed_over(name: str) -> None:
    assert decoded(b'{"items": []}', name) == b'{"items": []}'
