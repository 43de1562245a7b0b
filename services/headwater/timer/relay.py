"""The relay: publishes with confirms what commits owe, then removes it (DESIGN.md §2.1, §2.8).

A crash between publishing and removing publishes again under the same id; handlers bear that.
"""

import asyncio
import logging
import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from headwater.bus.port import Bus, Message
from headwater.model.errors import BusFull, ContractError, Unavailable
from headwater.model.ids import EPOCH, derive_key_id
from headwater.store import admission, dead_letters, outbox, runs, schedules
from headwater.store.database import Database
from headwater.store.dead_letters import DeadLetter
from headwater.store.outbox import OutboxRow
from headwater.telemetry.metrics import Metrics
from headwater.timer.announce import Announcer
from headwater.timer.backfills import go_on
from headwater.timer.endings import follow_ends
from headwater.timer.pauses import resume_due

logger = logging.getLogger("headwater.timer")
BATCH = 200
BATCH_BYTES = 16 * 1024 * 1024
ADMIT = 1000
GRACE_S = 2.0  # longer than publishing what was just admitted takes
OPEN_AT_MOST = timedelta(seconds=5)  # longer than a transaction that admits is open, but for rare ones
LOOK_AT_ALL_S = 60.0  # what is published and waits for a fetcher is looked through now and then only
_FULL_DELAY_S = 1.0


class Relay:
    """One round moves at most a batch of each kind that is owed; `work` tells whether there may be more.

    What waits for admission goes first: it is what somebody waits for.
    """

    def __init__(self, database: Database, bus: Bus, metrics: Metrics, grace_s: float = GRACE_S) -> None:
        self._database = database
        self._bus = bus
        self._metrics = metrics
        self._grace_s = grace_s
        self._published_until = EPOCH  # what was admitted before it is published
        self._all_looked_at = -math.inf  # by the loop's clock
        self.announcer = Announcer(database, bus)
        self.due_s: float | None = None  # from the last look until the next message of the outbox

    async def work(self) -> bool:
        """One round. True when a full batch was moved. Raises: Unavailable when database or broker is away."""
        owed = await self._look()
        self.due_s = owed["message_due_s"]
        taken = await self._runs(owed)
        is_full = self.due_s is not None and self.due_s <= 0 and await self._outbox()
        followed = await self._follow(owed)
        return is_full or taken >= ADMIT or followed > 0

    async def _look(self) -> Mapping[str, Any]:
        async with self._database.transaction() as connection:
            await schedules.by_index(connection)
            owed = await admission.owed(connection, self._grace_s, self._published_until)
        now_s = asyncio.get_running_loop().time()
        if now_s - self._all_looked_at >= LOOK_AT_ALL_S:
            self._all_looked_at = now_s
            self._published_until = EPOCH
        elif not owed["unpublished"]:
            self._published_until = max(self._published_until, owed["now"] - OPEN_AT_MOST)
        return owed

    async def _runs(self, owed: Mapping[str, Any]) -> int:
        """End what is over, then admit and publish what waits; gives how many runs the bus took."""
        if owed["superseding"]:
            async with self._database.transaction() as connection:
                await admission.supersede(connection)
        if owed["overdue"]:
            async with self._database.transaction() as connection:
                await admission.end_overdue(connection)
                await resume_due(connection)
        taken = await self._again() if owed["unpublished"] and not self.announcer.is_busy else 0
        if owed["waiting"]:
            async with self._database.transaction() as connection:
                await schedules.by_index(connection)
                admitted = await admission.admit(connection, ADMIT)
            taken += await self.announcer.announce(admitted)
        return taken

    async def _again(self) -> int:
        """Publish what was admitted and not published: after a crash, or since the queue was full."""
        async with self._database.transaction() as connection:
            await schedules.by_index(connection)
            rows = await runs.claim_unpublished(connection, ADMIT, self._grace_s, self._published_until)
            heard = await self.announcer.publish(rows)
            await runs.mark_published(connection, heard.taken, heard.since_s)
        heard.raise_fault()
        return len(heard.taken)

    async def _follow(self, owed: Mapping[str, Any]) -> int:
        """Follow what has ended, and go on with backfills; gives how much was done."""
        followed = 0
        if owed["ends"]:
            async with self._database.transaction() as connection:
                followed = await follow_ends(connection)
        if owed["backfills"]:
            async with self._database.transaction() as connection:
                followed += await go_on(connection)
        return followed

    async def _outbox(self) -> bool:
        """Whether there may be more."""
        async with self._database.transaction() as connection:
            rows = await outbox.claim(connection, BATCH, BATCH_BYTES)
            if not rows:
                return False
            results = await _publish_all(self._bus, [_message(row) for row in rows])
            sent = [row.id for row, fault in zip(rows, results, strict=True) if fault is None]
            await outbox.remove(connection, sent)
            for row, fault in zip(rows, results, strict=True):
                await _keep(connection, row, fault)
            self._metrics.relayed.inc(len(sent))
        _raise_unavailable(results)
        return len(rows) >= BATCH or sum(len(row.body) for row in rows) >= BATCH_BYTES


def _message(row: OutboxRow) -> Message:
    return Message(
        row.type, str(row.id), row.body, {"tenant": row.tenant, **row.headers}, exchange=row.exchange
    )


async def _publish_all(bus: Bus, messages: Sequence[Message]) -> list[BaseException | None]:
    """Publish all at once; the fault of each, None for what is safe."""
    return await asyncio.gather(*(bus.publish(message) for message in messages), return_exceptions=True)


def _raise_unavailable(results: Sequence[BaseException | None]) -> None:
    for fault in results:
        if fault is not None and not isinstance(fault, BusFull | ContractError):
            raise fault


async def _keep(connection: Any, row: OutboxRow, fault: BaseException | None) -> None:
    """A full queue lets its neighbours pass; what can never be published becomes a dead letter."""
    if isinstance(fault, BusFull):
        await outbox.delay(connection, row.id, _FULL_DELAY_S)
    elif isinstance(fault, ContractError) and not isinstance(fault, Unavailable):
        letter = DeadLetter(
            derive_key_id("dead", row.id),
            row.tenant,
            "outbox",
            row.type,
            str(row.id),
            str(fault),
            0,
            row.headers,
            row.body,
        )
        await dead_letters.insert(connection, letter)
        await outbox.remove(connection, [row.id])
