"""The verbs of schedules over HTTP."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from headwater.contracts.base import Closed
from headwater.contracts.moments import ZonedMoment
from headwater.control import schedule_verbs as verbs
from headwater.control.frame import API
from headwater.control.paging import ListQuery, after_run, listing, token_of
from headwater.control.problems import conflict, invalid_at, not_found
from headwater.control.route import Answer, Call, Desk, NoQuery, Reply
from headwater.control.runs import key_reused, run_view
from headwater.control.schedule_verbs import NoScheduleError, NotInStateError, PastError, Wanted
from headwater.control.schedules import schedule_view
from headwater.control.starting import KeyReusedError, NotStartableError, Starter, UnknownStreamError
from headwater.store import catalogue, runs

Note = Annotated[str | None, Field(max_length=1000, description="Why; shown as `state_reason`.")]


class Noted(Closed):
    """`note`: why."""

    note: Note = None


class Pause(Closed):
    """`until`: when it goes on by itself."""

    note: Note = None
    until: ZonedMoment | None = None


class StartNow(Closed):
    """What is left out is as the schedule says. `parameters` go over those of the schedule."""

    parameters: dict[str, Any] = Field(default={})
    mode: Literal["auto", "incremental", "full", "dry_run"] | None = None
    force: bool | None = None


class StartedRun(Answer):
    id: UUID
    stream: Annotated[str, Field(description="source.stream")]


class ScheduleStarted(Answer):
    """`id` is the first of `runs`, of which there is one for each stream."""

    id: UUID
    runs: list[StartedRun]


Work = Callable[[Any], Awaitable[object]]


async def _done(desk: Desk, call: Call[Any, Any], work: Work) -> Reply:
    """Do `work` on the schedule; answers with the schedule as it is then."""
    name = call.path["schedule"]
    try:
        async with desk.acting(call) as connection:
            await work(connection)
            row = await catalogue.get_schedule(connection, call.tenant, name)
    except NoScheduleError:
        raise not_found("schedule") from None
    except NotInStateError as error:
        raise conflict(_sentence(error)) from error
    except PastError:
        raise invalid_at("/until", "is past: give a time to come") from None
    if row is None:
        raise not_found("schedule")
    desk.bell.ring()
    return Reply(schedule_view(row, call.tenant))


def _sentence(error: Exception) -> str:
    text = str(error)
    return text[:1].upper() + text[1:]


async def enable_schedule(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    return await _done(desk, call, lambda db: verbs.enable(db, call.tenant, call.path["schedule"]))


async def disable_schedule(desk: Desk, call: Call[NoQuery, Noted]) -> Reply:
    return await _done(
        desk, call, lambda db: verbs.disable(db, call.tenant, call.path["schedule"], call.body.note)
    )


async def pause_schedule(desk: Desk, call: Call[NoQuery, Pause]) -> Reply:
    return await _done(
        desk,
        call,
        lambda db: verbs.pause(
            db,
            call.tenant,
            call.path["schedule"],
            note=call.body.note,
            actor=call.started_by,
            until=call.body.until,
        ),
    )


async def resume_schedule(desk: Desk, call: Call[NoQuery, Noted]) -> Reply:
    return await _done(desk, call, lambda db: verbs.resume(db, call.tenant, call.path["schedule"]))


async def reset_schedule_failures(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    return await _done(desk, call, lambda db: verbs.reset_failures(db, call.tenant, call.path["schedule"]))


async def run_schedule(desk: Desk, call: Call[NoQuery, StartNow]) -> Reply:
    wanted = Wanted(call.body.parameters, call.body.mode, call.body.force)
    starter = Starter(call.trigger, call.started_by, call.key)
    try:
        async with desk.acting(call) as connection:
            started = await verbs.run_now(connection, call.tenant, call.path["schedule"], wanted, starter)
    except NoScheduleError:
        raise not_found("schedule") from None
    except UnknownStreamError as error:
        raise conflict(_sentence(error)) from error
    except NotStartableError as error:
        raise invalid_at(f"/{error.place}", str(error)) from error
    except KeyReusedError as error:
        raise key_reused(error) from error
    desk.bell.ring()
    told = [{"id": run_id, "stream": stream} for run_id, stream in started]
    return Reply({"id": started[0][0], "runs": told}, headers={"Location": f"{API}/runs/{started[0][0]}"})


async def schedule_history(desk: Desk, call: Call[ListQuery, None]) -> Reply:
    """Its runs, newest first."""
    name, query = call.path["schedule"], call.query
    async with desk.acting(call) as connection:
        if await catalogue.get_schedule(connection, call.tenant, name) is None:
            raise not_found("schedule")
        rows = await runs.list_runs(
            connection, runs.RunFilter(schedule=name), limit=query.limit + 1, after=after_run(query)
        )
    return Reply(listing(rows, query.limit, run_view, lambda row: token_of("runs", row["id"])))
