"""The monitor: what is wrong, since when, and what to do about it."""

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from headwater.control.route import Answer, Call, Desk, NoQuery, Reply
from headwater.model.errors import Unavailable
from headwater.model.habits import late_after_s
from headwater.model.names import DEFAULT_TENANT
from headwater.store import maintenance, monitor
from headwater.store import notifications as told

ASK_S = 5.0
RELAY_S = 60.0
UNFIRED_S = 300.0
LATE_S = 60.0
Kind = Literal[
    "failed", "stuck", "late", "stale", "not_fired", "auto_disabled", "schedule_error", "paused", "disabled",
    "silence", "refusals", "dead_deliveries", "dead_letters", "notification_dead", "notification_late", "target_gone",
    "relay", "partitions", "bus",
]  # fmt: skip
_COMMAND = re.compile(r"`(headwater (?!doctor)[^`]+)`")  # that one looks at no tenant
HARMLESS = frozenset({"paused", "disabled"})  # somebody wants it so


class MonitorProblem(Answer):
    """One thing that is wrong. `severity` info is worth knowing and no fault."""

    kind: Kind
    severity: Literal["error", "info"]
    subject: str
    since: datetime | None
    what: str
    next: str


class MonitorCounts(Answer):
    """Runs and deliveries of the last day by state, schedules by state, what waits and what was given up."""

    runs: dict[str, int]
    schedules: dict[str, int]
    deliveries: dict[str, int]
    dead_letters: int
    notifications: dict[str, int]
    outbox: int


class Monitor(Answer):
    """`status` is `ok` when no problem is an error. `queues` are shown to keys of no tenant only."""

    status: Literal["ok", "problems"]
    tenant: str
    checked_at: datetime
    problems: list[MonitorProblem]
    counts: MonitorCounts
    queues: dict[str, int] | None


def _problem(kind: Kind, subject: str, since: datetime | None, what: str, following: str) -> dict[str, Any]:
    severity = "info" if kind in HARMLESS else "error"
    return {
        "kind": kind,
        "severity": severity,
        "subject": subject,
        "since": since,
        "what": what,
        "next": following,
    }


