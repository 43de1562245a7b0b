"""Looks for what is late: runs that take longer than they used to, schedules that nobody fires, and silent ones."""

from collections.abc import Mapping
from typing import Any

from headwater.model.habits import HABIT_FACTOR, LEAST_S, UNKNOWN_S, late_after_s
from headwater.store import monitor, notifications

UNFIRED_S = 300.0


async def look(connection: Any) -> int:
    """Note what is late, once for each run and limit, in the caller's transaction; gives how many are new."""
    if not await notifications.may_look(connection):
        return 0
    limits = await notifications.late_limits(connection)
    if not limits:
        return 0
    least_s = min([LEAST_S, *(chosen for of in limits.values() for chosen in of if chosen is not None)])
    new = 0
    for run in await notifications.open_runs(connection, list(limits), least_s):
        for chosen in limits[run["tenant"]]:
            limit_s = late_after_s(run["longest_s"], run["run_count"]) if chosen is None else float(chosen)
            if run["age_s"] >= limit_s:
                new += await _note(connection, run, chosen, limit_s)
    for schedule in await notifications.unfired(connection, list(limits), UNFIRED_S):
        at = schedule["next_at"].isoformat()
        new += await notifications.happened(
            connection, schedule["tenant"], "late", "schedule", schedule["name"], {"next_at": at}, at
        )
    return new


async def look_for_silence(connection: Any) -> int:
    """Note schedules without a success for longer than is their habit, each silence once; gives how many are new."""
    if not await notifications.may_look(connection, "silent"):
        return 0
    tenants = await notifications.wanting_silence(connection)
    new = 0
    for row in await monitor.stale_schedules(connection, tenants) if tenants else ():
        since = row["last_success_at"].isoformat()
        limit_s = max(UNKNOWN_S, HABIT_FACTOR * row["gap_s"])
        detail = {"last_success_at": since, "limit_s": round(limit_s)}
        new += await notifications.happened(
            connection, row["tenant"], "silence", "schedule", row["name"], detail, since
        )
    return new


async def _note(connection: Any, run: Mapping[str, Any], chosen: int | None, limit_s: float) -> bool:
    detail = {
        "stream": f"{run['source']}.{run['stream']}",
        "schedule": run["schedule"],
        "state": run["state"],
        "due_at": run["due_at"].isoformat(),
        "started_at": run["started_at"] and run["started_at"].isoformat(),
        "age_s": round(run["age_s"]),
        "limit_s": round(limit_s),
        "waits_for": run["waits_for"],
        "late_after_s": chosen,
    }
    return await notifications.happened(
        connection, run["tenant"], "late", "run", str(run["id"]), detail, chosen
    )
