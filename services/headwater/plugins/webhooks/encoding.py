"""Compressed bodies, unfolded within bounds: a few bytes must not become gigabytes."""

import zlib

from headwater.model.errors import ContractError

ENCODINGS = frozenset({"gzip", "x-gzip", "deflate"})
_GZIP = 16 + zlib.MAX_WBITS
_GZIP_MAGIC = b"\x1f\x8b"
MAX_MEMBERS = 64  # of gzip data, RFC 1952 §2.2; senders that flush now and then make a few
_STEP_BYTES = 256 * 1024


class TooLargeError(ContractError):
    """A compressed body unfolds to more than the endpoint takes."""


def decompressed(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """The body behind `encoding` (a Content-Encoding in lower case; "" and identity: as it is).

    Raises: TooLargeError beyond `max_bytes`; ContractError for an unknown encoding, several of them, damaged or cut
    data, or bytes after its end.
    """
    if encoding in ("", "identity"):
        return body
    if encoding not in ENCODINGS:
        raise ContractError(f"content encoding {encoding[:40]!r} is not read")
    parts: list[bytes] = []
    room, rest = max_bytes, body
    for _ in range(MAX_MEMBERS):
        part, rest = _member(rest, encoding, room)
        parts.append(part)
        room -= len(part)
        if not rest:
            return b"".join(parts)
        if encoding == "deflate" or not rest.startswith(_GZIP_MAGIC):
            break
    raise ContractError(f"there are bytes behind the end of the {encoding} data")


def _member(body: bytes, encoding: str, max_bytes: int) -> tuple[bytes, bytes]:
    """What one run of compressed data unfolds to, and the bytes behind it."""
    decoder = zlib.decompressobj(_GZIP if encoding != "deflate" else _deflate_form(body))
    parts: list[bytes] = []
    size = 0
    rest = body
    try:
        while not decoder.eof:
            part = decoder.decompress(rest, _STEP_BYTES)
            rest = decoder.unconsumed_tail
            size += len(part)
            if size > max_bytes:
                raise TooLargeError(f"it unfolds to more than {max_bytes} bytes")
            parts.append(part)
            if not part and not rest and not decoder.eof:
                raise ContractError(f"the {encoding} data is cut")
    except zlib.error as error:
        raise ContractError(f"the {encoding} data is damaged") from error
    return b"".join(parts), decoder.unused_data


def _deflate_form(body: bytes) -> int:
    """RFC 9110 says zlib's form; some send bare deflate data."""
    is_zlib = len(body) > 1 and body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0
    return zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS
