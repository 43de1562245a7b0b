"""The runs of a schedule as its definition wants them, whatever starts them."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from headwater.contracts.durations import seconds_of
from headwater.contracts.schedule_running import Allow, BufferAll
from headwater.contracts.schedules import Schedule
from headwater.model.run import Trigger
from headwater.model.run_policy import Overlap, Retry
from headwater.store.runs import NewRun

MANUAL, SCHEDULED, BACKFILL = 0, 1, 2  # priorities: the smaller one goes first


def overlap_of(schedule: Schedule) -> Overlap:
    """What the schedule says about runs that are due while others have not ended."""
    match schedule.overlap:
        case BufferAll(buffer_all=most):
            return Overlap("buffer_all", most)
        case Allow(allow=most):
            return Overlap("allow", most)
        case kind:
            return Overlap(kind)


def retry_of(schedule: Schedule) -> Retry | None:
    """How the schedule's failed runs wait for their next attempt; None: it has no retries."""
    retries = schedule.retries
    if retries is None or retries.max == 0:
        return None
    return Retry(
        kind=retries.backoff,
        delay_s=seconds_of(retries.delay),
        factor=retries.factor,
        longest_s=seconds_of(retries.max_delay),
        jitter=0.5 if retries.jitter else 0.0,
    )


def scheduled_run(
    tenant: str,
    schedule: Schedule,
    stream: str,
    due_at: datetime,
    trigger: Trigger = Trigger.SCHEDULE,
    *,
    key: str = "",
    parameters: Mapping[str, Any] | None = None,
    started_by: str | None = None,
    skip_reason: str | None = None,
) -> NewRun:
    """The run of `stream` (source.stream) that is due at `due_at`; `parameters` go over those of the schedule.

    A run that a person asks for waits for its turn; those of a schedule and of chains keep to the overlap rule.
    """
    source, _, name = stream.partition(".")
    is_automatic = trigger in {Trigger.SCHEDULE, Trigger.AFTER}
    overlap = overlap_of(schedule)
    return NewRun(
        tenant=tenant,
        source=source,
        stream=name,
        due_at=due_at,
        trigger=trigger.value,
        schedule=schedule.name,
        key=key,
        mode=schedule.mode,
        force=schedule.force,
        parameters={**schedule.parameters, **(parameters or {})},
        priority=SCHEDULED if is_automatic else MANUAL,
        started_by=started_by or f"schedule {schedule.name}",
        attempts_max=1 + (0 if schedule.retries is None else schedule.retries.max),
        retry=retry_of(schedule),
        timeout_s=schedule.timeout_s,
        overlap=overlap if is_automatic else None,
        at_once=overlap.at_once,
        skip_reason=skip_reason,
    )


def backfill_run(
    backfill: Mapping[str, Any],
    schedule: Schedule,
    stream: str,
    boundary: datetime,
    due_at: datetime,
    generation: int,
    window: Mapping[str, str] | None,
) -> NewRun:
    """The run of `stream` that stands for a past `boundary` of the schedule; `backfill` is the row it belongs to.

    It goes last, beside the stream's other runs, and moves no cursor: it has a window, or its stream has no cursor.
    """
    run = scheduled_run(
        backfill["tenant"],
        schedule,
        stream,
        due_at,
        key=f"backfill {backfill['id']} {boundary.isoformat()}",
        parameters=backfill["parameters"],
        started_by=f"backfill {backfill['id']}",
    )
    return replace(
        run,
        priority=BACKFILL,
        overlap=None,
        at_once=backfill["parallel"],
        boundary=boundary,
        backfill_id=backfill["id"],
        generation=generation,
        window=window,
    )
