"""Many schedules that are due at one moment: fired before it, announced when it comes, in turn among tenants."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from tests.support.life import Life, open_life

from headwater.bus.port import Message
from headwater.model.errors import Unavailable
from headwater.store import schedules
from headwater.timer import herds
from headwater.timer.announce import Announcer, Letters
from headwater.timer.fire import AHEAD_S, BATCH
from headwater.timer.herds import HERD, Herds, dealt

LEAD_S = 1.2  # more than so many take, less than a test's patience
DEFINITION = (
    '{"name": "", "streams": ["far.s1"], "cron": "0 0 * * *", "timezone": "UTC", "overlap": {"allow": 1000}}'
)

ALL_LOCKED = (
    "SELECT count(*) AS n FROM (SELECT 1 FROM schedule FOR UPDATE SKIP LOCKED) AS free HAVING count(*) = 0"
)
# The same as far as it was written, without a lock of the look's own, which would keep a hand from some.
ALL_TAKEN = "SELECT count(*) AS n FROM schedule WHERE xmax::text = '0' HAVING count(*) = 0"
# A hand that found nothing left has no number for its transaction.
HOLDERS = (
    "SELECT DISTINCT pid FROM pg_locks JOIN pg_locks AS written USING (pid)"
    " WHERE pg_locks.relation = 'schedule'::regclass AND pg_locks.mode = 'RowExclusiveLock'"
    " AND written.locktype = 'transactionid' AND written.mode = 'ExclusiveLock' AND written.granted"
)


@pytest.fixture
async def life(database: str) -> AsyncIterator[Life]:
    async with open_life(database) as opened:
        await opened.apply()
        yield opened


class Hand:
    """Herds with an announcer that marks, and what it told."""

    def __init__(self, life: Life) -> None:
        self.announcer = Announcer(life.spine.worker, life.spine.bus)
        self.told: list[tuple[int, bool]] = []
        self.herds = Herds(life.spine.worker, self.announcer, lambda *what: self.told.append(what))
        self.stop = asyncio.Event()

    async def fire(self, due_at: datetime, due_s: float) -> bool:
        """A step that expects `due_at` in `due_s` seconds; returns when all that was published is marked."""
        self.herds.expect(due_at, due_s)
        async with asyncio.TaskGroup() as group:
            group.create_task(self.announcer.run(self.stop))
            is_herd = await self.herds.step(self.stop)
            self.stop.set()
        return is_herd


async def _herd(life: Life, count: int, due_s: float = LEAD_S, definition: str = DEFINITION) -> datetime:
    """So many schedules of tenant `default` that are due in `due_s` seconds, by the database's clock."""
    connection = await asyncpg.connect(life.spine.url, server_settings={"search_path": "headwater"})
    try:
        now = await connection.fetchval("SELECT clock_timestamp()")
        due_at: datetime = now + timedelta(seconds=due_s)
        await connection.execute(
            "INSERT INTO schedule (tenant, name, definition, next_at) SELECT 'default', 'h' || n,"
            " $1::text::jsonb || jsonb_build_object('name', 'h' || n), $2 FROM generate_series(1, $3::int) AS n",
            definition,
            due_at,
            count,
        )
        return due_at
    finally:
        await connection.close()


async def _counts(life: Life) -> Any:
    return await life.spine.row(
        "SELECT count(*) AS runs, count(*) FILTER (WHERE created_at < due_at) AS ahead,"
        " count(*) FILTER (WHERE published_at >= due_at) AS in_time, min(published_at - due_at) AS first FROM run"
    )


async def test_a_herd_is_fired_before_it_is_due_and_announced_when_it_is(life: Life):
    due_at = await _herd(life, HERD + 50)
    hand = Hand(life)

    assert await hand.fire(due_at, LEAD_S)

    counts = await _counts(life)
    assert (counts["runs"], counts["ahead"], counts["in_time"]) == (HERD + 50,) * 3
    assert hand.told == [(HERD + 50, False)]
    assert (await life.spine.bus.depth())["headwater.run.due"] == HERD + 50
    assert await life.spine.fetch("SELECT 1 FROM schedule WHERE next_at <= $1", due_at) == []


async def test_a_few_are_left_to_the_hand_that_fires_what_is_due(life: Life):
    due_at = await _herd(life, HERD - 1)

    assert not await Hand(life).fire(due_at, LEAD_S)

    assert (await _counts(life))["runs"] == 0


