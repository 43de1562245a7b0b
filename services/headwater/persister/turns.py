"""Pages that are loaded one after the other, where what stands in a table does not say which of two records is newer: a
deletion leaves no trace for an older record that comes after it, and no version goes before one that is there.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence

from headwater.model.errors import Later
from headwater.persister.bodies import Work
from headwater.plugins.destinations import Mode, Table
from headwater.store import ledger
from headwater.store.database import Database

LOOK_S = 0.05
WAIT_S = 2.0  # for the pages before, which others have in hand most often
LATER_S = 1.0


def keeps_order(table: Table | None) -> bool:
    """Whether the pages of a walk are to be loaded into the table in their order."""
    return table is not None and (table.deleted_field is not None or table.mode is Mode.SCD2)


async def in_turn(
    database: Database, table: Table | None, work: Sequence[Work]
) -> AsyncIterator[Sequence[Work]]:
    """The work in parts, each of which may be loaded once those before it are. Raises: Later when pages before them are
    long in coming.
    """
    if not keeps_order(table):
        yield work
        return
    loop = asyncio.get_running_loop()
    left, end = sorted(work, key=lambda item: item[0]), loop.time() + WAIT_S
    while left:
        async with database.connection() as connection:
            behind = await ledger.behind(connection, [key for key, _, _ in left])
        now: list[Work] = []
        ready = set()
        for item in left:
            if item[0] not in behind or item[0].before in ready:
                ready.add(item[0])
                now.append(item)
        if now:
            yield now
            left = [item for item in left if item[0] not in ready]
        elif loop.time() > end:
            raise Later(LATER_S, "pages before these are not loaded yet")
        else:
            await asyncio.sleep(LOOK_S)
