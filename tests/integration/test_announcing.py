"""Runs that go as soon as they are fired, those that do not, and what is published again when it was not marked."""

import asyncio
import gc
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.support.life import Life, open_life

from headwater.bus.chaos import Fate, Quiet
from headwater.bus.memory import MemoryBus
from headwater.bus.port import Message
from headwater.model.errors import Unavailable
from headwater.model.run import RunState
from headwater.store import runs
from headwater.timer.announce import Announcer
from headwater.timer.fire import Firing
from headwater.timer.relay import Relay


@pytest.fixture
async def life(database: str) -> AsyncIterator[Life]:
    async with open_life(database) as opened:
        yield opened


class Deaf(Quiet):
    """A broker that confirms nothing while it is `away`."""

    __slots__ = ("away",)

    def __init__(self) -> None:
        object.__setattr__(self, "away", True)

    def fate(self, message: Message) -> Fate:
        return Fate.LOST if self.away else Quiet.fate(self, message)

    def come_back(self) -> None:
        object.__setattr__(self, "away", False)


def _schedule(name: str = "a", streams: str = "far.s1", more: str = "") -> str:
    return f'  - {{name: {name}, streams: [{streams}], cron: "* * * * *"{more}}}\n'


async def _due(life: Life) -> list[Any]:
    """All schedules are due, and fired; gives the runs that go."""
    due_at = datetime.now(UTC).replace(second=0, microsecond=0)
    await life.spine.worker.execute("UPDATE schedule SET next_at = $1 WHERE state = 'active'", due_at)
    async with life.spine.worker.transaction() as connection:
        return list((await Firing().look(connection, may_go=True)).going)


async def _slots(life: Life) -> list[str]:
    return [str(row["run_id"]) for row in await life.spine.fetch("SELECT run_id FROM stream_slot")]


async def test_a_run_goes_with_its_firing_where_nothing_stands_in_its_way(life: Life):
    await life.apply(_schedule(streams="far.s1, far.s2"))

    going = await _due(life)

    made = await life.of_schedule("a")
    assert {row["id"] for row in going} == {run["id"] for run in made}
    assert [run["waiting_for"] for run in made] == ["broker", "broker"]
    assert all(run["stream_version"] is not None for run in made)
    assert sorted(await _slots(life)) == sorted(str(run["id"]) for run in made)

    assert await Announcer(life.spine.worker, life.spine.bus).announce(going) == 2
    assert [run["waiting_for"] for run in await life.of_schedule("a")] == ["fetcher"] * 2
    assert (await life.spine.bus.depth())["headwater.run.due"] == 2


LEFT_TO_THE_RELAY = [
    (", max_running: 5", "", "{}"),
    ("", "    max_running: 5\n", "{}"),
    ("", "", '{"max_running": 5}'),
    (", jitter: {kind: hash, within: 12h}", "", "{}"),
]


async def test_a_run_that_is_under_a_limit_or_waits_is_left_to_the_relay(life: Life):
    for more, source, tenant in LEFT_TO_THE_RELAY:
        await life.apply(_schedule(more=more), source)
        async with life.spine.api.as_tenant("default") as connection:
            await connection.execute("UPDATE tenant SET settings = $1::text::jsonb", tenant)

        going = await _due(life)

        assert (going, await _slots(life)) == ([], []), more or source or tenant
        assert [run["state"] for run in await life.of_schedule("a")] == ["queued"]
        await life.spine.worker.execute("DELETE FROM run")


async def test_of_two_schedules_of_a_stream_one_goes_and_one_waits_for_it(life: Life):
    await life.apply(_schedule("a") + _schedule("b"))

    going = await _due(life)
    await life.round()

    waits = [run["waiting_for"] for name in "ab" for run in await life.of_schedule(name)]
    assert len(going) == 1
    assert sorted(waits) == ["broker", "stream"]


async def test_a_run_waits_behind_one_of_its_stream_that_has_not_ended(life: Life):
    await life.apply(_schedule())
    first = await life.start()

    waiting = await _due(life)
    await life.spine.worker.execute("DELETE FROM run WHERE id <> $1", first)
    await life.round()
    await life.begin(first)

    assert (waiting, await _due(life)) == ([], [])


