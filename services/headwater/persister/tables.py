"""What a run's end does to its table: the exchange of a replacement, the deletion of what a snapshot did not bring, and
the tables of attempts that ended otherwise, which a loop removes.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from headwater.contracts.source import StreamDefinition
from headwater.model.errors import DestinationError, HeadwaterError, Later, Reject
from headwater.persister.definitions import Definitions
from headwater.persister.far import FarDatabases, FarTable
from headwater.persister.loading import table_of_run
from headwater.persister.rejections import WITHOUT_KEY
from headwater.plugins.destinations import Closed, Mode, PostgresDestination
from headwater.plugins.destinations.once import close_once, make_notes
from headwater.plugins.destinations.removal import HELD_BACK
from headwater.plugins.destinations.role import as_loader
from headwater.plugins.walk.skipping import WARNING_PAGES, WARNING_REFUSED
from headwater.store import staging
from headwater.store.database import Database
from headwater.store.staging import Manner

logger = logging.getLogger("headwater.persister")
REPLACEMENT_HELD_BACK = "replacement_held_back"
LOOK_S = 5.0  # between two looks for what ended attempts left
_AT_ONCE = 20
_PASSED_OVER = frozenset({WARNING_REFUSED, WARNING_PAGES})  # what did not come may still be there
_HOLDING = _PASSED_OVER | {WITHOUT_KEY}


class RunTables:
    """The tables of runs at their end."""

    def __init__(
        self,
        database: Database,
        destination: PostgresDestination,
        definitions: Definitions,
        databases: FarDatabases,
    ) -> None:
        self._database = database
        self._destination = destination
        self._databases = databases
        self._definitions = definitions

    async def close(
        self,
        connection: Any,
        run: Mapping[str, Any],
        *,
        saw_all: bool,
    ) -> Closed:
        """Bring the table to what the run found, in the transaction that ends it; nothing for most modes.

        A walk that was cut, that went on where another one was cut, or that had a window did not see everything: then
        nothing is replaced and nothing deleted (`saw_all`); neither where pages or parents were passed over that are
        not said to be gone. `run` is its row.

        Raises: Later, Unavailable, DestinationError.
        """
        definition = await self._definitions.get(run["stream_version"])
        table = table_of_run(definition, Manner.of(_named(run)))
        if table is None or not table.is_by_run:
            return Closed()
        if table.mode is Mode.REPLACE:
            if not saw_all or _PASSED_OVER & {*run["warnings"]}:
                return Closed(warnings=frozenset({REPLACEMENT_HELD_BACK}))
        elif not saw_all or _HOLDING & {*run["warnings"]}:
            return Closed(warnings=frozenset({HELD_BACK}))
        of = (run["id"], run["attempt"])
        place = await self._databases.table_of(definition, table)
        if place is not None:
            far = await self._databases.at(place)
            taken = sum(run[name] for name in ("inserted", "updated", "unchanged"))
            async with far.transaction() as there:
                await make_notes(there, place.table.schema)
                closed = await close_once(there, far.destination, place.table, *of, run["started_at"], taken)
        else:
            async with as_loader(connection):
                closed = await self._destination.close_run(connection, table, *of, run["started_at"])
        await staging.forget(connection, run["id"], run["attempt"])
        return closed

    async def clean_up(self) -> int:
        """Drop what ended attempts left, each in a transaction of its own; gives how many there were."""
        count = 0
        while count < _AT_ONCE:
            async with self._database.transaction() as connection:
                left = await staging.take_abandoned(connection, 1)
                if not left:
                    break
                await self._abandon(connection, left[0])
            count += 1
        return count

    async def _abandon(self, connection: Any, left: Mapping[str, Any]) -> None:
        definition = await self._definition(left)
        table = None if definition is None else table_of_run(definition, Manner.of(left))
        place = None
        if definition is not None and table is not None:
            place = await self._databases.table_of(definition, table)
        if place is not None:
            await self._abandon_far(place, left["run_id"], left["attempt"])
        elif table is not None:
            async with as_loader(connection):
                await self._destination.abandon_run(connection, table, left["run_id"], left["attempt"])
        await staging.forget(connection, left["run_id"], left["attempt"])

    async def _abandon_far(self, place: FarTable, run_id: UUID, attempt: int) -> None:
        """Once: those whose turn comes behind this one do not wait for somebody else's database."""
        try:
            far = await self._databases.at(place)
            async with far.transaction() as there:
                await far.destination.abandon_run(there, place.table, run_id, attempt)
        except (DestinationError, Later) as error:
            helper = place.table.for_run(run_id, attempt)
            logger.warning("table %s stays in another database: %s", helper.seen or helper.name, error)

    async def _definition(self, left: Mapping[str, Any]) -> StreamDefinition | None:
        try:
            return await self._definitions.get(left["stream_version"])
        except Reject:
            return None

    async def keep_clean(self, stop: asyncio.Event) -> None:
        """Clean up until `stop` is set. What cannot be dropped now is tried again at the next look."""
        while not stop.is_set():
            try:
                await self.clean_up()
            except HeadwaterError as error:
                logger.debug("tables of ended runs stay for now: %s", error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await stop.wait()


def _named(run: Mapping[str, Any]) -> dict[str, Any]:
    return {"mode": run["mode"], "force": run["force"], "has_cursor": run["cursor_from"] is not None}
