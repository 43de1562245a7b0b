"""`when`: whether a run that is due is wanted, asked of its parameters and of the last run."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from headwater.model.errors import SourceError
from headwater.plugins.expressions import is_true
from headwater.store import schedules
from headwater.store.runs import COUNTS
from headwater.timer.terms import Started

logger = logging.getLogger("headwater.timer")
FALSE = "condition_false"
FAILED = "condition_failed"


async def judged(connection: Any, started: Sequence[Started]) -> list[Started]:
    """The runs, those that are not wanted with the reason why they are skipped."""
    asking = [each for each in started if each.terms.condition is not None and each.run.skip_reason is None]
    if not asking:
        return list(started)
    last = await schedules.last_runs(connection, list(dict.fromkeys(_of(each) for each in asking)))
    return [_judge(each, last.get(_of(each))) if each in asking else each for each in started]


def _of(started: Started) -> tuple[str, str, str, str]:
    run = started.run
    return run.tenant, run.schedule or "", run.source, run.stream


def _judge(started: Started, last: Mapping[str, Any] | None) -> Started:
    run, condition = started.run, started.terms.condition
    assert condition is not None  # only those that ask come here
    document = {
        "parameters": dict(run.parameters),
        "last_run": None if last is None else seen(last),
        "due_at": run.due_at.isoformat(),
        "schedule": run.schedule,
        "stream": f"{run.source}.{run.stream}",
    }
    try:
        wanted = is_true(condition(document))
    except SourceError as error:
        logger.warning("schedule %s/%s: its condition cannot be asked: %s", run.tenant, run.schedule, error)
        skipped = replace(run, skip_reason=FAILED)
        return replace(started, run=skipped, begin_at=None, waits_for=None, fault=str(error)[:1000])
    if wanted:
        return started
    return replace(started, run=replace(run, skip_reason=FALSE), begin_at=None, waits_for=None)


def seen(run: Mapping[str, Any]) -> dict[str, Any]:
    """A run as a condition sees it: plain values, times as ISO texts."""
    times = {name: run[name] and run[name].isoformat() for name in ("due_at", "started_at", "finished_at")}
    plain = {name: run[name] for name in ("state", "attempt", "stop_reason")}
    counts = {name: run[name] for name in COUNTS}
    return {
        "id": str(run["id"]),
        **plain,
        **times,
        "warnings": list(run["warnings"]),
        "error": run["error_kind"],
        "counts": counts,
    }
