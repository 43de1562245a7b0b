"""`runs`: look, show, start."""

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from headwater.cli.exits import Exit
from headwater.cli.faults import NotFound, key_was_used
from headwater.cli.printing import form_of, is_printed, print_fields, print_table
from headwater.cli.reading import read_parameters
from headwater.contracts.messages import RunRequest
from headwater.contracts.problem import Problem
from headwater.control.starting import (
    KeyReusedError,
    NotStartableError,
    Starter,
    UnknownStreamError,
    start_run,
)
from headwater.model.errors import ConfigError
from headwater.model.run import RunState, Trigger
from headwater.store import runs
from headwater.store.bell import WORK
from headwater.store.database import Database
from headwater.store.runs import COUNTS, RunFilter

_LOOK_S = 0.2
MAX_LIMIT = 500


def problem(item: Problem) -> dict[str, Any]:
    """A problem of a manifest, for JSON."""
    return {
        "pointer": item.pointer,
        "file": item.file,
        "line": item.line,
        "column": item.column,
        "what": item.what,
        "mend": item.mend,
        **item.of_part,
    }


def _limit(chosen: argparse.Namespace) -> int:
    limit: int = chosen.limit
    if not 1 <= limit <= MAX_LIMIT:
        raise ConfigError(f"--limit {limit}: give a number from 1 to {MAX_LIMIT}")
    return limit


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise ConfigError(f"{text!r} is no id: copy it from a list") from None


def _run(row: Mapping[str, Any]) -> dict[str, Any]:
    error = (
        None if row["error_kind"] is None else {"class": row["error_kind"], "message": row["error_message"]}
    )
    return {
        "id": str(row["id"]),
        "stream": f"{row['source']}.{row['stream']}",
        "state": row["state"],
        "trigger": row["trigger"],
        "schedule": row["schedule"],
        "mode": row["mode"],
        "due_at": row["boundary"] or row["due_at"],
        "attempt": row["attempt"],
        "started_at": row["started_at"],
        "finished_at": row["finished_at"],
        "stop_reason": row["stop_reason"],
        "skip_reason": row["skip_reason"],
        "parked_until": row["parked_until"],
        "warnings": list(row["warnings"]),
        "counts": {name: row[name] for name in COUNTS},
        "error": error,
    }


async def _list_runs(chosen: argparse.Namespace, api: Database) -> int:
    async with api.as_tenant(chosen.tenant) as connection:
        wanted = RunFilter(schedule=chosen.schedule, stream=chosen.stream, state=chosen.state)
        rows = await runs.list_runs(connection, wanted, limit=_limit(chosen))
    if is_printed(chosen, [_run(row) for row in rows]):
        return Exit.OK
    columns = (
        "id",
        "stream",
        "state",
        "trigger",
        "due_at",
        "pages",
        "received",
        "inserted",
        "updated",
        "error",
    )
    print_table(
        columns,
        (
            (
                row["id"],
                f"{row['source']}.{row['stream']}",
                row["state"],
                row["trigger"],
                row["boundary"] or row["due_at"],
                row["pages"],
                row["received"],
                row["inserted"],
                row["updated"],
                row["error_kind"],
            )
            for row in rows
        ),  # fmt: skip
        empty="no runs yet; start one with `headwater runs start source.stream`",
    )
    return Exit.OK


async def _show_run(chosen: argparse.Namespace, api: Database) -> int:
    async with api.as_tenant(chosen.tenant) as connection:
        row = await runs.get(connection, _id(chosen.id))
    if row is None:
        raise NotFound(f"there is no run {chosen.id}")
    if not is_printed(chosen, _run(row)):
        print_fields(_run(row))
    return Exit.OK


async def _start_run(chosen: argparse.Namespace, api: Database) -> int:
    request = _request(chosen)
    starter = Starter(Trigger.CLI, os.environ.get("USER", "cli"), chosen.key)
    try:
        async with api.as_tenant(chosen.tenant) as connection:
            run_id = await start_run(connection, chosen.tenant, request, starter)
            await connection.execute("SELECT pg_notify($1, '')", WORK)
    except UnknownStreamError as error:
        mend = "`headwater apply` a manifest that has it" if "." in chosen.stream else "write source.stream"
        raise NotFound(f"there is no stream {chosen.stream!r}; {mend}") from error
    except NotStartableError as error:
        option = {"window": "from"}.get(error.place, error.place.rpartition("/")[2])
        raise ConfigError(f"--{option}: {error}") from error
    except KeyReusedError as error:
        raise key_was_used() from error
    if not chosen.wait:
        if not is_printed(chosen, {"id": str(run_id)}):
            print(run_id)
        return Exit.OK
    return await _until_final(chosen, api, run_id)


def _request(chosen: argparse.Namespace) -> RunRequest:
    bounds = {"from": chosen.start, "to": chosen.end}
    given = {name: int(text) if text.isdigit() else text for name, text in bounds.items() if text is not None}
    return RunRequest(
        stream=chosen.stream,
        mode=chosen.mode,
        force=chosen.force,
        parameters=read_parameters(chosen.param),
        window=given or None,
    )


async def _until_final(chosen: argparse.Namespace, api: Database, run_id: UUID) -> int:
    shows_progress = sys.stderr.isatty() and form_of(chosen) == "table"
    while True:
        async with api.as_tenant(chosen.tenant) as connection:
            row = await runs.get(connection, run_id)
        if row is None or RunState(row["state"]).is_final:
            break
        if shows_progress:
            sys.stderr.write(f"\r{row['state']}: {row['pages']} pages, {row['received']} records ")
            sys.stderr.flush()
        await asyncio.sleep(_LOOK_S)
    if shows_progress:
        sys.stderr.write("\r\x1b[K")
    if row is None:
        raise NotFound(f"run {run_id} is gone")
    if not is_printed(chosen, _run(row)):
        print_fields(_run(row))
    return Exit.OK if row["state"] == RunState.SUCCEEDED else Exit.FAILURE


RUN_VERBS = {"list": _list_runs, "show": _show_run, "start": _start_run}