async def test_nobody_sees_a_run_of_a_herd_long_before_it_is_due_and_a_change_waits_for_it(life: Life):
    due_at = await _herd(life, HERD)
    hand = Hand(life)
    pause = "UPDATE schedule SET state = 'paused', next_at = NULL WHERE name = 'h7' RETURNING clock_timestamp() AS at, last_due_at"

    firing = asyncio.create_task(hand.fire(due_at, LEAD_S))
    await life.spine.until(ALL_LOCKED)
    seen = await life.spine.fetch("SELECT 1 FROM run")
    paused = await life.spine.row(pause)
    await firing

    assert seen == []
    assert (
        paused["last_due_at"] == due_at.replace(microsecond=due_at.microsecond // 1000 * 1000)
        or paused["last_due_at"] == due_at
    )
    assert due_at - paused["at"] < timedelta(seconds=2 * AHEAD_S)
    assert (await _counts(life))["runs"] == HERD


async def test_two_hands_share_a_herd(life: Life):
    due_at = await _herd(life, 4 * HERD)
    one, other = Hand(life), Hand(life)

    await asyncio.gather(one.fire(due_at, LEAD_S), other.fire(due_at, LEAD_S))

    counts = await _counts(life)
    assert (counts["runs"], counts["in_time"]) == (4 * HERD, 4 * HERD)
    assert sum(fired for fired, _ in one.told + other.told) == 4 * HERD
    assert (await life.spine.bus.depth())["headwater.run.due"] == 4 * HERD


async def test_a_hand_whose_connection_is_cut_takes_neither_the_other_one_nor_the_timer_with_it(
    life: Life, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(herds, "FIRST_S", 2.0)  # they hold it long enough to be found at it
    count = 4 * BATCH  # so that each hand gets some
    due_at = await _herd(life, count, due_s=3.0)
    hand = Hand(life)
    hand.herds.expect(due_at, 3.0)

    firing = asyncio.create_task(hand.herds.step(hand.stop))
    await life.spine.until(ALL_TAKEN)
    await life.spine.until(f"SELECT count(*) AS n FROM ({HOLDERS}) AS holder HAVING count(*) = 2")
    await _cut_one_of_two(life)

    with pytest.raises(Unavailable):
        await firing
    ((fired, _),) = hand.told
    assert 0 < fired < count
    assert (await life.spine.bus.depth())["headwater.run.due"] == fired
    async with life.spine.worker.transaction() as connection:
        assert len(await schedules.claim_due(connection, count)) == count - fired


async def _cut_one_of_two(life: Life) -> None:
    """End the connection of one of the hands that hold schedules."""
    connection = await asyncpg.connect(life.spine.url, server_settings={"search_path": "headwater"})
    try:
        await connection.execute(f"SELECT pg_terminate_backend(pid) FROM ({HOLDERS} LIMIT 1) AS holder")
    finally:
        await connection.close()


async def test_a_hand_that_has_to_stop_does_not_wait_for_a_herd(life: Life):
    due_at = await _herd(life, HERD, due_s=4)
    hand = Hand(life)
    hand.stop.set()

    assert not await hand.fire(due_at, 4)
    assert datetime.now(UTC) < due_at - timedelta(seconds=1)


async def test_what_somebody_else_holds_is_left_to_him_and_the_rest_is_fired(life: Life):
    """A stream's slot that another transaction takes at that moment: the batch that wants it is undone, no more."""
    due_at = await _herd(life, HERD, definition=DEFINITION.replace(', "overlap": {"allow": 1000}', ""))
    hand = Hand(life)
    take = (
        "INSERT INTO stream_slot (tenant, source, stream, run_id, run_at)"
        " VALUES ('default', 'far', 's1', gen_random_uuid(), now())"
    )
    async with life.spine.worker.transaction() as connection:
        await connection.execute(take)
        assert await hand.fire(due_at, LEAD_S)

    assert hand.told == [(0, False)]
    async with life.spine.worker.transaction() as connection:
        assert len(await schedules.claim_due(connection, 1000)) == HERD


def _letters(*tenants: str) -> Letters:
    rows = [{"tenant": tenant, "id": number} for number, tenant in enumerate(tenants)]
    return Letters(rows, [Message("run.due", str(row["id"]), b"", {"tenant": row["tenant"]}) for row in rows])


async def test_a_tenant_with_one_does_not_wait_behind_one_with_many():
    many, one = _letters(*["big"] * 700), _letters("small")

    letters = dealt([many, one])

    order = [row["tenant"] for each in letters for row in each.rows]
    assert order[:3] == ["big", "small", "big"]
    assert len(order) == 701
    assert all(
        row["tenant"] == message.headers["tenant"]
        for each in letters
        for row, message in zip(*each, strict=True)
    )
