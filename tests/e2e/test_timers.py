"""Two timers side by side on one database: each due time is one run, announced once."""

import asyncio
import base64
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.support.fleet import Fleet
from tests.support.processes import Children
from tests.support.spine import open_spine

SCHEDULES = 120
OVER_S = 6

HEAD = """
version: 1
sources:
  - name: far
    base_url: https://api.example.com
    streams:
"""
STREAM = "      - {{name: s{number}, destination: {{table: t{number}}}}}\n"
SCHEDULE = '  - {{name: c{number}, streams: [far.s{number}], cron: "0 {hour} * * *"}}\n'
DUE = """UPDATE schedule SET next_at = date_trunc('second', clock_timestamp())
         + make_interval(secs => 2 + substr(name, 2)::int % $1)"""


def _manifest() -> str:
    """Schedules that are due in half a day."""
    hour = (datetime.now(UTC) + timedelta(hours=12)).hour
    streams = "".join(STREAM.format(number=number) for number in range(SCHEDULES))
    due = "".join(SCHEDULE.format(number=number, hour=hour) for number in range(SCHEDULES))
    return f"{HEAD}{streams}schedules:\n{due}"


@pytest.fixture
def fleet(tmp_path: Path, database: str) -> Iterator[Fleet]:
    key = base64.b64encode(os.urandom(32)).decode()
    with Children(tmp_path, HEADWATER_DATABASE_URL=database, HEADWATER_SECRET_KEY=key) as children:
        yield Fleet(children, database)


async def test_two_timers_side_by_side_make_each_run_once(fleet: Fleet):
    timers = [fleet.children.start("run", "timer") for _ in range(2)]
    for timer in timers:
        await asyncio.to_thread(timer.ready)

    async with open_spine(fleet.database_url) as spine:
        await spine.apply(_manifest())
        # they come once each, twenty a second: a busy machine takes seconds to apply so many
        await spine.worker.execute(DUE, OVER_S)
    await fleet.until(
        "SELECT 1 FROM run WHERE published_at IS NOT NULL HAVING count(*) >= $1", SCHEDULES, timeout_s=40
    )

    runs = await fleet.fetch(
        "SELECT schedule, count(*) AS run_count, min(state) AS state FROM run GROUP BY 1"
    )
    assert len(runs) == SCHEDULES
    assert {(run["run_count"], run["state"]) for run in runs} == {(1, "queued")}
    announced = await fleet.fetch("SELECT * FROM headwater_bus.message WHERE queue = 'headwater.run.due'")
    assert len(announced) == SCHEDULES
    assert {timer.end() for timer in timers} == {0}
