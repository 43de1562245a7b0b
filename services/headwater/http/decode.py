"""Content-Encoding taken off, with bounds: a small body must not become a large one in memory."""

import sys
import zlib
from collections.abc import Callable

import brotli

from headwater.model.errors import SourceError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ACCEPT_ENCODING = "gzip, deflate, br, zstd"
MAX_ENCODINGS = 2  # more layers than that are an attack or a broken proxy
_NONE = frozenset(
    {"", "identity", "none", "binary", "utf-8", "utf8", "aws-chunked"}
)  # the last three by mistake
_RATIO_FLOOR_BYTES = 8 * 1024 * 1024  # below this size a high ratio harms nobody
_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"  # RFC 8878 §3.1.1
_ZSTD_SKIPPED = (b"\x2a\x4d\x18", 1)  # §3.1.2: a frame to be passed over, behind its first byte 0x50 to 0x5f
_ZSTD_WINDOW_LOG = 23  # RFC 9659: over HTTP a window has 8 MiB at most


def decode_body(body: bytes, encodings: str | None, *, max_bytes: int, max_ratio: int) -> bytes:
    """`body` without the layers that the Content-Encoding header `encodings` names.

    Raises: SourceError `too_large` (over `max_bytes`, or over 8 MiB and `max_ratio` times the wire's size),
    `bad_encoding` (unknown or damaged), `cut_body` (ends early; retryable).
    """
    layers = [layer for text in (encodings or "").split(",") if (layer := text.strip().lower()) not in _NONE]
    if len(layers) > MAX_ENCODINGS:
        raise SourceError("bad_encoding", f"the answer's body has {len(layers)} layers of compression")
    limit = min(max_bytes, max(_RATIO_FLOOR_BYTES, len(body) * max_ratio))
    for layer in reversed(layers):
        decoder = _DECODERS.get(layer)
        if decoder is None:
            raise SourceError(
                "bad_encoding",
                f"the answer's Content-Encoding {layer[:40]!r} was not asked for and cannot be read",
            )
        body = decoder(body, limit)
    return body


def _gunzip(body: bytes, limit: int) -> bytes:
    """All members of a gzip file; what has no gzip magic is taken as it stands (a false label)."""
    if not body.startswith(_GZIP_MAGIC):
        return body
    parts: list[bytes] = []
    size = 0
    while body.startswith(_GZIP_MAGIC):
        part, body = _inflate(zlib.decompressobj(16 + zlib.MAX_WBITS), body, limit - size)
        parts.append(part)
        size += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _undeflate(body: bytes, limit: int) -> bytes:
    """The `deflate` of the standard (zlib), or the raw one that some servers mean by it."""
    if not body:
        return body
    is_zlib = len(body) > 1 and body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0
    return _inflate(zlib.decompressobj(zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS), body, limit)[0]


def _inflate(decoder: "zlib._Decompress", body: bytes, limit: int) -> tuple[bytes, bytes]:
    """One stream's content and what stands behind it."""
    try:
        content = decoder.decompress(body, limit + 1)
    except zlib.error as error:
        raise SourceError("bad_encoding", f"the answer's compressed body is damaged: {error}") from error
    if len(content) > limit:
        raise _too_large(limit)
    if not decoder.eof:
        raise _cut()
    return content, decoder.unused_data


def _unbrotli(body: bytes, limit: int) -> bytes:
    """A brotli stream; each step gives little more than is asked for, so that a bomb ends where the limit is."""
    if not body:
        return body
    decoder = brotli.Decompressor()
    parts: list[bytes] = []
    size = 0
    while True:
        try:
            part = decoder.process(body, output_buffer_limit=limit - size + 1)
        except brotli.error as error:
            raise SourceError("bad_encoding", "the answer's compressed body is damaged (brotli)") from error
        parts.append(part)
        size += len(part)
        body = b""
        if size > limit:
            raise _too_large(limit)
        if decoder.is_finished():
            return parts[0] if len(parts) == 1 else b"".join(parts)
        if decoder.can_accept_more_data() or not part:
            raise _cut()


def _unzstd(body: bytes, limit: int) -> bytes:
    """All frames of a zstd body; what has no magic is taken as it stands (a false label)."""
    parts: list[bytes] = []
    size = 0
    while _is_zstd(body):
        decoder = zstd.ZstdDecompressor(
            options={zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
        )
        try:
            part = decoder.decompress(body, limit - size + 1)
        except zstd.ZstdError as error:
            raise SourceError("bad_encoding", f"the answer's compressed body is damaged: {error}") from error
        parts.append(part)
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        if not decoder.eof:
            raise _cut()
        body = decoder.unused_data
    if not parts:
        return body
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _is_zstd(body: bytes) -> bool:
    mark, at = _ZSTD_SKIPPED
    return body.startswith(_ZSTD_MAGIC) or (body.startswith(mark, at) and body[0] & 0xF0 == 0x50)


def _too_large(limit: int) -> SourceError:
    return SourceError("too_large", f"the answer's body grows beyond {limit} bytes when decompressed")


def _cut() -> SourceError:
    return SourceError("cut_body", "the answer's compressed body ends early", retryable=True)


_DECODERS: dict[str, Callable[[bytes, int], bytes]] = {
    "gzip": _gunzip,
    "x-gzip": _gunzip,
    "deflate": _undeflate,
    "br": _unbrotli,
    "zstd": _unzstd,
}