async def show_monitor(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    """Everything that is looked at, of the call's tenant."""
    tenant = call.tenant
    problems: list[dict[str, Any]] = []
    async with desk.acting(call) as connection:
        problems += _runs(
            await monitor.failed_streams(connection, tenant), await monitor.stuck_runs(connection, tenant)
        )
        problems += _schedules(
            await monitor.stale_schedules(connection, [tenant]),
            await monitor.unwell_schedules(connection, tenant),
        )
        problems += _late(
            await told.open_runs(connection, [tenant], LATE_S),
            await told.unfired(connection, [tenant], UNFIRED_S),
        )
        problems += _endpoints(await monitor.alarms(connection, tenant))
        problems += _deliveries(await monitor.dead_deliveries(connection, tenant))
        letters = await monitor.dead_letters(connection, tenant)
        sent = await monitor.notifications(connection, tenant)
        problems += _messages(letters, sent, await monitor.stops(connection, tenant))
        owed = await monitor.owed(connection)
        if owed["oldest_s"] > RELAY_S:
            what = f"{owed['message_count']} messages wait for the relay, the oldest for {owed['oldest_s']:.0f} s"
            problems.append(_problem("relay", "timer", None, what, "start a timer, or look at its log"))
        counts = await monitor.counts(connection, tenant)
    queues = None
    if call.caller.is_global:
        queues, more = await _ground(desk)
        problems += more
    problems.sort(key=lambda problem: problem["severity"] == "info")
    is_wrong = any(problem["severity"] == "error" for problem in problems)
    return Reply(
        {
            "status": "problems" if is_wrong else "ok",
            "tenant": tenant,
            "checked_at": desk.clock.now(),
            "problems": [{**problem, "next": _in_tenant(problem["next"], tenant)} for problem in problems],
            "counts": {
                **counts,
                "dead_letters": letters["letter_count"],
                "notifications": {name: sent[name] for name in ("waiting", "sent", "dead")},
                "outbox": owed["message_count"],
            },
            "queues": queues,
        }
    )


async def _ground(desk: Desk) -> tuple[dict[str, int] | None, list[dict[str, Any]]]:
    """Depths of the queues, and what is wrong below all tenants."""
    problems = []
    queues: dict[str, int] | None = None
    try:
        async with asyncio.timeout(ASK_S):
            queues = dict(await desk.bus.depth())
    except (Unavailable, TimeoutError):
        problems.append(
            _problem("bus", "bus", None, "the bus does not answer", "look at the broker: `headwater doctor`")
        )
    async with desk.worker.connection() as connection:
        for table, count in (await maintenance.default_rows(connection)).items():
            what = f"table {table} has {count} rows outside of every day's partition"
            problems.append(
                _problem("partitions", table, None, what, "check the clocks, and that a timer runs")
            )
    return queues, problems


def _in_tenant(following: str, tenant: str) -> str:
    """Its commands act in the tenant."""
    if tenant == DEFAULT_TENANT:
        return following
    return _COMMAND.sub(rf"`\1 --tenant {tenant}`", following)


Rows = Sequence[Mapping[str, Any]]


def _runs(failed: Rows, stuck: Rows) -> Iterator[dict[str, Any]]:
    for row in failed:
        why = f"its last run failed: {row['error_kind']}: {row['error_message'] or ''}"[:500]
        yield _problem(
            "failed", row["stream"], row["finished_at"], why, f"see `headwater runs show {row['id']}`"
        )
    for row in stuck:
        waits = f", waits for {row['waits_for']}" if row["waits_for"] else ""
        what = f"run {row['id']} is {row['state']} without progress for {row['quiet_s']:.0f} s{waits}"
        following = (
            f"see `headwater runs show {row['id']}`; cancel it with `headwater runs cancel {row['id']}`"
        )
        yield _problem("stuck", row["stream"], row["progress_at"] or row["due_at"], what, following)


def _schedules(stale: Rows, unwell: Rows) -> Iterator[dict[str, Any]]:
    for row in stale:
        what = f"no success since then; its longest pause of late was {row['gap_s']:.0f} s"
        following = f"see `headwater runs list --schedule {row['name']}`"
        yield _problem("stale", row["name"], row["last_success_at"], what, following)
    kinds: dict[str, tuple[Kind, str]] = {
        "failed": ("auto_disabled", "mend the cause, then `headwater schedules enable {name}`"),
        "error": ("schedule_error", "mend its specification and apply it"),
        "paused": ("paused", "`headwater schedules resume {name}` when it is time"),
        "disabled": ("disabled", "`headwater schedules enable {name}` when it is time"),
    }
    for row in unwell:
        kind, following = kinds[row["state"]]
        what = row["state_reason"] or f"it is {row['state']}"
        yield _problem(kind, row["name"], row["updated_at"], what, following.format(name=row["name"]))


def _late(running: Rows, unfired: Rows) -> Iterator[dict[str, Any]]:
    for row in running:
        limit_s = late_after_s(row["longest_s"], row["run_count"])
        if row["age_s"] < limit_s:
            continue
        what = (
            f"run {row['id']} is {row['state']} {row['age_s']:.0f} s after it was due (limit {limit_s:.0f} s)"
        )
        stream = f"{row['source']}.{row['stream']}"
        yield _problem("late", stream, row["due_at"], what, f"see `headwater runs show {row['id']}`")
    for row in unfired:
        what = "it was due then and has not fired"
        yield _problem("not_fired", row["name"], row["next_at"], what, "start a timer, or look at its log")


def _endpoints(alarms: Rows) -> Iterator[dict[str, Any]]:
    for row in alarms:
        detail = row["detail"]
        if row["kind"] == "silence":
            what = f"nothing came since {detail.get('quiet_since')} (limit {detail.get('limit_s')} s)"
            following = "look whether the sender still sends, and where to"
        else:
            what = f"{detail.get('refused')} of {detail.get('requests')} requests were refused"
            following = f"see `headwater refusals list --endpoint {row['endpoint']}`"
        yield _problem(row["kind"], row["endpoint"], row["since"], what, following)


def _deliveries(dead: Rows) -> Iterator[dict[str, Any]]:
    for row in dead:
        what = (
            f"{row['delivery_count']} deliveries of the last day are dead; the newest: {row['reason'] or ''}"[
                :500
            ]
        )
        chosen = f"--endpoint {row['endpoint']} --state dead"
        replay = f"`headwater deliveries replay {chosen}`"
        following = f"see `headwater deliveries list {chosen}`; mend the cause, then {replay}"
        yield _problem("dead_deliveries", row["endpoint"], row["since"], what, following)


def _messages(letters: Mapping[str, Any], sent: Mapping[str, Any], stops: Rows) -> Iterator[dict[str, Any]]:
    if letters["letter_count"]:
        what = f"{letters['letter_count']} messages were given up and wait for somebody"
        following = "see `headwater dead-letters list`; replay or discard them"
        yield _problem("dead_letters", "dead letters", letters["since"], what, following)
    if sent["dead"]:
        what = f"{sent['dead']} notifications were given up in the last day"
        following = "see `headwater notifications deliveries --state dead`; then redeliver"
        yield _problem("notification_dead", "notifications", None, what, following)
    if sent["overdue"]:
        what = f"{sent['overdue']} notifications are due for minutes"
        yield _problem(
            "notification_late", "notifications", None, what, "start a notifier, or look at its log"
        )
    for row in stops:
        name = row["target"].partition("/")[0] or row["target"]
        following = f"correct its target, or `headwater notifications enable {name}`"
        yield _problem("target_gone", name, row["stopped_at"], row["reason"], following)
