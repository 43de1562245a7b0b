"""The rows of the route table for the life of runs: verbs of schedules, reports, statistics, backfills."""

from headwater.control import backfill_door, run_report, schedule_door, stats
from headwater.control.frame import API
from headwater.control.paging import ListQuery, Page
from headwater.control.route import Route
from headwater.control.runs import Run
from headwater.control.schedules import Schedule

_SCHEDULE = f"{API}/schedules/{{schedule}}"


def run_rows() -> tuple[Route, ...]:
    """Every row that is about the life of runs, besides runs themselves."""
    return (*_verb_rows(), *_backfill_rows(), *_other_rows())


def _verb_rows() -> tuple[Route, ...]:
    return (
        Route("POST", f"{_SCHEDULE}/enable", schedule_door.enable_schedule, "Let a schedule run", "write", Schedule,
              tag="schedules", problems=(409,)),
        Route("POST", f"{_SCHEDULE}/disable", schedule_door.disable_schedule, "Let a schedule rest", "write", Schedule,
              body=schedule_door.Noted, tag="schedules"),
        Route("POST", f"{_SCHEDULE}/pause", schedule_door.pause_schedule,
              "Let a schedule rest, with a note, until a time or until it is resumed", "write", Schedule,
              body=schedule_door.Pause, tag="schedules", problems=(409,)),
        Route("POST", f"{_SCHEDULE}/resume", schedule_door.resume_schedule, "Let a paused schedule go on", "write",
              Schedule, body=schedule_door.Noted, tag="schedules", problems=(409,)),
        Route("POST", f"{_SCHEDULE}/reset-failures", schedule_door.reset_schedule_failures,
              "Count failures in a row anew; a schedule that stopped because of them goes on", "write", Schedule,
              tag="schedules", problems=(409,)),
        Route("POST", f"{_SCHEDULE}/run", schedule_door.run_schedule, "Start a run of each of its streams now", "run",
              schedule_door.ScheduleStarted, body=schedule_door.StartNow, status=202, keyed=True, tag="schedules",
              problems=(409,)),
        Route("GET", f"{_SCHEDULE}/history", schedule_door.schedule_history, "Its runs, newest first", "read",
              Page[Run], query=ListQuery, tag="schedules"),
    )  # fmt: skip


def _backfill_rows() -> tuple[Route, ...]:
    return (
        Route("POST", f"{_SCHEDULE}/backfill", backfill_door.backfill_schedule,
              "Run the due times of a past window; `dry_run` (200) only counts them", "run",
              backfill_door.BackfillAnswer, body=backfill_door.BackfillRequest, status=202, also=200, keyed=True,
              tag="backfills"),
        Route("GET", f"{API}/backfills", backfill_door.list_backfills, "Backfills, newest first", "read",
              Page[backfill_door.Backfill], query=backfill_door.BackfillsQuery, tag="backfills"),
        Route("GET", f"{API}/backfills/{{backfill}}", backfill_door.show_backfill, "A backfill and how far it is",
              "read", backfill_door.Backfill, tag="backfills"),
        Route("POST", f"{API}/backfills/{{backfill}}/cancel", backfill_door.cancel_backfill,
              "End a backfill, and the runs of it that have not ended", "run", backfill_door.Backfill,
              tag="backfills", problems=(409,)),
    )  # fmt: skip


def _other_rows() -> tuple[Route, ...]:
    return (
        Route("GET", f"{API}/runs/{{run}}/report", run_report.show_report, "All there is to know of a run", "read",
              run_report.RunReport, tag="runs"),
        Route("GET", f"{API}/stats", stats.tenant_stats, "How the tenant's runs went", "read", stats.TenantStats,
              query=stats.StatsQuery, tag="statistics"),
        Route("GET", f"{API}/stats/schedules/{{schedule}}", stats.schedule_stats, "How a schedule's runs went", "read",
              stats.ScheduleStats, query=stats.StatsQuery, tag="statistics"),
    )  # fmt: skip