async def test_a_run_behind_one_that_is_days_old_is_known_to_overlap_it(life: Life):
    await life.apply(_schedule())
    await life.fire("a", ago_s=timedelta(days=3).total_seconds())

    going = await _due(life)

    assert going == []
    assert [run["skip_reason"] for run in await life.of_schedule("a")] == [None, "overlap"]


async def test_as_many_go_at_once_as_the_schedule_allows(life: Life):
    await life.apply(_schedule(more=", overlap: {allow: 2}"))
    await life.fire("a", ago_s=300)

    assert len(await _due(life)) == 1
    assert await _slots(life) == []
    await life.spine.worker.execute(
        "UPDATE run SET due_at = due_at - interval '1 hour', id = gen_random_uuid()"
    )
    assert await _due(life) == []


async def test_a_boundary_that_is_fired_again_takes_no_slot(life: Life):
    await life.apply(_schedule())
    (run,) = await _due(life)
    await life.end(run["id"], RunState.SUCCEEDED)

    assert await _due(life) == []
    assert await _slots(life) == []
    assert len(await life.of_schedule("a")) == 1


async def test_a_run_was_published_when_the_broker_confirmed_it_however_late_that_is_written_down(life: Life):
    await life.apply(_schedule())
    (row,) = await _due(life)

    async with life.spine.worker.transaction() as connection:
        before = await connection.fetchval("SELECT clock_timestamp()")
        await runs.mark_published(connection, [row], since_s=0.5)
        after = await connection.fetchval("SELECT clock_timestamp()")

    published_at = (await life.run(row["id"]))["published_at"]
    assert before <= published_at + timedelta(seconds=0.5) <= after


async def test_a_late_mark_of_an_attempt_does_not_stand_for_the_next_one(life: Life):
    await life.apply(_schedule(more=", retries: {max: 1, delay: 1s}"))
    (row,) = await _due(life)
    await life.begin(row["id"])
    async with life.spine.worker.transaction() as connection:
        assert await runs.fail_attempt(connection, row["id"], 1, "network", "gone", retryable=True)

    async with life.spine.worker.transaction() as connection:
        await runs.mark_published(connection, [row])

    run = await life.run(row["id"])
    assert (run["attempt"], run["published_at"]) == (2, None)


async def test_what_a_broker_did_not_confirm_is_published_when_it_is_back(life: Life):
    await life.apply(_schedule(streams="far.s1, far.s2"))
    chaos = Deaf()
    bus = MemoryBus(chaos=chaos)
    relay = Relay(life.spine.worker, bus, life.spine.metrics, grace_s=0.0)
    with pytest.raises(Unavailable):
        await relay.announcer.announce(await _due(life))
    was_at_work = relay.announcer.is_at_work

    chaos.come_back()
    while await relay.work():
        pass

    assert (was_at_work, relay.announcer.is_at_work) == (False, True)
    assert (await bus.depth())["headwater.run.due"] == 2
    assert await _unpublished(life) == []


async def test_what_was_just_admitted_is_left_to_the_timer_that_admitted_it(life: Life):
    await life.apply(_schedule())
    await _due(life)

    await life.round()
    others = (await life.spine.bus.depth())["headwater.run.due"]
    await life.spine.worker.execute("UPDATE run SET admitted_at = admitted_at - interval '3 seconds'")
    await life.round()

    assert others == 0
    assert (await life.spine.bus.depth())["headwater.run.due"] == 1
    assert await _unpublished(life) == []


async def _unpublished(life: Life) -> Sequence[Any]:
    return await life.spine.fetch("SELECT id FROM run WHERE published_at IS NULL")


async def test_what_is_open_when_the_broker_goes_away_is_let_go_without_a_word(life: Life, caplog: Any):
    await life.apply(_schedule(streams="far.s1, far.s2"))
    relay = Relay(life.spine.worker, MemoryBus(chaos=Deaf()), life.spine.metrics)
    going = await _due(life)
    for row in going:
        await relay.announcer.hand_over(relay.announcer.write([row]))
    stop = asyncio.Event()
    stop.set()

    await relay.announcer.run(stop)
    gc.collect()

    assert not relay.announcer.is_at_work
    assert len(await _unpublished(life)) == 2
    assert [record for record in caplog.records if record.name == "asyncio"] == []
