"""`headwater up`: everything in one process with a database of its own, ended, killed and started again."""

import json
import os
import re
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from tests.support.amqp import manage
from tests.support.fleet import Fleet
from tests.support.flights import Flights, sum_of_table
from tests.support.places import own_folder
from tests.support.processes import HEADWATER, Child, Children, alive, until
from tests.support.rabbitmq import require_binaries

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def children() -> Iterator[Children]:
    with own_folder("up") as folder, Children(folder) as children:
        yield children


@dataclass(frozen=True)
class Running:
    """One `up` for the tests that leave it as it was."""

    children: Children
    up: Child


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with own_folder("up") as folder, Children(folder) as children:
        up = children.start("up").ready()
        yield Running(children, up)
        family = up.family()
        up.press_ctrl_c()
        assert up.wait(20) == 0
        _leaves_nothing(family)


def _leaves_nothing(family: list[psutil.Process]) -> None:
    until(lambda: not alive(family), f"{family} to end", timeout_s=10)


def _runs(children: Children) -> list[dict[str, object]]:
    listed = children.run("runs", "list", "--json")
    assert listed.code == 0, listed.output
    found: list[dict[str, object]] = json.loads(listed.output)
    return found


def _flat(text: str) -> str:
    """Without what differs from start to start: numbers, and how many blanks stand before them."""
    return re.sub(r" +", " ", re.sub(r"\d+", "0", text))


def _readme_lines() -> list[str]:
    """The lines of the README's example of `make up`, as patterns: `…` stands for whatever is left out."""
    block = next(part for part in README.split("```") if part.startswith("\nheadwater "))
    return [f"^{re.escape(line).replace('…', '.*')}" for line in _flat(block).splitlines() if line]


def test_the_demo_ends_with_rows_in_tables_and_ctrl_c_leaves_nothing_behind(children: Children):
    up = children.start("up", "--demo", PATH=os.defpath)
    up.line("Ctrl-C ends it", timeout_s=60)
    family = up.family()

    assert up.first_line_s is not None
    assert up.first_line_s <= 2
    assert "hw_default.orders: 2000 rows" in up.output
    assert "hw_default.payments: 20 rows" in up.output
    assert "21 answered 202, 1 answered 401" in up.output
    assert "duplicates marked: 1" in up.output
    assert f"export PATH={HEADWATER.parent}:$PATH" in up.output
    assert "Traceback" not in up.output
    assert [line for line in _readme_lines() if not re.search(line, _flat(up.output), re.MULTILINE)] == []
    assert len(family) > 1  # the database is a process of its own

    up.press_ctrl_c()

    assert up.wait(20) == 0
    _leaves_nothing(family)
    assert "Traceback" not in up.output
    assert " ERROR " not in up.output


def test_with_rabbitmq_the_demo_runs_over_a_node_of_its_own_that_ends_with_it(children: Children):
    require_binaries()
    up = children.start("up", "--demo", "--rabbitmq")
    up.line("Ctrl-C ends it", timeout_s=90)
    family = up.family()
    address = up.line("management UI").split("management UI ")[1].partition(",")[0]
    password = Path(up.line("management UI").rpartition(" in ")[2]).read_text().strip()

    assert "RabbitMQ" in up.line("  bus  ")
    assert ", user headwater, password in " in up.line("management UI")
    assert "hw_default.orders: 2000 rows" in up.output
    assert "hw_default.payments: 20 rows" in up.output
    queues = {queue["name"] for queue in manage(f"http://headwater:{password}@{address[7:]}", "queues")}
    assert {"headwater.webhook.received", "headwater.page.due", "headwater.dead"} <= queues
    assert password not in up.output
    assert "Traceback" not in up.output
    for command, said in (
        (("topology", "check"), "the topology is in place"),
        (("doctor",), f"run by process {up.pid}: reachable, topology in place"),
        (("run", "timer", "--once"), "bus        RabbitMQ"),
    ):
        asked = children.run(*command)
        assert (asked.code, said in asked.output) == (0, True), asked.output

    up.press_ctrl_c()

    assert up.wait(40) == 0
    without = children.run("topology", "check")
    assert (without.code, "no `headwater up --rabbitmq` runs on" in without.output) == (2, True)
    _leaves_nothing(family)


