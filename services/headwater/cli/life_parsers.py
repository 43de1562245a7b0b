"""The commands about the life of runs: verbs of schedules and runs, `backfills`, `stats`."""

import argparse

from headwater.cli.options import keyed, limited, listing_of, one, output, starting, verbs_of

SCHEDULE_VERBS = ("enable", "disable", "pause", "resume", "reset-failures", "run", "history", "backfill")
RUN_VERBS = ("cancel", "rerun", "report", "pages")
_SINCE = "due from then on: a time, or how long ago (2h)"


def add_life_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """`backfills` and `stats`."""
    backfills = verbs_of(commands, "backfills", "past windows of schedules that are run again")
    listing = listing_of(backfills, "the newest ones")
    listing.add_argument("--schedule", help="of one schedule")
    listing.add_argument("--state", choices=("running", "done", "cancelled", "failed"), help="in one state")
    one(backfills, "show", "one of them, and how far it is")
    one(backfills, "cancel", "end it, with the runs of it that have not ended")

    stats = commands.add_parser("stats", help="how runs went: of the tenant, or of one schedule")
    stats.add_argument("schedule", nargs="?", help="its name")
    stats.add_argument("--since", help=f"{_SINCE}; default: 30 days ago")
    stats.add_argument("--until", help="due before")
    output(stats)


def add_schedule_verbs(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """What people do with a schedule."""
    one(verbs, "enable", "let it run", "name")
    one(verbs, "disable", "let it rest until it is enabled", "name").add_argument("--note", help="why")
    pause = one(verbs, "pause", "let it rest until it is resumed", "name")
    pause.add_argument("--note", help="why")
    pause.add_argument("--until", metavar="TIME", help="it goes on by itself then; or for how long (2h)")
    one(verbs, "resume", "let a paused schedule go on", "name")
    one(verbs, "reset-failures", "count failures anew; a schedule that stopped by itself goes on", "name")
    run = one(verbs, "run", "start a run of each of its streams now", "name")
    starting(run)
    run.add_argument("--mode", choices=("auto", "incremental", "full", "dry_run"))
    run.add_argument("--force", action="store_true", default=None, help="with mode full: rebuild the table")
    run.add_argument("--wait", action="store_true", help="wait for the end; exit 1 unless all succeeded")
    history = one(verbs, "history", "its newest runs", "name")
    limited(history)
    _backfill(one(verbs, "backfill", "run the due times of a past window", "name"))


def _backfill(backfill: argparse.ArgumentParser) -> None:
    backfill.add_argument("--from", dest="start", required=True, metavar="TIME", help="the first due time")
    backfill.add_argument("--to", dest="end", required=True, metavar="TIME", help="not this one any more")
    backfill.add_argument("--dry-run", action="store_true", help="only count")
    backfill.add_argument("--rate", help="due times a minute at most, or 10/s, 100/h")
    backfill.add_argument("--parallel", type=int, help="so many due times at once (default 1)")
    backfill.add_argument("--force", action="store_true", help="also those that have their runs")
    starting(backfill)
    backfill.add_argument("--wait", action="store_true", help="wait for the end; exit 1 unless all succeeded")


def add_run_verbs(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """What people do with a run."""
    one(verbs, "cancel", "end a run that waits or runs")
    keyed(one(verbs, "rerun", "run it again: the same due time, window and parameters"))
    one(verbs, "report", "all there is to know of a run")
    limited(one(verbs, "pages", "its pages, in order"))
