"""`headwater run … --once`: what is due is done, then the process ends; for clocks that are not ours."""

import base64
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.fleet import Fleet
from tests.support.flights import Flights
from tests.support.kills import manifest, table_of
from tests.support.processes import Children

STREAM = "once"


@pytest.fixture
def fleet(tmp_path: Path, database: str) -> Iterator[Fleet]:
    key = base64.b64encode(os.urandom(32)).decode()
    with Children(tmp_path, HEADWATER_DATABASE_URL=database, HEADWATER_SECRET_KEY=key) as children:
        yield Fleet(children, database)


async def test_what_is_due_is_done_and_the_process_ends(
    fleet: Fleet, some_flights: Flights, some_flights_url: str
):
    fleet.apply(manifest([STREAM], 5000), LOAD_SECRET="x" * 32, FLIGHTS_URL=some_flights_url)
    run_id = fleet.begin_run(f"flights.{STREAM}")

    done = fleet.children.run("run", "timer", "fetcher", "persister", "notifier", "--once", timeout_s=60)

    assert done.code == 0, done.output
    run = await fleet.final(run_id, 1)
    assert run["state"] == "succeeded"
    counted = await fleet.fetch(f"SELECT count(*) FROM hw_default.{table_of(STREAM)}")
    assert counted[0]["count"] == some_flights.truth.count
    assert await fleet.fetch("SELECT 1 FROM headwater_bus.message") == []
    assert await fleet.fetch("SELECT 1 FROM outbox") == []
