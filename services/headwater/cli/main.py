"""Arguments in, exit code out. Everything heavy is imported by the command that needs it."""

import argparse
import errno
import os
import sys
from collections.abc import Sequence

from headwater import __version__
from headwater.cli.exits import Exit
from headwater.cli.life_parsers import add_life_commands, add_run_verbs
from headwater.cli.options import limited, one, output, starting, verbs_of
from headwater.cli.resource_parsers import add_resource_commands
from headwater.cli.schedule_parsers import add_preview, add_schedule_commands
from headwater.cli.telling_parsers import add_telling_commands
from headwater.cli.webhook_parsers import add_webhook_commands
from headwater.model.run import RunState

RUN_STATES = tuple(state.value for state in RunState)
SERVICES = ("receiver", "timer", "fetcher", "persister", "notifier", "control")
_CANNOT_HOLD_MORE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = argparse.ArgumentParser(
        prog="headwater", description="Webhooks and scheduled API walks become rows in PostgreSQL tables."
    )
    top.add_argument("--version", action="version", version=f"headwater {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)

    up = commands.add_parser("up", help="run every service in one process, with what they need")
    up.add_argument("--rabbitmq", action="store_true", help="run a private RabbitMQ node as the bus")
    up.add_argument("--demo", action="store_true", help="show both ways at work on data of its own")
    up.add_argument(
        "--without",
        action="append",
        default=[],
        choices=SERVICES,
        metavar="SERVICE",
        help="leave a service out (repeatable)",
    )

    run = commands.add_parser("run", help="run some services")
    run.add_argument("services", nargs="+", choices=SERVICES, metavar="SERVICE", help=", ".join(SERVICES))
    run.add_argument("--once", action="store_true", help="do what is due now, then end")

    for name, text in (
        ("validate", "check a manifest; nothing is applied"),
        ("plan", "what a manifest would change; nothing is written (exit 4: there are changes)"),
        ("apply", "bring a manifest into force"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("file", help="the manifest (YAML or JSON); - reads standard input")
        command.add_argument("--json", action="store_true", help="print JSON")

    export = commands.add_parser("export", help="the configuration as a manifest; secrets are only named")
    export.add_argument("--tenant", default="default", help="whose (default: default)")
    export.add_argument("--json", action="store_true", help="print JSON")

    add_preview(commands)
    add_schedule_commands(commands)
    _runs(commands)
    add_life_commands(commands)
    add_resource_commands(commands)
    add_webhook_commands(commands)
    add_telling_commands(commands)
    _destinations(commands)
    _hostile(commands)

    topology = commands.add_parser("topology", help="the broker's exchanges and queues")
    topology.add_argument("verb", choices=("apply", "check"))
    database = commands.add_parser("db", help="the database's schema, and what is kept in it")
    database.add_argument("verb", choices=("migrate", "status", "cleanup"))
    database.add_argument(
        "--dry-run", action="store_true", help="with cleanup: count what would go, and remove nothing"
    )
    database.add_argument("--json", action="store_true", help="print JSON")
    doctor = commands.add_parser("doctor", help="check settings, database and broker, and say what to mend")
    doctor.add_argument("--json", action="store_true", help="print JSON")
    _config(commands)
    return top


def _config(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verbs = verbs_of(
        commands, "config", "the settings in force; configurations that are kept: show, save, load, saved"
    )
    verbs.add_parser("show", help="the settings in force").add_argument(
        "--json", action="store_true", help="print JSON"
    )
    save = one(verbs, "save", "keep the tenant's configuration under a name", "name")
    save.add_argument("--note", help="what for")
    one(verbs, "load", "bring a configuration that was kept into force again", "name")
    one(verbs, "forget", "forget a configuration that was kept", "name")
    saved = verbs.add_parser("saved", help="configurations that are kept")
    limited(saved)
    output(saved)


def _listing(command: argparse.ArgumentParser) -> None:
    command.add_argument("--limit", type=int, default=20, help="how many (default 20)")
    output(command)


def _runs(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    runs = commands.add_parser("runs", help="list, show, start, cancel and repeat runs")
    verbs = runs.add_subparsers(dest="verb", metavar="VERB", required=True)
    listing = verbs.add_parser("list", help="the newest runs")
    listing.add_argument("--stream", help="of one stream (source.stream)")
    listing.add_argument("--schedule", help="of one schedule")
    listing.add_argument("--state", choices=RUN_STATES, help="in one state")
    _listing(listing)
    show = verbs.add_parser("show", help="one run")
    show.add_argument("id")
    output(show)
    start = verbs.add_parser("start", help="start a run of a stream")
    start.add_argument("stream", help="source.stream")
    starting(start)
    start.add_argument("--mode", choices=("auto", "incremental", "full", "dry_run"), default="auto")
    start.add_argument(
        "--force", action="store_true", help="with --mode full: rebuild the table from what the run brings"
    )
    start.add_argument(
        "--from",
        dest="start",
        metavar="TIME",
        help="only what changed from then on: a date or an instant with a zone; the cursor stays",
    )
    start.add_argument("--to", dest="end", metavar="TIME", help="and before then (default: now)")
    start.add_argument(
        "--wait", action="store_true", help="wait until the run is final; exit 1 unless it succeeded"
    )
    output(start)
    add_run_verbs(verbs)


def _hostile(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    hostile = commands.add_parser(
        "hostile-api", help="serve an API that misbehaves as real ones do, for tests"
    )
    hostile.add_argument("--port", type=int, default=8099, help="on 127.0.0.1 (default 8099)")
    what = hostile.add_mutually_exclusive_group()
    what.add_argument("--list", action="store_true", help="list the behaviours and their right outcomes")
    what.add_argument("--manifest", action="store_true", help="print a manifest that walks all of them")
    hostile.add_argument("--json", action="store_true", help="print JSON")


def _destinations(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    destinations = commands.add_parser("destinations", help="list, show and delete destinations with a name")
    verbs = destinations.add_subparsers(dest="verb", metavar="VERB", required=True)
    _listing(verbs.add_parser("list", help="all of them, by name"))
    for name, text in (("show", "one destination"), ("delete", "delete one that nothing uses")):
        command = verbs.add_parser(name, help=text)
        command.add_argument("name")
        output(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code of one call: 0 ok, 1 failure, 2 usage, 3 not found, 4 conflict, 5 unreachable."""
    given = sys.argv[1:] if arguments is None else arguments
    if not given:
        parser().print_help(sys.stderr)
        return Exit.USAGE
    chosen = parser().parse_args(given)
    try:
        return _call(chosen)
    except KeyboardInterrupt:
        return Exit.FAILURE
    except BrokenPipeError:
        sys.stderr.close()
        return Exit.FAILURE
    except OSError as error:
        if error.filename is not None or error.errno not in _CANNOT_HOLD_MORE:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for what waits to be written still
        print(f"headwater: what was to be told could not be written: {error.strerror}", file=sys.stderr)
        return Exit.FAILURE


def _call(chosen: argparse.Namespace) -> int:
    if chosen.command in ("up", "run"):
        from headwater.cli.serve import serve as do  # noqa: PLC0415 - `--version` stays quick
    else:
        from headwater.cli.commands import execute as do  # noqa: PLC0415 - as above
    code = do(chosen)
    sys.stdout.flush()  # what cannot be written is told now, not while the process ends
    return code
