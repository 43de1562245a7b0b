"""The reaper: what was missed is announced again, what can never go on is ended (DESIGN.md §2.4)."""

import logging
from collections.abc import Mapping
from typing import Any

from headwater.contracts.codec import dumps
from headwater.contracts.messages import PageDue
from headwater.model.ids import derive_id, time_of
from headwater.model.run import RunState
from headwater.store import completion, outbox, runs
from headwater.store.outbox import OutboxRow
from headwater.store.runs import Outcome

logger = logging.getLogger("headwater.timer")
AT_ONCE = 100  # missing pages of one run that are announced again in one look
QUIET_S = 300.0  # longer than the longest delay queue and the slowest page


async def reap(connection: Any, quiet_s: float = QUIET_S) -> int:
    """One look, in the caller's transaction; gives how many runs were touched."""
    await runs.release_orphaned_slots(connection)
    gone = await runs.without_stream(connection)
    for run_id in gone:
        why = "the stream was removed before the run could start"
        await runs.finish(connection, run_id, Outcome(RunState.FAILED, "error", (), "stream_gone", why))
    still = await runs.stalled(connection, quiet_s)
    for run in still:
        await _announce_again(connection, run)
    return len(gone) + len(still)


async def _announce_again(connection: Any, run: Mapping[str, Any]) -> None:
    """The first pages that are missing, or the closing; handlers drop what they know already."""
    run_id, attempt, tenant = run["id"], run["attempt"], run["tenant"]
    if await completion.owe_close_if_complete(connection, run_id, attempt, tenant):
        return
    for missing in await runs.missing_pages(connection, run_id, attempt, AT_ONCE):
        walk, number = missing["walk"], missing["number"]
        page = PageDue(
            run_id=run_id,
            attempt=attempt,
            tenant=tenant,
            stream_version=run["stream_version"],
            walk=walk,
            number=number,
            token=missing["token"],
        )
        logger.warning("run %s had no progress: its page %d is announced again", run_id, number)
        identifier = derive_id(time_of(run_id), "page.due", run_id, attempt, walk, number)
        body = dumps(page.model_dump(mode="json"))
        await outbox.add(connection, OutboxRow(identifier, tenant, PageDue.type, body))
