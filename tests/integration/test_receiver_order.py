"""Deliveries of endpoints with `order_by`: each key's oldest first, whatever the order of the messages."""

import random
from typing import Any

from tests.support.receipts import receipt, settled
from tests.support.receiving import manifest, queued, receiving
from tests.support.spine import Spine, open_spine, working

from headwater.bus.port import Message
from headwater.store import ordering

ENDPOINT: dict[str, Any] = {
    "order_by": "body.account",
    "destination": {"table": "balances", "mode": "merge", "key": "account"},
    "dedupe": "none",
}


async def relay_shuffled(spine: Spine, seed: int) -> int:
    """Publish what is owed in a random order; gives how much it was."""
    rows = await spine.fetch("SELECT * FROM outbox ORDER BY id")
    random.Random(seed).shuffle(rows)
    for row in rows:
        await spine.bus.publish(Message(row["type"], str(row["id"]), bytes(row["body"]), row["headers"]))
    await spine.worker.execute("DELETE FROM outbox")
    return len(rows)


async def test_the_last_word_of_each_key_stands_whatever_the_order_of_the_messages(database: str) -> None:
    async with open_spine(database) as spine:
        await spine.apply(manifest(**ENDPOINT))
        async with receiving(spine) as door:
            for step in range(10):
                for account in ("a", "b", "c"):
                    status, _, _ = await door.send("/in/default/orders", {"account": account, "step": step})
                    assert status == 202
            assert await queued(spine) == 0, "an ordered endpoint never publishes past the database"

            async with working(spine, "persister"):
                assert await relay_shuffled(spine, 7) == 30
                await settled(spine, 30)

        rows = await spine.rows_of("balances", "account")
        assert [(row["account"], row["step"]) for row in rows] == [("a", 9), ("b", 9), ("c", 9)]
        assert await spine.fetch("SELECT 1 FROM ordered_delivery") == []


async def test_rows_that_are_appended_stand_in_the_order_of_their_key(database: str) -> None:
    parts = {**ENDPOINT, "destination": {"table": "steps"}}
    async with open_spine(database) as spine:
        await spine.apply(manifest(**parts))
        async with receiving(spine) as door, working(spine, "persister"):
            for step in range(20):
                await door.send("/in/default/orders", {"account": "a", "step": step})
                if step % 7 == 6:
                    await relay_shuffled(spine, step)
            await relay_shuffled(spine, 99)
            await settled(spine, 20)

        async with spine.worker.transaction() as connection:
            await connection.execute("SET LOCAL ROLE headwater_loader")
            rows = await connection.fetch('SELECT step FROM "hw_default"."steps" ORDER BY ctid')
        assert [row["step"] for row in rows] == list(range(20))


async def test_one_that_cannot_be_read_is_dead_and_lets_those_behind_it_pass(database: str) -> None:
    async with open_spine(database) as spine:
        await spine.apply(manifest(**{**ENDPOINT, "order_by": 'headers."x-key"', "parse": "json"}))
        async with receiving(spine) as door, working(spine, "persister"):
            for body in (b'{"account": "a", "step": 1}', b"broken", b'{"account": "a", "step": 3}'):
                await door.send("/in/default/orders", body, headers={"X-Key": "k"})
            await relay_shuffled(spine, 3)
            rows = await settled(spine, 3)

        assert [row["state"] for row in rows] == ["done", "dead", "done"]
        assert [row["step"] for row in await spine.rows_of("balances", "account")] == [3]


async def test_a_key_whose_message_was_lost_is_owed_again(database: str) -> None:
    async with open_spine(database) as spine:
        await spine.apply(manifest(**ENDPOINT))
        async with spine.worker.transaction() as connection:
            await ordering.add(connection, receipt("orders", {"account": "a", "step": 1}), "a")
        await spine.worker.execute("DELETE FROM outbox")

        async with spine.worker.transaction() as connection:
            owed = await ordering.owe_again(connection, 0.0)
        async with working(spine, "persister"):
            await relay_shuffled(spine, 1)
            await settled(spine, 1)

        assert owed == 1
        assert [row["step"] for row in await spine.rows_of("balances", "account")] == [1]
