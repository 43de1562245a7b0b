"""Options that many commands have."""

import argparse

MAX_LIMIT = 500


def output(command: argparse.ArgumentParser) -> None:
    """The options of every command that shows something."""
    command.add_argument("--tenant", default="default", help="whose (default: default)")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.add_argument("-o", "--output", choices=("table", "json", "yaml"), help="print it as")


def limited(command: argparse.ArgumentParser) -> None:
    command.add_argument("--limit", type=int, default=20, help=f"how many, up to {MAX_LIMIT} (default 20)")


def starting(command: argparse.ArgumentParser) -> None:
    """The options of what starts runs."""
    command.add_argument(
        "-p", "--param", action="append", default=[], metavar="NAME=VALUE", help="JSON or text (repeatable)"
    )
    keyed(command)


def keyed(command: argparse.ArgumentParser) -> None:
    command.add_argument("--key", help="idempotency key: the same one asks for the same, for 7 days")


def verbs_of(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, text: str
) -> "argparse._SubParsersAction[argparse.ArgumentParser]":
    return commands.add_parser(name, help=text).add_subparsers(dest="verb", metavar="VERB", required=True)


def one(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", verb: str, text: str, named: str = "id"
) -> argparse.ArgumentParser:
    command = verbs.add_parser(verb, help=text)
    command.add_argument(named)
    output(command)
    return command


def listing_of(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", text: str
) -> argparse.ArgumentParser:
    command = verbs.add_parser("list", help=text)
    limited(command)
    output(command)
    return command
