"""Settled deliveries into the partition of their day, by COPY in PostgreSQL's binary form.

COPY into a table with row-level security is refused, but a partition is a table of its own, into which the worker may
insert; its policies let it insert any row anyway. Where there is no such partition the rows are for the parent.
Source of the form: PostgreSQL's manual, COPY, "Binary Format".
"""

import struct
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import Any, NamedTuple

from headwater.contracts.codec import dumps
from headwater.contracts.webhook import Receipt
from headwater.store.queries import queries

_Q = queries("deliveries")
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # PostgreSQL's
_DAY = timedelta(days=1)
_MICROSECOND = timedelta(microseconds=1)
_PIECE_BYTES = 1 << 18
_COLUMNS = (
    "id", "received_at", "receipt_id", "tenant", "endpoint", "state", "type", "method", "url", "remote", "form",
    "reason", "provider_id", "headers", "verification", "body_sha256", "body",
)  # fmt: skip
_BEGIN = b"PGCOPY\n\xff\r\n\0" + bytes(8)  # signature, flags, length of the extension
_END = struct.pack(">h", -1)
# the number of fields; then each with its length: id, received_at, receipt_id
_IDENTITY = struct.Struct(">hi16siqi16s").pack
_LENGTH = struct.Struct(">i").pack
_NULL = _LENGTH(-1)
_DIGEST = _LENGTH(32)
_JSONB_VERSION = b"\x01"


class Outcome(NamedTuple):
    """A new delivery's final state, what its body was read as, and why it is so."""

    receipt: Receipt
    state: str
    reason: str | None = None
    form: str | None = None


class Partitions:
    """Which days' partitions are there, as far as they were asked for."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}

    async def of(
        self, connection: Any, outcomes: Sequence[Outcome]
    ) -> list[tuple[str | None, list[Outcome]]]:
        """The outcomes by the name of their partition; None: they are for the parent."""
        by_day: dict[int, list[Outcome]] = defaultdict(list)
        for outcome in outcomes:
            by_day[(outcome.receipt.received_at - _EPOCH) // _DAY].append(outcome)
        return [(await self._name(connection, day), those) for day, those in sorted(by_day.items())]

    async def _name(self, connection: Any, day: int) -> str | None:
        if day not in self._names:
            name = await connection.fetchval(_Q["partition_of"], _EPOCH + day * _DAY)
            if name is None:
                return None
            while len(self._names) >= 100:  # one is used, or a few around midnight
                self._names.pop(next(iter(self._names)))
            self._names[day] = name
        return self._names[day]

    def forget(self, name: str) -> None:
        """It is gone, or not to be written to any more."""
        self._names = {day: known for day, known in self._names.items() if known != name}


async def write(connection: Any, partition: str, outcomes: Iterable[Outcome]) -> None:
    """Store new deliveries in the partition, in their final state; when they were settled says the database's clock."""
    await connection.copy_to_table(
        partition, schema_name="headwater", columns=_COLUMNS, source=_pieces(outcomes), format="binary"
    )


async def _pieces(outcomes: Iterable[Outcome]) -> AsyncIterator[bytes]:
    parts, size = [_BEGIN], 0
    for outcome in outcomes:
        parts += _row(outcome)
        size += len(outcome.receipt.body)
        if size > _PIECE_BYTES:
            yield b"".join(parts)
            parts, size = [], 0
    parts.append(_END)
    yield b"".join(parts)


def _row(outcome: Outcome) -> tuple[bytes, ...]:
    receipt, state, reason, form = outcome
    headers, verification, body = dumps(receipt.headers), dumps(receipt.verification), receipt.body
    at = (receipt.received_at - _EPOCH) // _MICROSECOND
    return (
        _IDENTITY(len(_COLUMNS), 16, receipt.id.bytes, 8, at, 16, receipt.receipt_id.bytes),
        _common(
            receipt.tenant,
            receipt.endpoint,
            state,
            receipt.type,
            receipt.method,
            receipt.url,
            receipt.remote,
            form,
        ),
        _NULL if reason is None else _text(reason),
        _NULL if receipt.key is None else _text(receipt.key),
        _LENGTH(len(headers) + 1),
        _JSONB_VERSION,
        headers,
        _LENGTH(len(verification) + 1),
        _JSONB_VERSION,
        verification,
        _DIGEST,
        sha256(body).digest(),
        _LENGTH(len(body)),
        body,
    )


@lru_cache(maxsize=256)
def _common(*texts: str | None) -> bytes:
    """Texts that many deliveries have alike, as fields."""
    return b"".join(_NULL if text is None else _text(text) for text in texts)


def _text(text: str) -> bytes:
    raw = text.encode()
    return _LENGTH(len(raw)) + raw
