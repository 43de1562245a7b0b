"""Verbs of schedules and runs, `backfills`, `stats`: ask, and show the answer."""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from headwater.cli.asking import Counter, Verb, given, moment, open_counter, show, show_list
from headwater.cli.exits import Exit
from headwater.cli.faults import NotFound, key_was_used
from headwater.cli.printing import form_of
from headwater.cli.reading import read_parameters
from headwater.control import backfill_door, run_report, runs, schedule_door, stats
from headwater.control.paging import ListQuery
from headwater.control.schedule_verbs import NoScheduleError, Wanted, run_now
from headwater.control.schedules import Schedule
from headwater.control.starting import KeyReusedError, NotStartableError, Starter, UnknownStreamError
from headwater.model.errors import ConfigError
from headwater.model.run import RunState, Trigger
from headwater.settings import Settings
from headwater.store import runs as run_rows

_LOOK_S = 0.3
_RUN_COLUMNS = (
    "id",
    "stream",
    "state",
    "trigger",
    "due_at",
    "attempt",
    "waits_for",
    "skip_reason",
    "stop_reason",
)


async def execute_life(chosen: argparse.Namespace, settings: Settings) -> int:
    """Run one verb of these commands."""
    async with open_counter(chosen, settings) as counter:
        if chosen.command == "stats":
            return await _stats(chosen, counter)
        return await VERBS[chosen.command][chosen.verb](chosen, counter)


def _asking(handler: Any, body: Callable[[argparse.Namespace], Any] | None = None) -> Verb:
    """A verb of a schedule that answers with the schedule."""

    async def ask(chosen: argparse.Namespace, counter: Counter) -> int:
        found = await counter.shown(
            Schedule, handler, path={"schedule": chosen.name}, body=None if body is None else body(chosen)
        )
        await counter.ring()
        return show(chosen, {name: found[name] for name in _OF_STATE})

    return ask


_OF_STATE = (
    "name",
    "state",
    "state_reason",
    "enabled",
    "next_at",
    "paused_by",
    "paused_until",
    "consecutive_failures",
)


def _until(text: str | None) -> datetime | None:
    """A time to come, or for how long: 2h is in two hours."""
    found = moment(text)
    if text is not None and found is not None and text[-1:] in "smhd" and text[:-1].isdigit():
        return datetime.now(UTC) + (datetime.now(UTC) - found)
    return found


async def _run_schedule(chosen: argparse.Namespace, counter: Counter) -> int:
    starter = Starter(Trigger.CLI, os.environ.get("USER", "cli"), chosen.key)
    wanted = Wanted(read_parameters(chosen.param), chosen.mode, chosen.force)
    try:
        async with counter.desk.database.as_tenant(counter.tenant) as connection:
            started = await run_now(connection, counter.tenant, chosen.name, wanted, starter)
    except (NoScheduleError, UnknownStreamError) as error:
        raise NotFound(str(error)) from error
    except NotStartableError as error:
        raise ConfigError(f"--{error.place}: {error}") from error
    except KeyReusedError as error:
        raise key_was_used() from error
    await counter.ring()
    items = [{"id": str(run_id), "stream": stream} for run_id, stream in started]
    if not chosen.wait:
        return show_list(chosen, ("id", "stream"), items, empty="")
    rows = [await _ended(counter, run_id) for run_id, _ in started]
    ended = [
        runs.Run.model_validate(runs.run_view(row)).model_dump(mode="json", by_alias=True) for row in rows
    ]
    show_list(chosen, _RUN_COLUMNS, ended, empty="")
    return Exit.OK if all(row["state"] == RunState.SUCCEEDED for row in rows) else Exit.FAILURE


async def _ended(counter: Counter, run_id: UUID) -> Any:
    while True:
        async with counter.desk.database.as_tenant(counter.tenant) as connection:
            row = await run_rows.get(connection, run_id)
        if row is None:
            raise NotFound(f"run {run_id} is gone")
        if RunState(row["state"]).is_final:
            return row
        await asyncio.sleep(_LOOK_S)


async def _history(chosen: argparse.Namespace, counter: Counter) -> int:
    value = await counter.ask(
        schedule_door.schedule_history,
        path={"schedule": chosen.name},
        query=given(ListQuery, limit=chosen.limit),
    )
    items = [runs.Run.model_validate(each).model_dump(mode="json", by_alias=True) for each in value["items"]]
    return show_list(chosen, _RUN_COLUMNS, items, empty="it never ran")


async def _backfill(chosen: argparse.Namespace, counter: Counter) -> int:
    rate = chosen.rate
    body = given(
        backfill_door.BackfillRequest,
        **{"from": moment(chosen.start)},
        to=moment(chosen.end),
        dry_run=chosen.dry_run or None,
        rate=float(rate) if rate and rate.replace(".", "", 1).isdigit() else rate,
        parallel=chosen.parallel,
        force=chosen.force or None,
        parameters=read_parameters(chosen.param) or None,
    )
    made = await counter.shown(
        backfill_door.BackfillAnswer,
        backfill_door.backfill_schedule,
        path={"schedule": chosen.name},
        body=body,
        key=chosen.key,
    )
    await counter.ring()
    if made["id"] is None or not chosen.wait:
        return show(chosen, made)
    return await _until_done(chosen, counter, made["id"])


