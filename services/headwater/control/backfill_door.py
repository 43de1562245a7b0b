"""Backfills over HTTP."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, field_validator

from headwater.contracts.base import Closed
from headwater.contracts.moments import ZonedMoment
from headwater.control import backfilling
from headwater.control.backfilling import Asked, Counted
from headwater.control.frame import API
from headwater.control.paging import ListQuery, after_moment, listing, token_of
from headwater.control.problems import conflict, invalid_at, not_found
from headwater.control.route import Answer, Call, Desk, NoQuery, Reply
from headwater.control.runs import key_reused
from headwater.control.schedule_verbs import NoScheduleError
from headwater.control.starting import KeyReusedError, NotStartableError
from headwater.store import backfills

_RATE = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)\s*/\s*(s|m|h|sec|min|hour|second|minute)")
_PER_MINUTE = {"s": 60.0, "m": 1.0, "h": 1 / 60}
_RUNS = ("queued", "running", "succeeded", "partial", "failed", "cancelled", "skipped")
BackfillState = Literal["running", "done", "cancelled", "failed"]


class BackfillRequest(Closed):
    """The due times from `from` up to and without `to` (with offsets), run again oldest first.

    `dry_run` only counts. `rate`: boundaries a minute at most, or a text such as `10/s`, `30/m`, `100/h`; `parallel`:
    boundaries under way at once. Boundaries that have their runs are left out, unless `force` runs them once more.
    """

    from_: Annotated[ZonedMoment, Field(alias="from")]
    to: ZonedMoment
    dry_run: bool = False
    rate: Annotated[float, Field(gt=0, le=1_000_000)] | None = None
    parallel: Annotated[int, Field(ge=1, le=100)] = 1
    force: bool = False
    parameters: dict[str, Any] = Field(default={})

    @field_validator("rate", mode="before", json_schema_input_type=float | str | None)
    @classmethod
    def _per_minute(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        match = _RATE.fullmatch(value.strip())
        if match is None:
            raise ValueError("is no rate; write a number of boundaries a minute, or 10/s, 30/m, 100/h")
        return float(match[1]) * _PER_MINUTE[match[2][0]]


class BackfillProgress(Answer):
    """`boundaries` there are, `started` those whose runs were made, `passed` those that had theirs already."""

    boundaries: int
    started: int
    passed: int
    remaining: int
    done_share: float


class BackfillRuns(Answer):
    total: int
    queued: int
    running: int
    succeeded: int
    partial: int
    failed: int
    cancelled: int
    skipped: int


class Backfill(Answer):
    """A past window of a schedule that is run again. `rate`: boundaries a minute, null: as fast as they end."""

    id: UUID
    schedule: str
    from_: Annotated[datetime, Field(alias="from")]
    to: datetime
    force: bool
    parallel: int
    rate: float | None
    parameters: dict[str, Any]
    state: BackfillState
    reason: str | None
    progress: BackfillProgress
    runs: BackfillRuns
    created_by: str | None
    created_at: datetime
    finished_at: datetime | None


class BackfillAnswer(Answer):
    """What was counted: `boundaries`, of which `existing` have their runs, and the `runs` to be made.

    With `dry_run` nothing was made, and `id` is null.
    """

    id: UUID | None
    dry_run: bool
    boundaries: int
    existing: int
    runs: int
    first_at: datetime | None
    last_at: datetime | None
    to: datetime


class BackfillsQuery(ListQuery):
    schedule: Annotated[str | None, Field(max_length=63)] = None
    state: BackfillState | None = None


def backfill_view(row: Mapping[str, Any]) -> dict[str, Any]:
    runs = {name: (row["runs"] or {}).get(name, 0) for name in _RUNS}
    handled = row["started_count"] + row["passed_count"]
    remaining = 0 if row["state"] == "done" else max(0, row["boundary_count"] - handled)
    share = 1.0 if not row["boundary_count"] else min(1.0, handled / row["boundary_count"])
    same = (
        "id",
        "schedule",
        "parallel",
        "parameters",
        "state",
        "reason",
        "created_by",
        "created_at",
        "finished_at",
    )
    return {
        **{name: row[name] for name in same},
        "from": row["from_at"],
        "to": row["to_at"],
        "force": row["forced"],
        "rate": row["per_minute"],
        "progress": {
            "boundaries": row["boundary_count"],
            "started": row["started_count"],
            "passed": row["passed_count"],
            "remaining": remaining,
            "done_share": round(share, 4),
        },
        "runs": {"total": sum(runs.values()), **runs},
    }


def asked_of(request: BackfillRequest) -> Asked:
    return Asked(
        request.from_.astimezone(UTC),
        request.to.astimezone(UTC),
        request.force,
        request.parallel,
        request.rate,
        request.parameters,
    )


def _answer(counted: Counted, made: UUID | None) -> dict[str, Any]:
    return {
        "id": made,
        "dry_run": made is None,
        "boundaries": counted.boundary_count,
        "existing": counted.present_count,
        "runs": counted.run_count,
        "first_at": counted.first_at,
        "last_at": counted.last_at,
        "to": counted.to_at,
    }


async def backfill_schedule(desk: Desk, call: Call[NoQuery, BackfillRequest]) -> Reply:
    """Count; and unless it is a dry run, make it."""
    name = call.path["schedule"]
    try:
        asked = asked_of(call.body)
        async with desk.acting(call) as connection:
            if call.body.dry_run:
                return Reply(
                    _answer(await backfilling.count(connection, call.tenant, name, asked), None), 200
                )
            key = None if call.key is None else (call.key, call.digest)
            made, counted = await backfilling.make(connection, call.tenant, name, asked, call.started_by, key)
    except OverflowError:
        raise invalid_at("/from", "is out of the range of time") from None
    except NoScheduleError:
        raise not_found("schedule") from None
    except NotStartableError as error:
        raise invalid_at(f"/{error.place}", str(error)) from error
    except KeyReusedError as error:
        raise key_reused(error) from error
    desk.bell.ring()
    return Reply(_answer(counted, made), headers={"Location": f"{API}/backfills/{made}"})


async def list_backfills(desk: Desk, call: Call[BackfillsQuery, None]) -> Reply:
    query = call.query
    async with desk.acting(call) as connection:
        rows = await backfills.list_backfills(
            connection,
            call.tenant,
            schedule=query.schedule,
            state=query.state,
            after=after_moment(query, "backfills"),
            limit=query.limit + 1,
        )
    return Reply(
        listing(
            rows,
            query.limit,
            backfill_view,
            lambda row: token_of("backfills", row["created_at"].isoformat(), row["id"]),
        )
    )


async def show_backfill(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    async with desk.acting(call) as connection:
        row = await backfills.get(connection, call.tenant, call.id("backfill"))
    if row is None:
        raise not_found("backfill")
    return Reply(backfill_view(row))


async def cancel_backfill(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    """One that is cancelled already stays so."""
    identifier = call.id("backfill")
    async with desk.acting(call) as connection:
        if await backfills.get(connection, call.tenant, identifier) is None:
            raise not_found("backfill")
        cancelled = await backfilling.cancel(connection, identifier, call.started_by)
        row = await backfills.get(connection, call.tenant, identifier)
    assert row is not None
    if not cancelled and row["state"] != "cancelled":
        raise conflict(f"The backfill has ended already: it is {row['state']}")
    desk.bell.ring()
    return Reply(backfill_view(row))
