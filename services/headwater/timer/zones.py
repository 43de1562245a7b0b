"""New rules of time zones: due times that were computed by older ones are computed anew, and the difference told."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from headwater.model.errors import ConfigError
from headwater.model.schedule import forget_zones, next_after
from headwater.settings.zones import zone_rules_version
from headwater.store import schedules
from headwater.store.database import Database
from headwater.timer.planning import forget_plans, plan_of

logger = logging.getLogger("headwater.timer")
LOOK_EVERY_S = 600.0
BATCH = 500
TOLD = 20  # differences told one by one
_MEMORY = "zone_rules"


class Zones:
    """Looks now and then whether the machine has newer rules than those that due times were computed by."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: str | None = None

    async def look(self) -> float:
        """One look; gives the seconds until the next one."""
        version = await asyncio.to_thread(zone_rules_version)
        if self._known is not None and version != self._known:
            forget_zones()
            forget_plans()
        self._known = version
        if version is not None:
            await self._compare(version)
        return LOOK_EVERY_S

    async def _compare(self, version: str) -> None:
        async with self._database.transaction() as connection:
            if not await schedules.lock_zones(connection):
                return
            before = await schedules.recall(connection, _MEMORY)
            if before is None:
                await schedules.remember(connection, _MEMORY, version)
            if before is None or version == before:
                return
            if version < before:
                logger.warning(
                    "this machine's time zones (%s) are older than those in use (%s): update tzdata",
                    version,
                    before,
                )
                return
            changed = await self._again(connection)
            await schedules.remember(connection, _MEMORY, version)
        logger.warning(
            "the rules of time zones are new (%s, before %s): %d schedules are due at other times",
            version,
            before,
            changed,
        )

    async def _again(self, connection: Any) -> int:
        """Compute the next due times anew; gives how many are others."""
        changed, after = 0, ("", "")
        while rows := await schedules.zoned(connection, after, BATCH):
            changes = await asyncio.to_thread(differences, rows)
            for tenant, name, at in changes[: max(TOLD - changed, 0)]:
                old = next(row["next_at"] for row in rows if (row["tenant"], row["name"]) == (tenant, name))
                logger.warning("schedule %s/%s: due at %s instead of %s", tenant, name, at, old)
            await schedules.set_next(connection, changes)
            changed += len(changes)
            after = (rows[-1]["tenant"], rows[-1]["name"])
        return changed


def differences(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, datetime | None]]:
    """Those of the schedules (tenant, name, next due time) that are due at another time than is stored."""
    found = []
    for row in rows:
        try:
            plan = plan_of(row["shape"], row["calendars"], row["tenant"], row["name"])
            at = next_after(plan.timetable, row["now"])
        except (ConfigError, ValueError, ArithmeticError):
            continue  # when it is due its state says what is wrong
        if at != row["next_at"]:
            found.append((row["tenant"], row["name"], at))
    return found
