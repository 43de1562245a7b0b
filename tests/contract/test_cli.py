"""The command line as a whole: every command and verb can be told of, and each is there once."""

import argparse
from collections.abc import Iterator

from headwater.cli.commands import _COMMANDS
from headwater.cli.main import parser


def parsers(of: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield of
    for action in of._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                yield from parsers(each)


def test_every_command_has_help_and_something_that_does_it() -> None:
    top = parser()
    names = next(action for action in top._actions if isinstance(action, argparse._SubParsersAction)).choices

    assert all(each.format_help() for each in parsers(top))
    assert set(names) - set(_COMMANDS) == {"up", "run"}