async def _until_done(chosen: argparse.Namespace, counter: Counter, backfill_id: str) -> int:
    shows_progress = sys.stderr.isatty() and form_of(chosen) == "table"
    while True:
        found = await counter.shown(
            backfill_door.Backfill, backfill_door.show_backfill, path={"backfill": backfill_id}
        )
        if found["state"] != "running":
            break
        if shows_progress:
            share, states = found["progress"]["done_share"], found["runs"]
            sys.stderr.write(f"\r{share:4.0%}: {states['succeeded']} succeeded, {states['failed']} failed ")
            sys.stderr.flush()
        await asyncio.sleep(_LOOK_S)
    if shows_progress:
        sys.stderr.write("\r\x1b[K")
    show(chosen, found)
    went_well = found["state"] == "done" and found["runs"]["succeeded"] == found["runs"]["total"]
    return Exit.OK if went_well else Exit.FAILURE


async def _list_backfills(chosen: argparse.Namespace, counter: Counter) -> int:
    query = given(
        backfill_door.BackfillsQuery, schedule=chosen.schedule, state=chosen.state, limit=chosen.limit
    )
    items = await counter.listed(backfill_door.Backfill, backfill_door.list_backfills, query)
    shown = [{**item, "done": f"{item['progress']['done_share']:.0%}"} for item in items]
    columns = ("id", "schedule", "from", "to", "state", "done", "created_at")
    return show_list(chosen, columns, shown, empty="no backfills")


def _one_backfill(handler: Any) -> Verb:
    async def ask(chosen: argparse.Namespace, counter: Counter) -> int:
        found = await counter.shown(backfill_door.Backfill, handler, path={"backfill": chosen.id})
        await counter.ring()
        return show(chosen, found)

    return ask


async def _cancel_run(chosen: argparse.Namespace, counter: Counter) -> int:
    found = await counter.shown(runs.Run, runs.cancel_run, path={"run": chosen.id})
    await counter.ring()
    return show(chosen, {name: found[name] for name in ("id", "stream", "state", "ended_by")})


async def _rerun(chosen: argparse.Namespace, counter: Counter) -> int:
    found = await counter.shown(runs.RunStarted, runs.rerun_run, path={"run": chosen.id}, key=chosen.key)
    await counter.ring()
    return show(chosen, found)


async def _report(chosen: argparse.Namespace, counter: Counter) -> int:
    return show(
        chosen, await counter.shown(run_report.RunReport, run_report.show_report, path={"run": chosen.id})
    )


async def _pages(chosen: argparse.Namespace, counter: Counter) -> int:
    value = await counter.ask(
        runs.list_pages, path={"run": chosen.id}, query=given(ListQuery, limit=chosen.limit)
    )
    items = [runs.RunPage.model_validate(each).model_dump(mode="json") for each in value["items"]]
    columns = ("attempt", "walk", "number", "status", "received", "rejected", "body_bytes", "settled_at")
    return show_list(chosen, columns, items, empty="no pages yet")


async def _stats(chosen: argparse.Namespace, counter: Counter) -> int:
    query = given(stats.StatsQuery, since=moment(chosen.since), until=moment(chosen.until))
    if chosen.schedule is None:
        return show(chosen, await counter.shown(stats.TenantStats, stats.tenant_stats, query=query))
    found = await counter.shown(
        stats.ScheduleStats, stats.schedule_stats, path={"schedule": chosen.schedule}, query=query
    )
    return show(chosen, found)


VERBS: dict[str, dict[str, Verb]] = {
    "schedules": {
        "enable": _asking(schedule_door.enable_schedule),
        "disable": _asking(
            schedule_door.disable_schedule, lambda chosen: given(schedule_door.Noted, note=chosen.note)
        ),
        "pause": _asking(
            schedule_door.pause_schedule,
            lambda chosen: given(schedule_door.Pause, note=chosen.note, until=_until(chosen.until)),
        ),
        "resume": _asking(schedule_door.resume_schedule, lambda _: schedule_door.Noted()),
        "reset-failures": _asking(schedule_door.reset_schedule_failures),
        "run": _run_schedule,
        "history": _history,
        "backfill": _backfill,
    },
    "runs": {"cancel": _cancel_run, "rerun": _rerun, "report": _report, "pages": _pages},
    "backfills": {
        "list": _list_backfills,
        "show": _one_backfill(backfill_door.show_backfill),
        "cancel": _one_backfill(backfill_door.cancel_backfill),
    },
}
