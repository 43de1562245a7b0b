"""Pages that are loaded one after the other: where what stands in a table does not say which of two records is newer (a
deletion leaves no trace for an older record that comes after it, and no version goes before one that is there), and
where slices of time share a limit, since a page cannot be left out when those behind it are in their table.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence

from headwater.contracts.walking import Limits
from headwater.model.errors import Later
from headwater.persister.bodies import Work
from headwater.plugins.destinations import Mode, Table
from headwater.plugins.walk.token import is_slice
from headwater.store import ledger
from headwater.store.database import Database

LOOK_S = 0.05
WAIT_S = 2.0  # for the pages before, which others have in hand most often
LATER_S = 1.0


def keeps_order(table: Table | None) -> bool:
    """Whether the pages of a walk are to be loaded into the table in their order."""
    return table is not None and (table.deleted_field is not None or table.mode is Mode.SCD2)


def _shares_limit(item: Work) -> bool:
    """Whether the page is one of a slice of time whose run may end before all its slices did."""
    _, batch, definition = item
    return is_slice(batch.token) and definition.stream.limits != Limits()


async def in_turn(
    database: Database, table: Table | None, work: Sequence[Work]
) -> AsyncIterator[Sequence[Work]]:
    """The work in parts, each of which may be loaded once those before it are. Raises: Later when pages before them are
    long in coming.
    """
    if not keeps_order(table) and not any(_shares_limit(item) for item in work):
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
