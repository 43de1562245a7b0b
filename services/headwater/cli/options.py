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
