"""Looks for what is late: runs that take longer than they used to, and schedules that nobody fires."""

from collections.abc import Mapping
from typing import Any

from headwater.model.habits import LEAST_S, late_after_s
from headwater.store import notifications

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
