"""The commands about schedules, calendars and times: their verbs and options."""

import argparse

from headwater.cli.life_parsers import add_schedule_verbs
from headwater.cli.options import limited, output

_COUNT = "how many due times, up to 1000 (default 10)"
_STATES = ("active", "paused", "disabled", "failed", "expired", "error")


def add_preview(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """`preview`: due times, or the first pages of a stream."""
    preview = commands.add_parser(
        "preview",
        help="the next due times of a specification or schedule, or a stream's first pages; nothing is written",
    )
    preview.add_argument(
        "stream", nargs="?", help='source.stream, or a cron expression in quotes ("30 6 * * MON-FRI")'
    )
    preview.add_argument("--pages", type=int, default=3, help="how many pages at most (default 3)")
    preview.add_argument(
        "--manifest",
        metavar="FILE",
        help="stream or schedule as this manifest has it; - reads standard input",
    )
    times = preview.add_argument_group("due times")
    times.add_argument("--cron", action="append", default=[], help="a cron expression (repeatable)")
    times.add_argument("--interval", help="for example 90m")
    times.add_argument("--once", help="a single time: 2026-05-01T02:00:00+02:00")
    times.add_argument("--preset", help="a time by name, such as daily_2am")
    times.add_argument("--schedule", help="a schedule by name; with a specification: what H is drawn from")
    times.add_argument("--timezone", help="an IANA zone (default UTC)")
    times.add_argument(
        "--day-match", choices=("any", "all"), help="how day of month and day of week are joined"
    )
    times.add_argument(
        "--exclude", action="append", default=[], help="a day, range, calendar or cron (repeatable)"
    )
    times.add_argument("--on-excluded", choices=("skip", "next", "previous"), help="what becomes of them")
    times.add_argument("--after", help="times after this one (default: now)")
    times.add_argument("--count", type=int, default=10, help=_COUNT)
    output(preview)


def add_schedule_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """`schedules`, `calendars` and `import`."""
    _schedules(commands)
    _calendars(commands)
    _import(commands)


def _schedules(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    schedules = commands.add_parser("schedules", help="when streams are due")
    verbs = schedules.add_subparsers(dest="verb", metavar="VERB", required=True)
    add_schedule_verbs(verbs)
    listing = verbs.add_parser("list", help="schedules by name")
    listing.add_argument("--state", choices=_STATES, help="in one state")
    limited(listing)
    output(listing)
    for verb, text in (
        ("show", "one schedule"),
        ("next-runs", "its next due times"),
        ("delete", "remove it"),
    ):
        command = verbs.add_parser(verb, help=text)
        command.add_argument("name")
        if verb == "next-runs":
            command.add_argument("--count", type=int, default=10, help=_COUNT)
            command.add_argument("--after", help="times after this one (default: now)")
        if verb == "delete":
            command.add_argument("--cascade", action="store_true", help="also where others start after it")
        output(command)


def _calendars(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    calendars = commands.add_parser("calendars", help="days and times that schedules leave out")
    verbs = calendars.add_subparsers(dest="verb", metavar="VERB", required=True)
    listing = verbs.add_parser("list", help="calendars by name")
    limited(listing)
    output(listing)
    for verb, text in (("show", "one calendar"), ("days", "the days it leaves out"), ("delete", "remove it")):
        command = verbs.add_parser(verb, help=text)
        command.add_argument("name")
        if verb == "days":
            command.add_argument("--since", help="from this day on (default: today)")
            command.add_argument("--until", help="up to this day (default: a year later)")
        if verb == "delete":
            command.add_argument("--cascade", action="store_true", help="also where schedules name it")
        output(command)
    ics = verbs.add_parser("import", help="make a calendar of an iCalendar file, or replace its events")
    ics.add_argument("name")
    ics.add_argument("file", help="an .ics file; - reads standard input")
    ics.add_argument(
        "--on-excluded", choices=("skip", "next", "previous"), help="what becomes of due times on its days"
    )
    output(ics)


def _import(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    importing = commands.add_parser("import", help="schedules of other systems as a manifest")
    kinds = importing.add_subparsers(dest="kind", metavar="KIND", required=True)
    for kind, text in (
        ("crontab", "a user's crontab, or one with users such as /etc/crontab"),
        ("cronjob", "Kubernetes CronJobs (YAML)"),
    ):
        command = kinds.add_parser(kind, help=text)
        command.add_argument("file", help="the file; - reads standard input")
        command.add_argument(
            "--source", default="imported", help="the source that the commands become (default imported)"
        )
        command.add_argument("--base-url", default="https://example.com", help="its address in the manifest")
        command.add_argument("--timezone", help="the machine's zone, where the file names none (default UTC)")
        if kind == "crontab":
            command.add_argument(
                "--system", action=argparse.BooleanOptionalAction, default=None,
                help="lines name a user after the times, as in /etc/crontab (default: by their look)",
            )  # fmt: skip
        command.add_argument("--apply", action="store_true", help="bring it into force at once")
        command.add_argument("--tenant", default="default", help="whose (default: default)")
