"""What becomes of a page that does not come: it waits, it ends its walk, or it ends the attempt of its run."""

import asyncio
import contextlib
import logging

from headwater.bus.port import MAX_ATTEMPTS
from headwater.contracts.messages import PageDue
from headwater.contracts.pagination import pages_of
from headwater.fetcher.announce import key_of
from headwater.fetcher.pace import Pace, Turn
from headwater.model.backoff import retry_delay_s
from headwater.model.errors import SourceError
from headwater.plugins.walk.onward import keeps_place
from headwater.plugins.walk.slices import WARNING_GAPS
from headwater.plugins.walk.token import is_slice
from headwater.store import completion, cursors, ledger, runs
from headwater.store.bell import Bell
from headwater.store.database import Database

logger = logging.getLogger("headwater.fetcher")
SLOWEST_BACK_OFF_S = 300.0
SETTLED_S = 120.0  # longer than a persister takes that has hundreds of tables to make at once
_LOOK_S = 0.05
_GIVEN_PERHAPS = frozenset(
    {"network", "timeout", "cut_body", "bad_http", "undecodable", "http_502", "http_504"}
)
_OF_ALL = frozenset({"unauthorized", "cursor_unusable", "bad_url"})  # faults that meet every slice alike


class Faults:
    """The ends of pages that bring nothing."""

    def __init__(self, database: Database, bell: Bell, pace: Pace) -> None:
        self._database = database
        self._bell = bell
        self._pace = pace

    async def end(self, due: PageDue, reason: str, warning: str) -> None:
        """The walk ends before this page."""
        async with self._database.transaction() as connection:
            resume = due.token if reason == "limit" else None
            await completion.end_walk(
                connection, key_of(due), due.tenant, reason, [warning], resume, is_slice=is_slice(due.token)
            )
        self._bell.ring()

    async def _leave_gap(self, turn: Turn, error: SourceError) -> bool:
        """End a slice of time that does not come through: others of its run go on. False when that cannot be.

        Where rows are added, those of its pages before must not come again: the next run goes on at this page.
        """
        due, destination = turn.due, turn.definition.stream.destination
        is_added = due.number > 1 and destination is not None and destination.mode == "append"
        if is_added and error.restart:
            return False
        logger.warning("run %s: a slice failed on page %d: %s", due.run_id, due.number, error.message)
        why = {
            "error": {
                "kind": error.kind,
                "message": error.message[:2000],
                "retryable": error.retryable or error.restart,
            },
            "from": due.token["place"]["from"],
        } | ({"token": due.token} if is_added else {})
        async with self._database.transaction() as connection:
            is_left = await completion.end_walk(
                connection, key_of(due), due.tenant, "error", [WARNING_GAPS], why, is_slice=True
            )
        self._bell.ring()
        return is_left

    async def after_fault(self, turn: Turn, error: SourceError, failures: int) -> None:
        """A wait that the API asked for costs no attempt; other faults do, and the last one ends the run. At once one
        does after which the API may have moved on to the page behind this one.
        """
        pagination = turn.definition.stream.pagination
        pages = pages_of(pagination)
        if keeps_place(pages) and turn.due.number > 1 and error.kind in _GIVEN_PERHAPS:
            why = "the API keeps the place, and may be behind this page: the walk begins anew with the next attempt"
            error = SourceError(error.kind, f"{error.message}; {why}", restart=True, sample=error.sample)
        if error.retryable and error.delay_s is not None:
            wait_s = max(error.delay_s, _back_off_s(turn.begun.refused_count))
            longest_s = turn.definition.stream.limits.request_seconds
            if (turn.begun.refused_s or 0.0) + wait_s <= longest_s:
                await self._put_off(turn, error.kind, wait_s)
                return
            why = f"{error.message}; this page may be put off for {longest_s} s (limits.request_seconds)"
            await self._settled_before(turn.due)
            await self.fail(turn.due, error.kind, why, retryable=True)
            return
        waited_s = sum(retry_delay_s(number) for number in range(1, failures + 2))
        is_in_time = waited_s <= turn.definition.stream.limits.request_seconds
        may_wait = error.retryable and failures + 1 < MAX_ATTEMPTS and is_in_time
        if may_wait and not await self._is_for_the_run(turn.due):
            due, wait_s = turn.due, retry_delay_s(failures + 1)
            async with self._database.connection() as connection:
                await runs.note_fault(connection, due.run_id, due.attempt, wait_s, error.kind, error.message)
            raise error
        if is_slice(turn.due.token) and error.kind not in _OF_ALL and await self._leave_gap(turn, error):
            return
        await self._settled_before(turn.due)
        retryable = error.retryable or error.restart
        await self.fail(turn.due, error.kind, error.message, retryable=retryable, from_start=error.restart)

    async def _is_for_the_run(self, due: PageDue) -> bool:
        """Whether the run's own retries say when it is tried again: beginning anew costs nothing on its first page."""
        if due.walk or due.number > 1:
            return False
        async with self._database.connection() as connection:
            return await runs.has_retries(connection, due.run_id)

    async def _settled_before(self, due: PageDue) -> None:
        """Wait for the pages before one that ends its run: what a run leaves is no matter of chance then."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLED_S):
                while await self._is_any_open(due):  # noqa: ASYNC110 - another process's commit is waited for
                    await asyncio.sleep(_LOOK_S)

    async def _is_any_open(self, due: PageDue) -> bool:
        async with self._database.connection() as connection:
            return await ledger.is_any_open_before(connection, key_of(due))

    async def _put_off(self, turn: Turn, kind: str, wait_s: float) -> None:
        """The API wants this page, and where it means a rate limit every page of the source, later."""
        if kind == "rate_limited":
            await self._pace.be_quiet(turn.source, wait_s)
        await self._pace.put_off(turn, wait_s, kind, is_refused=True)

    async def fail(
        self, due: PageDue, kind: str, message: str, *, retryable: bool, from_start: bool = False
    ) -> None:
        """End the attempt. `from_start`: the next walk must not go on where an earlier one was cut."""
        logger.warning("run %s failed on page %d: %s: %s", due.run_id, due.number, kind, message)
        async with self._database.transaction() as connection:
            if from_start and (run := await runs.lock(connection, due.run_id)) is not None:
                await cursors.forget_resume(connection, (run["tenant"], run["source"], run["stream"]))
            await runs.fail_attempt(connection, due.run_id, due.attempt, kind, message, retryable=retryable)
        self._bell.ring()


def _back_off_s(refused_count: int) -> float:
    """What is waited at least: an API that puts the same page off again and again is believed less and less."""
    return min(float(2 ** max(refused_count - 2, 0)), SLOWEST_BACK_OFF_S) if refused_count > 2 else 0.0
