"""How far a stream has been read: what the end of a run does to its cursor (DESIGN.md §7)."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from headwater.contracts.manifest import StreamDefinition
from headwater.contracts.walking import Incremental
from headwater.model.run import StopReason
from headwater.plugins.walk import order_of
from headwater.store import cursors

logger = logging.getLogger("headwater.persister")


async def move_cursor(
    connection: Any,
    definition: StreamDefinition,
    run: Mapping[str, Any],
    walks: Sequence[Mapping[str, Any]],
    *,
    is_complete: bool,
) -> None:
    """Move the stream's cursor in the transaction that ends the run.

    A complete walk moves it to the highest value seen, and never back, unless the table was rebuilt. One that a limit
    ended moves it to the value below which everything was seen, where the stream's records ascend; elsewhere it stays,
    and the next run goes on where this one ended. Somebody who set the cursor meanwhile is right. Runs for a window
    of time, and those that load nothing, leave it alone.
    """
    rule = definition.stream.incremental
    if rule is None or run["mode"] == "dry_run" or run["time_window"] is not None:
        return
    of = (run["tenant"], run["source"], run["stream"])
    value = _value(rule, run, walks, is_complete=is_complete)
    resume = None if is_complete or rule.order == "asc" else _resume(run, walks)
    if value is not None:
        is_right = await cursors.move(connection, of, value, run["id"], run["cursor_from"])
    elif resume is not None:
        is_right = await cursors.keep_resume(connection, of, resume, run["cursor_from"])
    else:
        return
    if not is_right:
        logger.warning("run %s leaves the cursor of %s.%s: it was moved meanwhile", run["id"], *of[1:])


def _value(
    rule: Incremental, run: Mapping[str, Any], walks: Sequence[Mapping[str, Any]], *, is_complete: bool
) -> Any:
    """Where the cursor is to stand; None: where it is."""
    is_rebuilt = run["mode"] == "full" and run["force"]
    seen = [] if is_rebuilt or run["cursor_from"] is None else [run["cursor_from"]]
    if is_complete:
        seen += [walk["highest"] for walk in walks]
    elif rule.order == "asc" and len(walks) == 1 and walks[0]["stop_reason"] == StopReason.LIMIT:
        if walks[0]["below"] is None:
            return None
        seen.append(walks[0]["below"])
    else:
        return None
    return max((mark for mark in seen if mark is not None), key=order_of, default=None)


def _resume(run: Mapping[str, Any], walks: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Where the next run of this version goes on; only where there is one walk, which a limit ended."""
    if len(walks) != 1 or run["mode"] == "full" or walks[0]["resume"] is None:
        return None
    return {
        "token": walks[0]["resume"],
        "highest": walks[0]["highest"],
        "stream_version": str(run["stream_version"]),
    }
