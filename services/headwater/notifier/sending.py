"""Sends what is due: claimed for a while, tried, and settled; a worker that dies leaves it to the next one.

A target that is slow or down holds up nobody: each has a few places of its own.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError

from headwater.contracts.codec import dumps
from headwater.contracts.notifications import Target
from headwater.model.clock import Clock
from headwater.model.errors import SecretError, Unavailable
from headwater.plugins.notifiers.base import Letter, Means, Outcome, Result
from headwater.plugins.notifiers.outlets import send
from headwater.plugins.secret_text import names_in
from headwater.store import config, notifications
from headwater.store.database import Database
from headwater.store.keyring import Keyring
from headwater.store.notifications import Attempt
from headwater.telemetry.metrics import Metrics

logger = logging.getLogger("headwater.notifier")
# Standard Webhooks, "Reliability": seconds before each attempt
RETRY_S = (0.0, 5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 36_000.0)
LONGEST_WAIT_S = 86_400.0  # a Retry-After beyond it is no wish that we follow
PLACES = 16
PER_TARGET = 4
LEASE_S = 120.0  # > the longest time-out of a target, with its look-ups
FINISH_S = 25.0  # a service ends within 30 s
_AGAIN_S = 5.0
_TARGET: TypeAdapter[Any] = TypeAdapter(Target)


def next_state(result: Result, try_count: int) -> tuple[str, float]:
    """The state after an attempt, and for `waiting` the seconds until the next one. `try_count` begins with 1."""
    if result.outcome is Outcome.SENT:
        return "sent", 0.0
    if result.outcome is Outcome.GONE or result.is_final or try_count >= len(RETRY_S):
        return "dead", 0.0
    return "waiting", max(RETRY_S[try_count], min(result.wait_s or 0.0, LONGEST_WAIT_S))


class Sending:
    """The notifications that are on their way from this process."""

    def __init__(
        self, database: Database, keyring: Keyring, means: Means, clock: Clock, metrics: Metrics
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._means = means
        self._clock = clock
        self._metrics = metrics
        self._busy: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self.freed = asyncio.Event()

    async def start(self, group: asyncio.TaskGroup) -> int:
        """Begin to send what is due and has a place; gives how many. Raises: Unavailable."""
        room = PLACES - len(self._tasks)
        if room <= 0:
            return 0
        full = [target for target, count in self._busy.items() if count >= PER_TARGET]
        async with self._database.transaction() as connection:
            rows = await notifications.claim(connection, room, PER_TARGET, full, LEASE_S)
        for row in rows:
            self._busy[_place(row)] += 1
            task = group.create_task(self._deliver(row), name="notifier.deliver")
            self._tasks.add(task)
            task.add_done_callback(self._done)
        return len(rows)

    async def finish(self) -> None:
        """Wait for what is under way, and cut what takes too long: its lease ends, and somebody sends it again."""
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=FINISH_S)
        for task in tuple(self._tasks):
            task.cancel()

    async def _deliver(self, row: Mapping[str, Any]) -> None:
        try:
            await self._attempt(row)
        except Unavailable as error:
            logger.warning("notification %s waits: %s", row["id"], error)
            await self._give_back(row)
        except Exception:
            logger.exception("notification %s could not be sent; it is tried again", row["id"])
        finally:
            self._busy[_place(row)] -= 1
            if self._busy[_place(row)] <= 0:
                del self._busy[_place(row)]

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self.freed.set()

    async def _attempt(self, row: Mapping[str, Any]) -> None:
        begun_at, began = self._clock.now(), self._clock.monotonic()
        result = await self._send(row)
        duration_s = self._clock.monotonic() - began
        await self._settle(row, result, begun_at, duration_s)

    async def _send(self, row: Mapping[str, Any]) -> Result:
        tenant = row["tenant"]
        try:
            target = _TARGET.validate_python(row["definition"])
            names = names_in(dumps(row["definition"]).decode())
            async with self._database.connection() as connection:
                found = await config.get_secrets(
                    connection, self._keyring, [(tenant, name) for name in names]
                )
        except SecretError as error:
            return Result(Outcome.FAILED, error=f"secret: {error}")
        except ValidationError:
            return Result(Outcome.FAILED, error="target: its definition cannot be read by this release")
        secrets = {name: secret for (_, name), secret in found.items()}
        return await send(target, letter_of(row), replace(self._means, secrets=secrets))

    async def _settle(
        self, row: Mapping[str, Any], result: Result, begun_at: datetime, duration_s: float
    ) -> None:
        state, delay_s = next_state(result, row["try_count"])
        attempt = Attempt(
            begun_at, round(duration_s, 4), result.outcome.value, result.status, result.error, result.answer
        )
        async with self._database.transaction() as connection:
            await notifications.settle(connection, row, attempt, state, delay_s)
            if result.outcome is Outcome.GONE:
                reason = result.error or "the target is gone"
                await notifications.stop_target(connection, row["tenant"], row["target"], reason)
        self._metrics.notifications.labels(row["kind"], result.outcome.value).inc()
        if state == "dead":
            logger.warning("notification %s to %s was given up: %s", row["id"], row["address"], result.error)

    async def _give_back(self, row: Mapping[str, Any]) -> None:
        try:
            async with self._database.transaction() as connection:
                await notifications.give_back(connection, row, _AGAIN_S)
        except Unavailable:
            return  # its lease ends by itself


def _place(row: Mapping[str, Any]) -> str:
    return f"{row['tenant']}/{row['target']}"


def letter_of(row: Mapping[str, Any]) -> Letter:
    """The letter of a notification's row: the same for every attempt."""
    content = row["content"]
    return Letter(
        id=str(row["id"]),
        at=row["created_at"],
        tenant=row["tenant"],
        event=row["event"],
        notification=row["rule"] or f"schedule {row['schedule']}",
        subject=content["subject"],
        text=content["text"],
        facts=content["facts"],
    )
