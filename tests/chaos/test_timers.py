"""The long forms: three timers of which one after the other is killed or frozen, and every boundary is one run."""

import asyncio
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.support.fleet import Fleet
from tests.support.ledgers import keep
from tests.support.processes import Child
from tests.support.timer_kills import disturb, ledger_of, timers_over, write_schedules

pytestmark = pytest.mark.long

BOUNDARIES = int(os.environ.get("HEADWATER_CHAOS_BOUNDARIES", "50000"))
SECONDS = int(os.environ.get("HEADWATER_CHAOS_SECONDS", "100"))  # in which they are due
TIMERS = 3
PATIENCE_S = 900.0


@pytest.fixture
def replicas(migrated_folder: Path) -> Iterator[tuple[Fleet, list[Child]]]:
    with timers_over(migrated_folder, TIMERS) as found:
        yield found


async def test_three_timers_that_are_killed_and_frozen_lose_and_double_no_boundary(
    replicas: tuple[Fleet, list[Child]],
):
    fleet, timers = replicas
    schedules = BOUNDARIES // SECONDS
    began = time.monotonic()
    first = await write_schedules(fleet.database_url, schedules, SECONDS)
    seed = random.randrange(2**32)
    done = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        strokes = group.create_task(disturb(timers, random.Random(seed), done))
        try:
            await _until_published(fleet, schedules * SECONDS)
        finally:
            done.set()
    ledger: dict[str, Any] = {
        **strokes.result(),
        "seed": seed,
        **await ledger_of(fleet.database_url, first, schedules, SECONDS),
        "took_s": round(time.monotonic() - began, 1),
    }
    keep("timers", ledger)

    assert ledger["kills"] > 0, ledger
    assert ledger["freezes"] > 0, ledger
    assert ledger["stored"] == ledger["attempted"] == schedules * SECONDS, ledger
    for fault in ("lost", "duplicated", "unexpected", "unannounced"):
        assert ledger[fault] == 0, ledger


async def _until_published(fleet: Fleet, count: int) -> None:
    connection = await asyncpg.connect(fleet.database_url, server_settings={"search_path": "headwater"})
    try:
        async with asyncio.timeout(PATIENCE_S):
            while (
                await connection.fetchval("SELECT count(*) FROM run WHERE published_at IS NOT NULL") < count
            ):
                await asyncio.sleep(0.5)
    except TimeoutError:
        pass  # the ledger says what is missing
    finally:
        await connection.close()
