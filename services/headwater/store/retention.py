"""History and its end: whole days go by dropping partitions once no tenant keeps them, the rest by bounded deletes.

A day in which something is not done with (a run, a notification that waits, a delivery that is not settled) stays.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from headwater.model.errors import Unavailable
from headwater.store import endpoints, maintenance
from headwater.store.database import Database
from headwater.store.endpoints import DEFAULT_RETENTION_DAYS
from headwater.store.queries import queries

logger = logging.getLogger("headwater.store")
_Q = queries("retention")
AT_ONCE = 500  # rows of one transaction
MOST = 200  # transactions of one kind and tenant in one look; the next look goes on
# children before those they belong to, so that a day is never without its runs but with their pages
RUN_TABLES = ("rejected_record", "page", "walk", "run")
NOTIFICATION_TABLES = ("notification_attempt", "notification")
DELIVERY_TABLES = ("delivery_duplicate", "delivery")
_BY_ROWS = (("dead_letters", "dead_letter"), ("audit", "audit"))
_OPEN_IN = {"run": RUN_TABLES, "notification": NOTIFICATION_TABLES, "delivery": DELIVERY_TABLES}


@dataclass(frozen=True, slots=True)
class Keep:
    """Days that are kept by tenants that say nothing else."""

    runs_days: int = 90
    notifications_days: int = 90
    dead_letters_days: int = 90
    audit_days: int = 365


KEEP = Keep()


@dataclass(frozen=True, slots=True)
class Removal:
    """What goes, or went: a day's partition of `table`, or rows of a tenant. `count` is in rows.

    `older_than_days` is the limit that it is beyond.
    """

    what: str  # partition, rows
    table: str
    count: int
    older_than_days: int
    tenant: str | None = None
    endpoint: str | None = None
    day: date | None = None


@dataclass(frozen=True, slots=True)
class _Limits:
    """The longest that anybody keeps each kind, and what each tenant keeps."""

    longest: Mapping[str, int]
    tenants: Sequence[Mapping[str, Any]]


async def set_own(connection: Any, tenant: str, own: Mapping[str, int]) -> bool:
    """The days that a tenant says itself, in place of those before; False when there is no such tenant."""
    return await connection.fetchval(_Q["set_own"], tenant, dict(own)) is not None


async def _limits(connection: Any, keep: Keep) -> _Limits:
    tenants = await connection.fetch(
        _Q["limits"], keep.runs_days, keep.notifications_days, keep.dead_letters_days, keep.audit_days
    )
    longest = {
        "run": max([each["runs_days"] for each in tenants], default=keep.runs_days),
        "notification": max(
            [each["notifications_days"] for each in tenants], default=keep.notifications_days
        ),
        "delivery": await endpoints.longest_retention_days(connection),
    }
    return _Limits(longest, tenants)


async def _old_days(connection: Any, kind: str, days: int) -> list[tuple[str, date]]:
    """Partitions (table, day) of which nobody keeps anything and nothing is under way, oldest day first."""
    found: dict[date, list[str]] = {}
    for table in _OPEN_IN[kind]:
        for row in await connection.fetch(_Q["old_days"], table, days):
            found.setdefault(row["day"], []).append(table)
    gone = []
    for day in sorted(found):
        if not (await connection.fetchrow(_Q["is_open"], *_bounds(day)))[kind]:
            gone += [(table, day) for table in found[day]]
    return gone


def _bounds(day: date) -> tuple[datetime, datetime]:
    start = datetime.combine(day, time(), UTC)
    return start, start + timedelta(days=1)


async def plan(connection: Any, keep: Keep) -> list[Removal]:
    """What `clean` would remove now; nothing is changed."""
    limits = await _limits(connection, keep)
    found = []
    for kind, days in limits.longest.items():
        for table, day in await _old_days(connection, kind, days):
            count = await connection.fetchval(_Q["rows_of_day"], table, *_bounds(day))
            found.append(Removal("partition", table, int(count), days, day=day))
    for tenant in limits.tenants:
        for name, table in (("runs", "run"), ("notifications", "notification")):
            days = tenant[f"{name}_days"]
            count = await connection.fetchval(
                _Q[f"count_{name}"], tenant["tenant"], days, limits.longest[table]
            )
            found.append(Removal("rows", table, int(count), days, tenant["tenant"]))
        for name, table in _BY_ROWS:
            days = tenant[f"{name}_days"]
            count = await connection.fetchval(_Q[f"count_{name}"], tenant["tenant"], days)
            found.append(Removal("rows", table, int(count), days, tenant["tenant"]))
    rows = await connection.fetch(_Q["count_deliveries"], DEFAULT_RETENTION_DAYS, limits.longest["delivery"])
    found += [
        Removal("rows", "delivery", row["delivery_count"], row["days"], row["tenant"], row["endpoint"])
        for row in rows
    ]
    return [each for each in found if each.count or each.what == "partition"]


async def clean(database: Database, keep: Keep) -> list[Removal]:
    """Remove what nobody keeps any more, in many small transactions; gives what went.

    A partition that is in use for longer than a second stays until the next look.
    Raises: Unavailable.
    """
    async with database.transaction() as connection:
        await maintenance.make_partitions(connection)
        limits = await _limits(connection, keep)
        old = [
            (table, day, days)
            for kind, days in limits.longest.items()
            for table, day in await _old_days(connection, kind, days)
        ]
    gone = []
    for table, day, days in old:
        removed = await _drop(database, table, day, days)
        if removed is not None:
            gone.append(removed)
    for tenant in limits.tenants:
        for name, table in (
            ("runs", "run"),
            ("notifications", "notification"),
            *_BY_ROWS,
        ):
            days = tenant[f"{name}_days"]
            count = await _forget(database, f"forget_{name}", tenant["tenant"], days)
            if count:
                gone.append(Removal("rows", table, count, days, tenant["tenant"]))
    count = 0
    for _ in range(MOST):  # a busy endpoint may have more than one transaction should remove
        async with database.transaction() as connection:
            removed_now = await endpoints.forget_old_deliveries(connection)
        count += removed_now
        if not removed_now:
            break
    if count:
        gone.append(Removal("rows", "delivery", count, 0))
    return gone


async def _drop(database: Database, table: str, day: date, days: int) -> Removal | None:
    try:
        async with database.transaction() as connection:
            count = await connection.fetchval(_Q["rows_of_day"], table, *_bounds(day))
            if await connection.fetchval(_Q["drop"], table, day):
                return Removal("partition", table, int(count), days, day=day)
    except Unavailable as error:
        logger.warning("the partition of %s of %s stays until the next look: %s", table, day, error)
    return None


async def _forget(database: Database, query: str, tenant: str, days: int) -> int:
    gone = 0
    for _ in range(MOST):
        async with database.transaction() as connection:
            count = int(await connection.fetchval(_Q[query], tenant, days, AT_ONCE))
        gone += count
        if count < AT_ONCE:
            break
    return gone
