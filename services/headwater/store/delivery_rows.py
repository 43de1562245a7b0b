"""Settled deliveries into the partition of their day, by COPY in PostgreSQL's binary form.

COPY into a table with row-level security is refused, but a partition is a table of its own, into which the worker may
insert; its policies let it insert any row anyway. Where there is no such partition the rows are for the parent.
"""

import struct
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import timedelta
from functools import lru_cache
from hashlib import sha256
from typing import Any, NamedTuple

from headwater.contracts.codec import dumps
from headwater.contracts.webhook import Receipt
from headwater.model.copy_form import BEGIN, END, EPOCH, JSONB_VERSION, LENGTH, NULL, microseconds
from headwater.store.queries import queries

_Q = queries("deliveries")
_DAY = timedelta(days=1)
_PIECE_BYTES = 1 << 18
_COLUMNS = (
    "id", "received_at", "receipt_id", "tenant", "endpoint", "state", "type", "method", "url", "remote", "form",
    "reason", "provider_id", "headers", "verification", "body_sha256", "body",
)  # fmt: skip
# the number of fields; then each with its length: id, received_at, receipt_id
_IDENTITY = struct.Struct(">hi16siqi16s").pack
_DIGEST = LENGTH(32)


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
            by_day[(outcome.receipt.received_at - EPOCH) // _DAY].append(outcome)
        return [(await self._name(connection, day), those) for day, those in sorted(by_day.items())]

    async def _name(self, connection: Any, day: int) -> str | None:
        if day not in self._names:
            name = await connection.fetchval(_Q["partition_of"], EPOCH + day * _DAY)
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
    parts, size = [BEGIN], 0
    for outcome in outcomes:
        parts += _row(outcome)
        size += len(outcome.receipt.body)
        if size > _PIECE_BYTES:
            yield b"".join(parts)
            parts, size = [], 0
    parts.append(END)
    yield b"".join(parts)


def _row(outcome: Outcome) -> tuple[bytes, ...]:
    receipt, state, reason, form = outcome
    headers, verification, body = dumps(receipt.headers), dumps(receipt.verification), receipt.body
    at = microseconds(receipt.received_at)
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
        NULL if reason is None else _text(reason),
        NULL if receipt.key is None else _text(receipt.key),
        LENGTH(len(headers) + 1),
        JSONB_VERSION,
        headers,
        LENGTH(len(verification) + 1),
        JSONB_VERSION,
        verification,
        _DIGEST,
        sha256(body).digest(),
        LENGTH(len(body)),
        body,
    )


@lru_cache(maxsize=256)
def _common(*texts: str | None) -> bytes:
    """Texts that many deliveries have alike, as fields."""
    return b"".join(NULL if text is None else _text(text) for text in texts)


def _text(text: str) -> bytes:
    raw = text.encode()
    return LENGTH(len(raw)) + raw
