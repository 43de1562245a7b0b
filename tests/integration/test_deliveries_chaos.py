"""Webhooks over a bus that loses, doubles, delays and reorders messages: each delivery has its effects once.

The receiver and the timer's relay are the real ones; the seed is in the test's name.
"""

import asyncio
import random

import pytest
from tests.support.receiving import manifest, receiving
from tests.support.spine import Spine, open_spine, working

from headwater.bus.chaos import SeededChaos
from headwater.bus.memory import MemoryBus
from headwater.store import replays
from headwater.store.replays import Selection

COUNT = 120
KEYS = ("a", "b", "c")


async def at_rest(spine: Spine) -> None:
    """Returns when nothing waits in the queues, the outbox or an order."""
    async with asyncio.timeout(60):
        while True:
            left = await spine.row(
                "SELECT (SELECT count(*) FROM outbox WHERE exchange = 'headwater')"
                " + (SELECT count(*) FROM ordered_delivery) AS rows"
            )
            waiting = sum(
                depth for queue, depth in (await spine.bus.depth()).items() if queue != "headwater.dead"
            )
            if not left["rows"] and not waiting:
                return
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("ordered", [False, True], ids=["free", "ordered"])
async def test_each_delivery_is_done_once_and_a_key_keeps_its_order(
    database: str, seed: int, ordered: bool
) -> None:
    chance = random.Random(seed)
    bus = MemoryBus(chaos=SeededChaos(chance, longest_delay_s=0.5))
    parts: dict[str, object] = {
        "dedupe": {"path": "id"},
        "tables": [
            {"destination": {"table": "events"}},
            {"destination": {"table": "latest", "mode": "merge", "key": "account"}},
        ],
    }
    if ordered:
        parts["order_by"] = "body.account"
    sent = [{"id": f"e{n}", "account": KEYS[n % 3], "step": n} for n in range(COUNT)]
    async with open_spine(database, bus) as spine:
        await spine.apply(manifest(**parts))
        async with receiving(spine) as door, working(spine, "timer", "persister"):
            for event in sent:
                for _ in range(1 + (chance.random() < 0.2)):
                    status, _, _ = await door.send("/in/default/orders", event)
                    assert status == 202
            await at_rest(spine)
            async with spine.api.as_tenant("default") as connection:
                asked = await replays.request(connection, "default", Selection(endpoint="orders"), most=40)
            await at_rest(spine)

        rows = await spine.rows_of("events", "step")
        assert [row["id"] for row in rows] == [event["id"] for event in sent]
        states = await spine.fetch("SELECT state, count(*) AS rows FROM delivery GROUP BY state")
        assert {row["state"]: row["rows"] for row in states} == {"done": COUNT}
        assert asked == 40
        assert await spine.fetch("SELECT 1 FROM delivery_replay WHERE state <> 'done'") == []
        latest = await spine.rows_of("latest", "account")
        assert [row["account"] for row in latest] == sorted(KEYS)
        if ordered:
            assert [row["step"] for row in latest] == [COUNT - 3, COUNT - 2, COUNT - 1]
        times = await spine.fetch(
            "SELECT body ->> 'account' AS account, (body ->> 'step')::int AS step, received_at"
            "  FROM (SELECT convert_from(body, 'UTF8')::jsonb AS body, received_at FROM delivery) AS d"
        )
        for row in latest:  # of two that came in one millisecond either may stand
            at = {each["step"]: each["received_at"] for each in times if each["account"] == row["account"]}
            assert at[row["step"]] == max(at.values())
        assert (await bus.depth())["headwater.dead"] == 0
