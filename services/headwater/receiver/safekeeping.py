"""Confirm or spool: what a 202 rests on.

Publish within its budget; else a spool row in PostgreSQL within its own, relayed later under the same id; else
nothing is known and the caller is told so (503). Stragglers run on in a bounded set.
"""

import asyncio
import logging
from enum import Enum

from headwater.bus.port import Bus, Message
from headwater.contracts.webhook import Receipt
from headwater.model.errors import BusFull, ContractError, HeadwaterError, Unavailable
from headwater.model.ids import derive_id
from headwater.receiver.intake import MAX_MESSAGE_BODY_BYTES, message_of
from headwater.store import outbox, payloads
from headwater.store.bell import Bell
from headwater.store.database import Database
from headwater.store.outbox import OutboxRow

logger = logging.getLogger("headwater.receiver")
PUBLISH_S = 1.0
SPOOL_S = 0.6
MAX_STRAGGLERS = 1000


class Kept(Enum):
    QUEUED = "queued"
    SPOOLED = "spooled"
    NOWHERE = "nowhere"


class Safekeeping:
    """Where receipts are made safe."""

    def __init__(self, bus: Bus, database: Database, bell: Bell) -> None:
        self._bus = bus
        self._database = database
        self._bell = bell
        self._stragglers: set[asyncio.Task[None]] = set()

    async def keep(self, receipt: Receipt) -> Kept:
        """Make the receipt safe, or say that it is not known to be."""
        if len(receipt.body) > MAX_MESSAGE_BODY_BYTES:
            return await self._keep_large(receipt)
        message = message_of(receipt, None)
        if len(self._stragglers) < MAX_STRAGGLERS and await self._published(message):
            return Kept.QUEUED
        return await self._spooled(receipt, message)

    async def _published(self, message: Message) -> bool:
        """Whether the broker confirmed in time. A later confirm does no harm: both ways carry one id."""
        task = asyncio.create_task(self._bus.publish(message), name="publish")
        self._stragglers.add(task)
        task.add_done_callback(self._forget)
        done, _ = await asyncio.wait({task}, timeout=PUBLISH_S)
        return bool(done) and not task.cancelled() and task.exception() is None

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._stragglers.discard(task)
        if task.cancelled():
            return
        fault = task.exception()
        if isinstance(fault, ContractError) or (fault is not None and not isinstance(fault, HeadwaterError)):
            logger.error("a webhook could not be published: %s: %s", type(fault).__name__, fault)
        elif fault is not None and not isinstance(fault, BusFull):
            logger.debug("a webhook goes to the spool: %s", fault)

    async def _spooled(self, receipt: Receipt, message: Message) -> Kept:
        row = OutboxRow(receipt.receipt_id, receipt.tenant, message.type, message.body, message.headers)
        try:
            async with asyncio.timeout(SPOOL_S), self._database.transaction() as connection:
                await outbox.add(connection, row)
        except (Unavailable, TimeoutError) as error:
            logger.warning(
                "neither broker nor spool took a webhook for %s/%s: %s",
                receipt.tenant,
                receipt.endpoint,
                error,
            )
            return Kept.NOWHERE
        self._bell.ring()
        return Kept.SPOOLED

    async def _keep_large(self, receipt: Receipt) -> Kept:
        """Body and spool row in one transaction; the relay publishes the reference."""
        payload_id = derive_id(receipt.received_at, "payload", receipt.receipt_id)
        message = message_of(receipt, payload_id)
        row = OutboxRow(receipt.receipt_id, receipt.tenant, message.type, message.body, message.headers)
        try:
            async with asyncio.timeout(PUBLISH_S + SPOOL_S), self._database.transaction() as connection:
                await payloads.put(connection, payload_id, receipt.tenant, receipt.body)
                await outbox.add(connection, row)
        except (Unavailable, TimeoutError) as error:
            logger.warning(
                "the database took no large webhook for %s/%s: %s", receipt.tenant, receipt.endpoint, error
            )
            return Kept.NOWHERE
        self._bell.ring()
        return Kept.SPOOLED

    async def close(self) -> None:
        """Give stragglers 2 s, then let them go: their callers were told that nothing is known."""
        if self._stragglers:
            await asyncio.wait(self._stragglers, timeout=2.0)
        for task in list(self._stragglers):
            task.cancel()
        await asyncio.gather(*self._stragglers, return_exceptions=True)
