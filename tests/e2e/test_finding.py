"""Which database a command asks: that of a headwater that runs, a folder's own, or none, told at once."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.processes import Children

MANIFEST = """\
version: 1
sources:
  - name: shop
    base_url: https://shop.example.com
    streams: [{name: orders, request: {path: /orders}}]
"""
AT_ONCE_S = 15  # far below the 60 s that a service waits, with room for a busy machine


@pytest.fixture
def children(tmp_path: Path) -> Iterator[Children]:
    with Children(tmp_path, XDG_DATA_HOME=str(tmp_path / "home")) as children:
        yield children


@pytest.mark.parametrize("command", [("runs", "list"), ("export",), ("monitor",), ("db", "status")])
def test_a_question_where_nothing_is_set_up_sets_nothing_up_and_says_what_to_do(
    children: Children, command: tuple[str, ...]
):
    asked = children.run(*command, HEADWATER_DATA_DIR="")

    assert asked.code == 5, asked.output
    assert f"nothing is set up in {children.folder / 'home/headwater'}" in asked.output
    assert "headwater up" in asked.output
    assert "HEADWATER_DATA_DIR" in asked.output
    assert not (children.folder / "home").exists()


def test_a_question_names_the_folder_on_which_headwater_runs(children: Children):
    children.start("up").ready()

    asked = children.run("runs", "list", HEADWATER_DATA_DIR="")
    doctor = children.run("doctor", HEADWATER_DATA_DIR="")

    line = f"export HEADWATER_DATA_DIR={children.folder / 'data'}"
    assert (asked.code, line in asked.output) == (5, True), asked.output
    assert line in doctor.output
    assert not (children.folder / "home").exists()


def test_a_folder_that_nobody_named_is_told_when_a_command_sets_it_up_or_starts_it(children: Children):
    (children.folder / "shop.yml").write_text(MANIFEST)
    home = str(children.folder / "home/headwater")

    applied = children.run("apply", "shop.yml", HEADWATER_DATA_DIR="")
    asked = children.run("runs", "list", HEADWATER_DATA_DIR="")
    named = children.run("sources", "list", "--json", HEADWATER_DATA_DIR=home)

    assert (applied.code, f"{home}; a database is made there" in applied.output) == (0, True), applied.output
    assert (asked.code, f"{home}; its database is started" in asked.output) == (0, True), asked.output
    assert [each["name"] for each in json.loads(named.output)] == ["shop"]  # and no other word


@pytest.mark.parametrize("command", [("runs", "list"), ("preview", "shop.orders"), ("monitor",)])
def test_a_database_without_migrations_is_told_of_at_once(
    children: Children, bare_database: str, command: tuple[str, ...]
):
    started = time.monotonic()

    asked = children.run(*command, HEADWATER_DATABASE_URL=bare_database)

    assert time.monotonic() - started < AT_ONCE_S
    assert asked.code == 5, asked.output
    assert len(asked.lines) == 1
    assert "run `headwater db migrate`" in asked.output


def test_commands_at_once_share_the_database_that_one_of_them_started(children: Children):
    (children.folder / "shop.yml").write_text(MANIFEST)
    assert children.run("apply", "shop.yml").code == 0

    asked = [children.start("sources", "list", "--json") for _ in range(6)]

    assert [each.wait() for each in asked] == [0] * 6, [each.output for each in asked]
    assert all(json.loads(each.output)[0]["name"] == "shop" for each in asked)
