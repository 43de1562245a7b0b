"""Strict decoders: one text per value, nothing skipped, nothing guessed.

The standard library's defaults skip blanks (`bytes.fromhex`) or junk (`b64decode`), and accept several texts
for one value. Here each decoder raises ValueError for anything but the one right form; hex may be in either
case.
"""

import binascii
from collections.abc import Callable, Mapping
from typing import Final

_URL_SAFE = bytes.maketrans(b"-_", b"+/")


def from_hex(text: bytes) -> bytes:
    return binascii.unhexlify(text)  # refuses blanks, signs and odd lengths


def from_base64(text: bytes) -> bytes:
    """RFC 4648 §4 with padding; unused bits must be zero, so that a changed character is always seen."""
    raw = binascii.a2b_base64(text, strict_mode=True)
    if binascii.b2a_base64(raw, newline=False) != text:
        raise ValueError("not the canonical form")
    return raw


def from_base64url(text: bytes) -> bytes:
    """RFC 4648 §5; padding may be left out, as senders do."""
    if b"+" in text or b"/" in text:
        raise ValueError("not url-safe")
    padded = text if text.endswith(b"=") else text + b"=" * (-len(text) % 4)
    return from_base64(padded.translate(_URL_SAFE))


def from_utf8(text: bytes) -> bytes:
    return text


DECODERS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "hex": from_hex,
    "base64": from_base64,
    "base64url": from_base64url,
    "utf8": from_utf8,
}
