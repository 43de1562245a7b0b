"""Starting runs: by the API, by an AMQP message, by the CLI. The same key asks for the same run."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from headwater.contracts.codec import dumps
from headwater.contracts.messages import RunRequest
from headwater.contracts.source import StreamDefinition
from headwater.model.errors import HeadwaterError
from headwater.model.run import RunState, Trigger
from headwater.model.run_policy import Retry
from headwater.plugins.walk.windows import WindowError, window_of
from headwater.store import catalogue, config, idempotency, runs, schedules
from headwater.store.runs import NewRun

MANUAL = 0  # before what schedules start
MAX_PARAMETERS_BYTES = 64 * 1024  # they stand in the run's row, and lists of runs show them


class UnknownStreamError(HeadwaterError):
    """A run was asked for of a stream that the tenant does not have."""


class NotStartableError(HeadwaterError):
    """A request asks for what no run can do; `place` is the member of it."""

    def __init__(self, place: str, what: str) -> None:
        super().__init__(what)
        self.place = place


class KeyReusedError(HeadwaterError):
    """An idempotency key came again with another request."""

    def __init__(self) -> None:
        super().__init__("this key was used for another request: take a new one")


class NotFinalError(HeadwaterError):
    """A run that has not ended was to be run again."""


@dataclass(frozen=True, slots=True)
class Starter:
    """Who starts a run, and how. `key`: the same one gives the same run for 7 days."""

    trigger: Trigger
    started_by: str
    key: str | None = None


async def start_run(connection: Any, tenant: str, request: RunRequest, starter: Starter) -> UUID:
    """Insert the run that `request` asks for, in the caller's transaction; ring the bell after the commit.

    Raises: NotStartableError, UnknownStreamError, KeyReusedError.
    """
    _check(request)
    window = await _window(connection, tenant, request)
    source, _, stream = request.stream.partition(".")
    key, due_at, is_known = uuid4().hex, await schedules.now(connection), False
    if starter.key is not None:
        digest = hashlib.sha256(dumps(request.model_dump(mode="python"))).digest()
        first = await idempotency.claim(connection, tenant, "runs", starter.key, digest)
        if first.digest != digest:
            raise KeyReusedError
        key, due_at, is_known = starter.key, first.at, not first.is_now
    new = NewRun(
        tenant=tenant,
        source=source,
        stream=stream,
        due_at=due_at,
        trigger=starter.trigger.value,
        key=key,
        mode=request.mode,
        force=request.force,
        parameters=request.parameters,
        window=window,
        priority=MANUAL,
        started_by=starter.started_by,
    )
    if is_known:
        return new.id  # its run was inserted with the key, whatever became of the stream since
    row = await catalogue.get_stream(connection, tenant, source, stream)
    if row is None:
        raise unknown_stream(request.stream)
    if (
        request.mode == "incremental"
        and StreamDefinition.model_validate(row["definition"]).stream.cursor_rule is None
    ):
        raise NotStartableError(
            "mode", "needs `incremental` in the stream, the field of its cursor: use auto or full"
        )
    return await runs.insert(connection, new)


async def _window(connection: Any, tenant: str, request: RunRequest) -> dict[str, Any] | None:
    """The window that is asked for, in one form; None without one. Raises: NotStartableError, UnknownStreamError."""
    if request.window is None:
        return None
    source, _, name = request.stream.partition(".")
    row = await catalogue.get_stream(connection, tenant, source, name)
    if row is None:
        raise unknown_stream(request.stream)
    stream = StreamDefinition.model_validate(row["definition"]).stream
    try:
        return dict(window_of(request.window, stream, await schedules.now(connection)))
    except WindowError as error:
        place = "window/" + error.place if error.place else "window"
        raise NotStartableError(place, str(error)) from error


def unknown_stream(name: str) -> UnknownStreamError:
    return UnknownStreamError(f"{name[:140]!r} names no stream of this tenant (write source.stream)")


def _check(request: RunRequest) -> None:
    """Nothing is accepted that would have no effect."""
    if len(dumps(request.parameters)) > MAX_PARAMETERS_BYTES:
        raise NotStartableError("parameters", f"is larger than {MAX_PARAMETERS_BYTES} bytes")
    if request.force and request.window is not None:
        raise NotStartableError(
            "force", "rebuilds the table, and a window is only a part of it: leave out one of them"
        )
    if request.force and request.mode != "full":
        raise NotStartableError(
            "force", "rebuilds the table from what a run brings, so it needs everything: set mode to full"
        )


async def rerun(connection: Any, run: Mapping[str, Any], starter: Starter) -> UUID:
    """Run `run` (its row) again: the same boundary, a higher generation.

    Two at once give one run; one after the other, two. Raises: NotFinalError, UnknownStreamError, KeyReusedError.
    """
    if not RunState(run["state"]).is_final:
        raise NotFinalError(f"the run is {run['state']}: cancel it first, or wait for its end")
    of = (run["tenant"], run["source"], run["stream"])
    if not await config.has_stream(connection, *of):
        raise UnknownStreamError(f"stream {of[1]}.{of[2]} is not there any more")
    if starter.key is not None:
        digest = hashlib.sha256(run["id"].bytes).digest()
        first = await idempotency.claim(connection, of[0], "rerun", starter.key, digest)
        if first.digest != digest:
            raise KeyReusedError
        if first.result is not None:
            return first.result
    generation = 1 + await catalogue.highest_generation(connection, run["due_at"], of, run["schedule"])
    run_id = await runs.insert(connection, _again(run, generation, starter))
    if starter.key is not None:
        await idempotency.keep_result(connection, of[0], "rerun", starter.key, run_id)
    return run_id


def _again(run: Mapping[str, Any], generation: int, starter: Starter) -> NewRun:
    return NewRun(
        tenant=run["tenant"],
        source=run["source"],
        stream=run["stream"],
        due_at=run["due_at"],
        trigger=starter.trigger.value,
        schedule=run["schedule"],
        key="" if run["schedule"] else f"rerun {run['id']}",
        mode=run["mode"],
        force=run["force"],
        parameters=run["parameters"],
        window=run["time_window"],
        generation=generation,
        priority=MANUAL,
        started_by=starter.started_by,
        attempts_max=run["attempts_max"],
        retry=None if run["retry"] is None else Retry.of(run["retry"]),
        timeout_s=run["timeout_s"],
        at_once=run["at_once"],
        boundary=run["boundary"],
        backfill_id=run["backfill_id"],
    )
