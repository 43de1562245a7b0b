"""The relay: publishes with confirms what commits owe, then removes it (DESIGN.md §2.1, §2.8).

A crash between publishing and removing publishes again under the same id; handlers bear that.
"""

import asyncio
import logging
import math
from collections.abc import Sequence
from typing import Any

from headwater.bus.port import Bus, Message
from headwater.bus.wire import to_message
from headwater.contracts.messages import RunDue
from headwater.model.errors import BusFull, ContractError, Unavailable
from headwater.model.ids import derive_id, derive_key_id, time_of
from headwater.store import admission, dead_letters, outbox, runs, schedules
from headwater.store.database import Database
from headwater.store.dead_letters import DeadLetter
from headwater.store.outbox import OutboxRow
from headwater.telemetry.metrics import Metrics
from headwater.timer.backfills import go_on
from headwater.timer.endings import follow_ends
from headwater.timer.pauses import resume_due

logger = logging.getLogger("headwater.timer")
BATCH = 200
BATCH_BYTES = 16 * 1024 * 1024
ADMIT = 1000
_FULL_DELAY_S = 1.0
DEADLINES_EVERY_S = 1.0


class Relay:
    """One round moves at most a batch of each kind; `work` tells whether there may be more."""

    def __init__(self, database: Database, bus: Bus, metrics: Metrics) -> None:
        self._database = database
        self._bus = bus
        self._metrics = metrics
        self._looked_at = -math.inf  # for deadlines, by the loop's clock

    async def work(self) -> bool:
        """One round. True when a full batch was moved. Raises: Unavailable when database or broker is away."""
        is_full = await self._outbox()
        await self._end()
        async with self._database.transaction() as connection:
            followed = await follow_ends(connection)
        async with self._database.transaction() as connection:
            followed += await go_on(connection)
        async with self._database.transaction() as connection:
            await schedules.by_index(connection)
            await admission.admit(connection, ADMIT)
        published = await self._runs()
        return is_full or published >= ADMIT or followed > 0

    async def _end(self) -> None:
        """End what others take the place of, what is overdue, and pauses whose time is up."""
        async with self._database.transaction() as connection:
            await admission.supersede(connection)
        now_s = asyncio.get_running_loop().time()
        if now_s - self._looked_at < DEADLINES_EVERY_S:
            return
        self._looked_at = now_s
        async with self._database.transaction() as connection:
            await admission.end_overdue(connection)
            await resume_due(connection)

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

    async def _runs(self) -> int:
        async with self._database.transaction() as connection:
            await schedules.by_index(connection)
            rows = await runs.claim_unpublished(connection, ADMIT)
            if not rows:
                return 0
            messages = [
                to_message(
                    RunDue(
                        run_id=row["id"],
                        attempt=row["attempt"],
                        tenant=row["tenant"],
                        stream_version=row["stream_version"],
                    ),
                    derive_id(time_of(row["id"]), "run.due", row["id"], row["attempt"]),
                    row["tenant"],
                )
                for row in rows
            ]
            results = await _publish_all(self._bus, messages)
            sent = [row["id"] for row, fault in zip(rows, results, strict=True) if fault is None]
            await runs.mark_published(connection, sent)
        _raise_unavailable(results)
        return len(rows)


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
