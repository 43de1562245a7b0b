"""What follows from the ends of a schedule's runs: counts, auto-disabling, the schedules that start after it."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from headwater.store import chains, run_ends
from headwater.store.chains import Result
from headwater.timer.chained import insert_on_terms

logger = logging.getLogger("headwater.timer")
BATCH = 500
Row = Mapping[str, Any]


async def follow_ends(connection: Any, limit: int = BATCH) -> int:
    """One look, in the caller's transaction; gives how many ends were counted and runs started."""
    started = await chains.start_quiet(connection, limit, insert_on_terms)
    if not await run_ends.lock(connection):
        return started
    ends = await run_ends.take(connection, limit)
    if not ends:
        return started
    await run_ends.count(connection, ends)
    firings = await run_ends.firings(connection, ends)
    await _judge(connection, firings)
    await chains.follow(connection, list(_results(firings)), insert_on_terms)
    return len(ends) + started


def outcome_of(states: Iterable[str]) -> str:
    """How a firing ended, by the states of its runs: the worst counts; skipped ones only when all were."""
    found = set(states)
    for state in ("failed", "cancelled", "partial", "succeeded"):
        if state in found:
            return state
    return "skipped"


def failures_in_a_row(outcomes: Sequence[str]) -> tuple[int, bool]:
    """How many failures end the list, and whether something that worked came before them."""
    count = 0
    for outcome in reversed(outcomes):
        if outcome in {"succeeded", "partial"}:
            return count, True
        count += outcome == "failed"
    return count, False


async def _judge(connection: Any, firings: Sequence[Row]) -> None:
    """Count failures in a row, and stop the schedules that have too many."""
    outcomes: dict[tuple[str, str], list[str]] = {}
    errors: dict[tuple[str, str], str] = {}
    for firing in firings:
        of = (firing["tenant"], firing["schedule"])
        outcomes.setdefault(of, []).append(outcome_of(firing["states"]))
        errors[of] = firing["error"] or errors.get(of, "")
    more = {of: failures_in_a_row(told) for of, told in outcomes.items()}
    for row in await run_ends.fail_again(
        connection, {of: found for of, found in more.items() if found != (0, False)}
    ):
        if row["is_too_often"]:
            of = (row["tenant"], row["schedule"])
            why = f"{row['consecutive_failures']} failures in a row, the last one {errors[of]}"
            if await run_ends.auto_disable(connection, *of, why):
                logger.warning("schedule %s/%s stops: %s", *of, why)


def _results(firings: Sequence[Row]) -> Iterable[Result]:
    for firing in firings:
        state = outcome_of(firing["states"])
        if state == "skipped":
            continue
        told = {
            "state": state,
            "due_at": firing["run_at"].isoformat(),
            "ended_at": firing["ended_at"].isoformat(),
            "runs": [dict(run) for run in firing["runs"]],
        }
        yield Result(
            firing["tenant"], firing["schedule"], state, firing["ended_at"], tuple(firing["run_ids"]), told
        )
