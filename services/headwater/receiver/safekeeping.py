"""Confirm or spool: what a 202 rests on.

Publish within its budget; else a spool row in PostgreSQL within its own, relayed later under the same id; else
nothing is known and the caller is told so (503). Stragglers run on in bounded sets. Spool rows of one moment share a
commit. Deliveries that have an order, and large ones, go into the database at once.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from enum import Enum
from typing import Any
from uuid import UUID

from headwater.bus.group_commit import GroupCommit
from headwater.bus.port import Bus, Message
from headwater.contracts.webhook import Receipt
from headwater.model.clock import Clock
from headwater.model.errors import Unavailable
from headwater.model.ids import derive_id
from headwater.receiver.intake import MAX_MESSAGE_BODY_BYTES, message_of
from headwater.receiver.offers import PUBLISH_S, Offers
from headwater.receiver.stragglers import Stragglers
from headwater.store import ordering, outbox, payloads
from headwater.store.bell import Bell
from headwater.store.database import Database
from headwater.store.outbox import OutboxRow

logger = logging.getLogger("headwater.receiver")
SPOOL_S = 0.6
SPOOL_BYTES = 64 * 1024 * 1024  # waiting for a commit
SPOOL_WRITERS = 2
MAX_LATE = 64  # transactions of ordered and large deliveries under way
LOSSES_EVERY_S = 1.0


class Kept(Enum):
    QUEUED = "queued"
    SPOOLED = "spooled"
    NOWHERE = "nowhere"


class _Losses:
    """Tells of webhooks that nobody took, by one line a second at most."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told_at = -LOSSES_EVERY_S
        self._silent = 0

    def tell(self, what: str, tenant: str, endpoint: str, error: Exception) -> None:
        now = self._clock.monotonic()
        if now - self._told_at < LOSSES_EVERY_S:
            self._silent += 1
            return
        more = f" ({self._silent} more since the last line)" if self._silent else ""
        self._told_at, self._silent = now, 0
        why = str(error) or "not within its time"
        logger.warning("%s for %s/%s: %s%s", what, tenant, endpoint, why, more)


class Safekeeping:
    """Where receipts are made safe. `database` is a pool of its own."""

    def __init__(self, bus: Bus, database: Database, bell: Bell, clock: Clock) -> None:
        self.offers = Offers(bus, clock)
        self._database = database
        self._bell = bell
        self._losses = _Losses(clock)
        self._stragglers = Stragglers(MAX_LATE)
        self._spool: GroupCommit[OutboxRow] = GroupCommit(self._write, lambda row: len(row.body))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """While open, the spool is written."""
        writers = [asyncio.create_task(self._spool.run(), name="spool") for _ in range(SPOOL_WRITERS)]
        try:
            yield
        finally:
            for writer in writers:
                writer.cancel()
            await asyncio.gather(*writers, return_exceptions=True)

    async def keep(self, receipt: Receipt, order_key: str | None = None) -> Kept:
        """Make the receipt safe, or say that it is not known to be."""
        if order_key is not None:
            return await self._keep_in_order(receipt, order_key)
        if len(receipt.body) > MAX_MESSAGE_BODY_BYTES:
            return await self._keep_large(receipt)
        message = message_of(receipt, None)
        if await self.offers.published(message):
            return Kept.QUEUED
        return await self.spooled(message)

    async def spooled(self, message: Message) -> Kept:
        """Write down what the broker did not confirm."""
        if self._spool.pending_bytes + len(message.body) > SPOOL_BYTES:
            return Kept.NOWHERE
        tenant, endpoint = message.headers["tenant"], message.headers["endpoint"]
        row = OutboxRow(UUID(message.id), tenant, message.type, message.body, message.headers)
        try:
            async with asyncio.timeout(SPOOL_S):
                await self._spool.add(row)
        except (Unavailable, TimeoutError) as error:
            self._losses.tell("neither broker nor spool took a webhook", tenant, endpoint, error)
            return Kept.NOWHERE
        self._bell.ring()
        return Kept.SPOOLED

    async def _write(self, rows: Sequence[OutboxRow]) -> Sequence[Exception | None]:
        async with self._database.transaction() as connection:
            await outbox.add_many(connection, rows)
        return [None] * len(rows)

    async def _keep_large(self, receipt: Receipt) -> Kept:
        """Body and spool row in one transaction; the relay publishes the reference."""
        payload_id = derive_id(receipt.received_at, "payload", receipt.receipt_id)
        message = message_of(receipt, payload_id)
        row = OutboxRow(receipt.receipt_id, receipt.tenant, message.type, message.body, message.headers)

        async def write() -> None:
            async with self._database.transaction() as connection:
                await payloads.put(connection, payload_id, receipt.tenant, receipt.body)
                await outbox.add(connection, row)

        return await self._written(write(), receipt, "the database took no large webhook")

    async def _keep_in_order(self, receipt: Receipt, order_key: str) -> Kept:
        """Behind its predecessors of the same key."""

        async def write() -> None:
            async with self._database.transaction() as connection:
                await ordering.add(connection, receipt, order_key)

        return await self._written(write(), receipt, "the database took no webhook that has an order")

    async def _written(self, work: Coroutine[Any, Any, None], receipt: Receipt, what: str) -> Kept:
        """Whether the work was done in its time."""
        try:
            await self._stragglers.within(PUBLISH_S + SPOOL_S, work)
        except Unavailable as error:
            self._losses.tell(what, receipt.tenant, receipt.endpoint, error)
            return Kept.NOWHERE
        self._bell.ring()
        return Kept.SPOOLED

    async def close(self) -> None:
        """Give what is under way 2 s, then let it go: its callers were told that nothing is known."""
        self._spool.close()
        await self.offers.close()