def test_what_began_while_another_was_ending_runs_the_database_once_that_one_is_gone(children: Children):
    first = children.start("up").ready()
    second = children.start("up").ready()
    assert f"of the headwater that runs already (process {first.pid})" in second.output

    first.press_ctrl_c()

    assert first.wait(40) == 0
    second.line("the embedded database is run by this process from now on")
    second.ready()
    assert children.run("runs", "list").code == 0
    told = children.run("runs", "list", HEADWATER_DATA_DIR=str(children.folder / "none"))
    assert f"(process {second.pid})" in told.output
    family = second.family()
    second.press_ctrl_c()
    assert second.wait(40) == 0
    _leaves_nothing(family)


def test_what_ran_beside_another_runs_its_broker_as_well_once_that_one_is_gone(children: Children):
    require_binaries()
    first = children.start("up", "--rabbitmq").ready(90)
    second = children.start("up").ready()
    assert "bus        RabbitMQ" in second.output

    first.kill()

    second.line("the private RabbitMQ is run by this process from now on", timeout_s=90)
    second.line("the embedded database is run by this process from now on")
    second.ready(90)
    assert children.run("topology", "check").code == 0
    family = second.family()
    second.press_ctrl_c()
    assert second.wait(60) == 0
    _leaves_nothing(family)


def test_the_data_outlives_an_end_and_a_kill(children: Children):
    up = children.start("up", "--demo")
    up.line("Ctrl-C ends it", timeout_s=60)
    made = _runs(children)
    assert "succeeded" in [run["state"] for run in made]
    up.press_ctrl_c()
    assert up.wait(20) == 0

    up = children.start("up").ready()
    assert {run["id"] for run in made} <= {run["id"] for run in _runs(children)}
    family = up.family()
    up.kill()
    _leaves_nothing(family)

    up = children.start("up").ready()
    assert {run["id"] for run in made} <= {run["id"] for run in _runs(children)}
    _shows_no_key(up)
    up.press_ctrl_c()
    assert up.wait(20) == 0


def test_a_database_that_is_killed_beneath_it_is_started_again(running: Running):
    up = running.up
    (database,) = [each for each in up.family() if each.ppid() == up.pid and "postgres" in each.name()]

    database.kill()
    up.line("is started again")
    up.line("the embedded database is back")
    up.ready()

    assert running.children.run("runs", "list").code == 0


def _shows_no_key(up: Child) -> None:
    """The first key is shown at the first start, and never again."""
    assert "API key" not in up.output


def test_a_second_start_on_the_folder_says_whose_database_it_is(running: Running):
    second = running.children.run("up", HEADWATER_BIND=running.up.address.removeprefix("http://"))

    assert f"of the headwater that runs already (process {running.up.pid})" in second.output
    assert second.code == 2
    assert "is taken" in second.output


def test_the_first_key_opens_the_api(running: Running):
    key = running.up.line("first API key").rpartition(" ")[2]

    request = urllib.request.Request(f"{running.up.address}/api/v1/runs", headers={"X-API-Key": key})
    with urllib.request.urlopen(request, timeout=10) as answer:
        listed = json.load(answer)

    assert listed == {"items": [], "next": None}


MANIFEST = """
version: 1
sources:
  - name: flights
    base_url: {url}/flights
    network: {{allow: ["127.0.0.0/8"]}}
    streams:
      - name: all
        request: {{path: /flights.json, params: {{_shape: array, _size: 500, _nocount: 1}}}}
        pagination: {{type: link}}
        destination: {{table: flights, mode: append}}
"""


@pytest.mark.long
async def test_a_kill_in_mid_walk_costs_neither_rows_nor_the_run(
    children: Children, some_flights: Flights, some_flights_url: str
):
    up = children.start("up").ready()
    fleet = Fleet(children, f"postgresql://headwater@/headwater?host={children.folder}/data/postgres/socket")
    fleet.apply(MANIFEST.format(url=some_flights_url))
    run_id = fleet.begin_run("flights.all")
    await fleet.until("SELECT 1 FROM run WHERE id = $1 AND pages > 5 AND state = 'running'", run_id)

    up.kill()
    up.start_again().ready()
    run = await fleet.final(run_id, 90)

    assert (run["state"], run["error_message"]) == ("succeeded", None)
    assert await sum_of_table(fleet.database_url, some_flights.columns) == some_flights.truth
    up.press_ctrl_c()
    assert up.wait(20) == 0
