"""What rows in the binary form of PostgreSQL's COPY are made of. Pure.

Source: PostgreSQL's manual, COPY, "Binary Format".
"""

import struct
from datetime import UTC, datetime, timedelta

BEGIN = b"PGCOPY\n\xff\r\n\0" + bytes(8)  # signature, flags, length of the extension
END = struct.pack(">h", -1)
LENGTH = struct.Struct(">i").pack  # in bytes, in front of each field
NULL = LENGTH(-1)
JSONB_VERSION = b"\x01"
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def microseconds(moment: datetime) -> int:
    """An aware `moment` as a timestamptz: microseconds since EPOCH."""
    return (moment - EPOCH) // MICROSECOND
