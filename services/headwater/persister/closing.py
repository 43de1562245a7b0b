"""`run.close`: one transaction that checks the chain of pages, moves the cursor and gives the final state."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from headwater.bus.port import Message
from headwater.bus.wire import from_message
from headwater.contracts.messages import RunClose
from headwater.model.errors import DestinationError
from headwater.model.run import RunState
from headwater.persister.definitions import Definitions
from headwater.persister.progress import end_of, move_cursor, move_parents
from headwater.persister.slicing import move_past_slices
from headwater.persister.tables import REPLACEMENT_HELD_BACK, RunTables
from headwater.plugins.destinations.errors import AwayError
from headwater.plugins.walk.judge import WARNING_UNCHANGED
from headwater.store import completion, ledger, runs, schedules
from headwater.store.bell import Bell
from headwater.store.database import Database
from headwater.store.runs import Outcome

logger = logging.getLogger("headwater.persister")


class RunCloser:
    """The handler of `run.close`. Again, or too early: nothing happens."""

    def __init__(self, database: Database, definitions: Definitions, tables: RunTables, bell: Bell) -> None:
        self._database = database
        self._tables = tables
        self._definitions = definitions
        self._bell = bell

    async def handle(self, messages: Sequence[Message]) -> None:
        for message in messages:
            close = from_message(RunClose, message)
            try:
                await self._close(close)
            except DestinationError as error:
                await self._fail(close, error)
            except AwayError as error:
                if await self._may_wait(close, error):
                    raise
                why = f"{error} (and limits.max_seconds is over)"
                await self._fail(close, DestinationError(why))

    async def _fail(self, close: RunClose, error: DestinationError) -> None:
        """What the run brought cannot be put into its table."""
        logger.warning("run %s cannot be closed: %s", close.run_id, error)
        async with self._database.transaction() as connection:
            await runs.fail_attempt(
                connection, close.run_id, close.attempt, "destination", str(error), retryable=False
            )
        self._bell.ring()

    async def _may_wait(self, close: RunClose, error: AwayError) -> bool:
        """Whether the run may still wait for the database of its table; people see that it does."""
        async with self._database.transaction() as connection:
            run = await runs.lock(connection, close.run_id)
            if run is None or run["state"] != RunState.RUNNING or run["attempt"] != close.attempt:
                return True
            definition = await self._definitions.get(run["stream_version"])
            passed = await schedules.now(connection) - run["started_at"]
            if passed.total_seconds() > definition.stream.limits.max_seconds:
                return False
            await runs.park(connection, close.run_id, error.delay_s, str(error)[:500])
        return True

    async def _close(self, close: RunClose) -> None:
        async with self._database.transaction() as connection:
            run = await runs.lock(connection, close.run_id)
            if run is None or run["state"] != RunState.RUNNING or run["attempt"] != close.attempt:
                return
            if not await completion.is_complete(connection, close.run_id, close.attempt):
                return
            await self._finish(connection, run)
        self._bell.ring()

    async def _finish(self, connection: Any, run: Mapping[str, Any]) -> None:
        broken = await completion.chain_break(connection, run["id"], run["attempt"])
        if broken is not None:
            why = f"page {broken[1]} is not the one that page {broken[1] - 1} announced"
            await runs.fail_attempt(
                connection, run["id"], run["attempt"], "page_changed", why, retryable=True
            )
            return
        definition = await self._definitions.get(run["stream_version"])
        end = await end_of(connection, definition, run)
        is_complete, fault = end.is_complete, None if end.slices is None else end.slices.fault
        if end.slices is not None and fault is not None and end.slices.has_failed:
            await runs.fail_attempt(
                connection, run["id"], run["attempt"], fault.kind, fault.message, retryable=fault.retryable
            )
            return
        closed = await self._tables.close(connection, run, saw_all=end.saw_all)
        is_dropped = REPLACEMENT_HELD_BACK in closed.warnings  # what it read is in no table
        is_complete = is_complete and (not is_dropped or WARNING_UNCHANGED in run["warnings"])
        if is_dropped:
            moved: frozenset[str] = frozenset()
        elif definition.lineage:
            moved = await move_parents(connection, definition, run)
        elif end.slices is not None:
            moved = await move_past_slices(connection, definition, run, end.slices)
        else:
            moved = await move_cursor(connection, definition, run, end.walks, is_complete=is_complete)
        await ledger.clear_residue(connection, run["id"])
        state = RunState.SUCCEEDED if is_complete else RunState.PARTIAL
        warnings = sorted({*closed.warnings, *end.warnings, *moved})
        outcome = Outcome(
            state,
            end.reason.value,
            warnings,
            error_kind=None if fault is None else fault.kind,
            error_message=None if end.slices is None else end.slices.told,
            deleted=closed.deleted,
        )
        await runs.finish(connection, run["id"], outcome)
