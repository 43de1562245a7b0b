"""The command line as a whole: every command and verb can be told of, and each is there once."""

import argparse
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from headwater.cli.commands import _COMMANDS
from headwater.cli.main import main, parser
from headwater.cli.printing import print_table

FULL = Path("/dev/full")


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


def test_whatever_lists_or_shows_prints_json_and_yaml() -> None:
    verbs = {each.prog.partition(" ")[2]: each._option_string_actions for each in parsers(parser())}

    shown = [name for name in verbs if name.endswith((" list", " show", " start")) and name != "config show"]
    assert [name for name in shown if not {"--json", "-o"} <= set(verbs[name])] == []
    assert len(shown) > 20


def test_without_a_command_all_commands_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    code = main([])

    told = capsys.readouterr()
    assert (code, told.out) == (2, "")
    assert "bring a manifest into force" in told.err


def test_a_table_has_times_of_one_form_and_a_mark_for_what_is_empty(
    capsys: pytest.CaptureFixture[str],
) -> None:
    at = datetime(2026, 11, 30, 6, 30, 1, 5, tzinfo=UTC)

    print_table(("a", "b", "c", "d", "e"), [(at, at.isoformat(), "2026-11-30T06:30:01.5Z", "", [])], empty="")

    row = capsys.readouterr().out.splitlines()[1]
    assert row.split("  ") == [*["2026-11-30 06:30:01"] * 3, "-", "-"]


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full: run it on Linux")
@pytest.mark.parametrize("arguments", [["--list"], ["--list", "--json"], ["--manifest"]])
def test_what_a_full_disk_does_not_take_is_told_in_one_line(arguments: list[str]) -> None:
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "headwater", "hostile-api", *arguments],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip

    assert done.returncode == 1
    assert done.stderr == "headwater: what was to be told could not be written: No space left on device\n"


@pytest.mark.parametrize("port", ["-1", "65536"])
def test_a_port_that_cannot_be_is_refused(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["hostile-api", "--port", port])

    assert code == 2
    assert "give a number from 0" in capsys.readouterr().err
