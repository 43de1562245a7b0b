"""Derived ids: 48 bits of time, the rest a hash of what the thing is.

The same facts give the same id wherever and however often it is computed, and the id names the partition
in which its row lives. Layout: UUID version 8 (RFC 9562 §5.8), milliseconds first, as in version 7.
"""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import NewType
from uuid import UUID

RunId = NewType("RunId", UUID)
DeliveryId = NewType("DeliveryId", UUID)
StreamVersionId = NewType("StreamVersionId", UUID)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_VERSION = (8 << 76) | (2 << 62)
_LENGTHS = tuple(length.to_bytes(8, "big") for length in range(256))
_FREE = ~((15 << 76) | (3 << 62))
_VARIANT = {f"{digit:x}": f"{digit & 3 | 8:x}" for digit in range(16)}  # 10 in the upper bits of a digit


def _joined(parts: tuple[object, ...]) -> bytes:
    """The parts, each with its length, so that no two lists of parts are the same."""
    joined: list[bytes] = []
    add = joined.append
    for part in parts:
        if type(part) is bytes:
            raw = part
        else:
            text = str(part)
            raw = text.encode() if text.isascii() else text.encode("utf-8", "surrogatepass")
        size = len(raw)
        add(_LENGTHS[size] if size < 256 else size.to_bytes(8, "big"))
        add(raw)
    return b"".join(joined)


def _digest(parts: tuple[object, ...]) -> bytes:
    return hashlib.sha256(_joined(parts)).digest()


def _uuid(raw: bytes) -> UUID:
    """The UUID of these 16 bytes, with the bits set that make it version 8, variant 10."""
    return UUID(int=int.from_bytes(raw, "big") & _FREE | _VERSION)


def to_millisecond(moment: datetime) -> datetime:
    """`moment` in UTC, cut to whole milliseconds: the precision that ids keep."""
    return EPOCH + ((moment - EPOCH) // _MILLISECOND) * _MILLISECOND


def derive_id(moment: datetime, *parts: object) -> UUID:
    """The id of what `parts` name at `moment` (aware; milliseconds count)."""
    milliseconds = (moment - EPOCH) // _MILLISECOND
    return _uuid(milliseconds.to_bytes(6, "big") + _digest(parts)[:10])


class TimedIds:
    """`derive_id` of a moment and some parts, where these stay the same and more follow."""

    __slots__ = ("_begun", "_time")

    def __init__(self, moment: datetime, *parts: object) -> None:
        self._time = ((moment - EPOCH) // _MILLISECOND).to_bytes(6, "big")
        self._begun = _joined(parts)

    def text(self, *parts: object) -> str:
        """The id as text."""
        return _text(self._time + hashlib.sha256(self._begun + _joined(parts)).digest()[:10])


def following_text(identifier: UUID, *parts: object) -> str:
    """The text of `derive_id` at the moment that a time-ordered id carries."""
    return _text(identifier.bytes[:6] + _digest(parts)[:10])


def derive_key_id(*parts: object) -> UUID:
    """The id of what `parts` name, whenever it is seen: a hash without a time."""
    return _uuid(_digest(parts)[:16])


class KeyIds:
    """`derive_key_id` of some parts and one more, where the first ones stay the same."""

    __slots__ = ("_begun",)

    def __init__(self, *parts: object) -> None:
        self._begun = hashlib.sha256(_joined(parts))

    def text(self, last: str) -> str:
        """The id as text."""
        digest = self._begun.copy()
        digest.update(_joined((last,)))
        return _text(digest.digest()[:16])


def moment_id(moment: datetime, random: bytes) -> str:
    """The text of an id that nothing derives again: the time of `moment`, and ten random bytes."""
    milliseconds = (moment - EPOCH) // _MILLISECOND
    return _text(milliseconds.to_bytes(6, "big") + random)


def _text(raw: bytes) -> str:
    """The text of the UUID of these 16 bytes, without the object: `_uuid` in digits."""
    digits = raw.hex()
    return f"{digits[:8]}-{digits[8:12]}-8{digits[13:16]}-{_VARIANT[digits[16]]}{digits[17:20]}-{digits[20:]}"


def time_of(identifier: UUID) -> datetime:
    """The moment that a time-ordered id carries (aware UTC, whole milliseconds)."""
    return EPOCH + int.from_bytes(identifier.bytes[:6], "big") * _MILLISECOND
