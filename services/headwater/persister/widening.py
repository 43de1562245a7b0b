"""Tables that people ask to be widened (`streams widen`): what loads put aside, since it was too dear or not possible
in their way, finds its columns. However long that takes, one persister does it, one table after the other.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from headwater.model.errors import DestinationError, HeadwaterError, Later, Reject
from headwater.persister.definitions import Definitions
from headwater.persister.far import FarDatabases
from headwater.persister.loading import table_of
from headwater.plugins.destinations import Mode, PostgresDestination, Table
from headwater.plugins.destinations.role import as_loader
from headwater.plugins.mapping import kinds_of
from headwater.store import widenings
from headwater.store.database import Database

logger = logging.getLogger("headwater.persister")
LOOK_S = 1.0


class Widenings:
    """What is asked for is a row, which is locked while it is done and says what became of it."""

    def __init__(
        self,
        database: Database,
        destination: PostgresDestination,
        definitions: Definitions,
        databases: FarDatabases,
    ) -> None:
        self._database = database
        self._destination = destination
        self._definitions = definitions
        self._databases = databases

    async def look(self) -> bool:
        """Do one of those that wait. False where there is none, or where it has to wait for longer.

        Raises: Unavailable.
        """
        async with self._database.transaction() as connection:
            asked = await widenings.take(connection)
            if asked is None:
                return False
            try:
                async with connection.transaction():
                    moved = await self._widen(connection, asked)
            except (DestinationError, Reject) as error:
                await widenings.end(connection, asked, "failed", reason=str(error))
            except Later as error:
                await widenings.end(connection, asked, "waiting", reason=str(error))
                return False
            else:
                await widenings.end(connection, asked, "done", moved=moved)
        return True

    async def _widen(self, connection: Any, asked: Mapping[str, Any]) -> int:
        """Gives how many rows had values aside."""
        definition = await self._definitions.get(asked["version_id"])
        destination = definition.stream.destination
        if destination is None or destination.table is None:
            raise DestinationError("the stream loads no table any more")
        table = _as_it_is(table_of(definition.tenant, destination, kinds_of(definition.stream.fields)))
        place = await self._databases.table_of(definition, table)
        if place is None:
            async with as_loader(connection):
                return await self._destination.widen(connection, table)
        far = await self._databases.at(place)
        async with far.transaction() as there:
            return await far.destination.widen(there, place.table)

    async def keep_looking(self, stop: asyncio.Event) -> None:
        """Do what is asked for until `stop` is set."""
        while not stop.is_set():
            try:
                while not stop.is_set() and await self.look():
                    pass
            except HeadwaterError as error:
                logger.debug("tables that are to be widened wait: %s", error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await stop.wait()


def _as_it_is(table: Table) -> Table:
    """A table that runs replace, as the rows stand in it."""
    if table.mode is not Mode.REPLACE:
        return table
    return replace(table, mode=Mode.MERGE if table.key else Mode.APPEND)
