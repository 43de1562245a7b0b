"""The commands `notifications` and `monitor`: their verbs and options."""

import argparse

from headwater.cli.options import limited, listing_of, one, output, verbs_of


def add_telling_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """`notifications`, `monitor`."""
    verbs = verbs_of(
        commands,
        "notifications",
        "who is told of what: list, show, enable, disable, delete, test, deliveries, delivery, redeliver",
    )
    listing_of(verbs, "all of them, by name")
    for verb, text in (
        ("show", "one notification"),
        ("enable", "tell again, also targets that were gone"),
        ("disable", "tell nobody"),
        ("test", "send a test to every target now; exit 1 unless all took it"),
    ):
        one(verbs, verb, text, "notification")
    one(verbs, "delete", "remove one; what it has sent stays", "notification").add_argument(
        "--cascade", action="store_true", help="also when schedules name it"
    )
    sent = verbs.add_parser("deliveries", help="what was sent and what waits, newest first")
    sent.add_argument("--notification", help="of one notification")
    sent.add_argument("--state", choices=("waiting", "sent", "dead"), help="in one state")
    sent.add_argument("--event", help="of one event, such as failed")
    sent.add_argument("--schedule", help="about one schedule")
    sent.add_argument("--since", metavar="TIME", help="from then on: 2026-01-31T12:00:00Z, or 2h")
    limited(sent)
    output(sent)
    one(verbs, "delivery", "one of them, with its attempts", "sent")
    one(verbs, "redeliver", "send it again under its own id", "sent")

    monitor = commands.add_parser("monitor", help="what is wrong; exit 1 when something is")
    monitor.add_argument(
        "--watch",
        nargs="?",
        type=float,
        const=5.0,
        metavar="S",
        help="look again every S seconds (default 5)",
    )
    output(monitor)
