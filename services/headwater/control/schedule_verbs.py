"""What people do with a schedule: enable, disable, pause, resume, run, look ahead. For the API and the CLI alike.

The functions work in the caller's transaction, which acts in the tenant; ring the bell after the commit.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from headwater.contracts.codec import dumps
from headwater.contracts.schedules import Schedule
from headwater.control.starting import (
    MAX_PARAMETERS_BYTES,
    KeyReusedError,
    NotStartableError,
    Starter,
    UnknownStreamError,
)
from headwater.model.errors import ConfigError, HeadwaterError
from headwater.model.ids import to_millisecond
from headwater.store import config, idempotency, run_ends, runs, schedule_verbs
from headwater.store.schedule_verbs import Row, State
from headwater.store.scheduled_runs import scheduled_run


class NoScheduleError(HeadwaterError):
    """There is no such schedule."""


class NotInStateError(HeadwaterError):
    """The schedule is in a state from which this cannot be done; the message says what can."""


class PastError(HeadwaterError):
    """The time until which a schedule is to be paused is past."""


async def locked(connection: Any, tenant: str, name: str) -> Row:
    """The schedule's row. Raises: NoScheduleError."""
    row = await schedule_verbs.lock(connection, tenant, name)
    if row is None:
        raise NoScheduleError(f"there is no schedule {name}")
    return row


async def enable(connection: Any, tenant: str, name: str) -> None:
    """Let it run: a disabled schedule, or one that stopped by itself. Raises: NoScheduleError, NotInStateError."""
    row = await locked(connection, tenant, name)
    if row["state"] in {"active", "paused"}:
        return
    if row["state"] == "failed":
        await run_ends.reset(connection, tenant, name)
    await _go_on(connection, tenant, row)


async def disable(connection: Any, tenant: str, name: str, note: str | None = None) -> None:
    """Let it rest until it is enabled; runs that wait or run go on. Raises: NoScheduleError."""
    row = await locked(connection, tenant, name)
    if row["state"] == "disabled" and not row["definition"].get("enabled", True):
        return
    await schedule_verbs.set_state(
        connection, tenant, name, State("disabled", None, is_enabled=False, reason=note)
    )


async def pause(
    connection: Any, tenant: str, name: str, *, note: str | None, actor: str, until: datetime | None
) -> None:
    """Let it rest, until it is resumed or `until` has come. Again: with the new note and time.

    Raises: NoScheduleError, NotInStateError, PastError.
    """
    row = await locked(connection, tenant, name)
    if row["state"] not in {"active", "paused"}:
        raise NotInStateError(f"the schedule is {row['state']} and not due anyway")
    if until is not None and until <= row["now"]:
        raise PastError
    paused = State("paused", None, is_enabled=True, reason=note, paused_by=actor, paused_until=until)
    await schedule_verbs.set_state(connection, tenant, name, paused)


async def resume(connection: Any, tenant: str, name: str) -> None:
    """Let a paused schedule go on from now; what was due meanwhile is left out. A failed one starts anew.

    Raises: NoScheduleError, NotInStateError.
    """
    row = await locked(connection, tenant, name)
    match row["state"]:
        case "active":
            return
        case "paused":
            await _go_on(connection, tenant, row)
        case "failed":
            await run_ends.reset(connection, tenant, name)
            await _go_on(connection, tenant, row)
        case state:
            mend = "enable it" if state == "disabled" else "change its times"
            raise NotInStateError(f"the schedule is not paused but {state}: {mend}")


async def reset_failures(connection: Any, tenant: str, name: str) -> None:
    """Count failures in a row anew; a schedule that stopped because of them goes on. Raises: NoScheduleError."""
    row = await locked(connection, tenant, name)
    await run_ends.reset(connection, tenant, name)
    if row["state"] == "failed":
        await _go_on(connection, tenant, row)


async def _go_on(connection: Any, tenant: str, row: Row) -> None:
    try:
        new = schedule_verbs.at_work(row, tenant, row["now"])
    except (ConfigError, ValueError) as error:
        raise NotInStateError(f"its times cannot be computed: {error}") from error
    if new.state == "expired":
        raise NotInStateError("it is over and never due again: change its times first")
    if row["state"] == "expired":
        raise NotInStateError("it is over: change `ends_at` or `max_runs` first")
    await schedule_verbs.set_state(connection, tenant, row["name"], new)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A start by hand. What is None is as the schedule says; `parameters` go over those of the schedule."""

    parameters: Mapping[str, Any]
    mode: str | None = None
    force: bool | None = None

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(dumps([dict(self.parameters), self.mode, self.force])).digest()


async def run_now(
    connection: Any, tenant: str, name: str, wanted: Wanted, starter: Starter
) -> list[tuple[UUID, str]]:
    """Start a run of each of its streams, whatever its state; gives (id, source.stream).

    Raises: NoScheduleError, NotStartableError, UnknownStreamError, KeyReusedError.
    """
    row = await locked(connection, tenant, name)
    schedule = _as_wanted(Schedule.model_validate(row["definition"]), wanted)
    key, due_at = uuid4().hex, to_millisecond(row["now"])
    if starter.key is not None:
        digest = wanted.digest
        first = await idempotency.claim(connection, tenant, f"schedules/{name}/run", starter.key, digest)
        if first.digest != digest:
            raise KeyReusedError
        key, due_at = starter.key, first.at
    for stream in schedule.streams:
        if not await config.has_stream(connection, tenant, *stream.split(".", 1)):
            raise UnknownStreamError(f"stream {stream} is not there any more")
    new = [
        scheduled_run(
            tenant,
            schedule,
            stream,
            due_at,
            starter.trigger,
            key=f"run {key}",
            parameters=wanted.parameters,
            started_by=starter.started_by,
        )
        for stream in schedule.streams
    ]
    await runs.insert_many(connection, new)
    return [(run.id, f"{run.source}.{run.stream}") for run in new]


def _as_wanted(schedule: Schedule, wanted: Wanted) -> Schedule:
    if len(dumps(dict(wanted.parameters))) > MAX_PARAMETERS_BYTES:
        raise NotStartableError("parameters", f"is larger than {MAX_PARAMETERS_BYTES} bytes")
    mode = wanted.mode or schedule.mode
    force = schedule.force and mode == "full" if wanted.force is None else wanted.force
    if force and mode != "full":
        raise NotStartableError(
            "force", "rebuilds the table from what a run brings, so it needs everything: set mode to full"
        )
    return schedule.model_copy(update={"mode": mode, "force": force})
