"""How settled deliveries become rows: copied into the partition of their day, or inserted where there is none."""

import json
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from tests.support.receipts import hand_in, receipt, settled
from tests.support.spine import open_spine, working

from headwater.bus.port import Message
from headwater.contracts import webhook
from headwater.model.secret import Secret
from headwater.store import deliveries
from headwater.store.database import Database
from headwater.store.delivery_rows import Outcome, Partitions

KEPT = "version: 1\nendpoints: [{name: orders, scheme: github, secrets: [s]}]\n"


def outcomes() -> list[Outcome]:
    plain = receipt("orders", {"n": 1})
    told = receipt(
        "orders",
        b'\x00\xff\\n"' * 100_000,
        key="größer\t\\N",
        kind="order.paid",
        headers=(("X-Title", '\u00e9\u00ff \\ "quoted"'), ("x-title", "")),
        url="http://hooks.example/in/default/orders?q=größer\n",
    )
    return [
        Outcome(plain, "done"),
        Outcome(told._replace(remote=None, verification={"n": [1.5, None]}), "dead", "größer\\\n", "json"),
        *(Outcome(receipt("orders", b""), "filtered", form="empty") for _ in range(3)),
    ]


async def rows_after(database: Database, stored: list[Outcome], partitions: Partitions | None) -> list[Any]:
    """What the rows are, but for when they came; nothing of it stays."""
    async with database.connection() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await deliveries.insert(connection, stored, [], partitions)
        rows = await connection.fetch("SELECT tableoid::regclass::text, * FROM delivery ORDER BY id")
        await transaction.rollback()
    assert all(row["settled_at"] is not None for row in rows)
    return [{name: value for name, value in row.items() if name != "settled_at"} for row in rows]


async def test_a_copied_row_is_the_row_that_an_insert_makes(database: str) -> None:
    worker = Database(Secret.of(database), "headwater_worker")
    await worker.open()
    stored = outcomes()

    copied = await rows_after(worker, stored, Partitions())
    inserted = await rows_after(worker, stored, None)
    await worker.close()

    assert len(copied) == len(stored)
    assert [{**row, "entered": 0} for row in copied] == [{**row, "entered": 0} for row in inserted]
    assert all(row["entered"] > 0 for row in copied)


@pytest.fixture
async def owner(database: str) -> Any:
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


async def test_a_delivery_of_a_day_without_partition_is_stored_all_the_same(database: str) -> None:
    old = receipt("orders", {"n": 1}, ago_s=400 * 86_400)
    async with open_spine(database) as spine:
        await spine.apply(KEPT)

        async with working(spine, "persister"):
            await hand_in(spine, old, receipt("orders", {"n": 2}))
            await settled(spine, 2)

        rows = await spine.fetch(
            "SELECT tableoid::regclass::text AS name, state FROM delivery ORDER BY received_at"
        )
    assert [(row["name"], row["state"]) for row in rows] == [
        ("delivery_default", "done"),
        (f"delivery_{datetime.now(UTC):%Y%m%d}", "done"),
    ]


@pytest.mark.parametrize("change", ["DROP TABLE", "REVOKE INSERT"])
async def test_a_partition_that_goes_away_under_the_persister_costs_nothing(
    database: str, owner: Any, change: str
) -> None:
    async with open_spine(database) as spine:
        await spine.apply(KEPT)
        yesterday = receipt("orders", {"n": 1}, ago_s=86_400)
        partition = f"headwater.delivery_{yesterday.received_at:%Y%m%d}"

        async with working(spine, "persister"):
            await hand_in(spine, yesterday)
            await settled(spine, 1)
            if change == "DROP TABLE":
                await owner.execute(f"DROP TABLE {partition}")
            else:
                await owner.execute(
                    f"TRUNCATE {partition}; REVOKE INSERT ON {partition} FROM headwater_worker"
                )
            await hand_in(spine, receipt("orders", {"n": 2}, ago_s=86_400))
            (row,) = await settled(spine, 1)

    assert (bytes(row["body"]), row["state"]) == (b'{"n": 2}', "done")


async def test_a_message_that_comes_again_after_its_claim_was_swept_is_no_second_delivery(
    database: str, owner: Any
) -> None:
    sent = receipt("orders", {"n": 1}, key="k")
    async with open_spine(database) as spine:
        await spine.apply(KEPT)

        async with working(spine, "persister"):
            await hand_in(spine, sent)
            await settled(spine, 1)
            await owner.execute("DELETE FROM headwater.dedupe_claim")
            await hand_in(spine, sent, receipt("orders", {"n": 2}))
            await spine.bus.drain()
            rows = await settled(spine, 2)

        assert await spine.fetch("SELECT 1 FROM delivery_duplicate") == []
    assert [bytes(row["body"]) for row in rows] == [b'{"n": 1}', b'{"n": 2}']


async def test_only_the_worker_may_write_to_partitions_and_to_those_of_deliveries_alone(owner: Any) -> None:
    await owner.execute("SELECT headwater.make_partitions(0, 9)")

    rows = await owner.fetch(
        "SELECT i.inhparent::regclass::text AS parent, c.relname ~ '_[0-9]{8}$' AS of_day,"
        "       a.grantee::regrole::text AS grantee, array_agg(a.privilege_type::text) AS may, count(DISTINCT c.oid) AS n"
        "  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid AND c.relkind = 'r', aclexplode(c.relacl) AS a"
        " WHERE c.relnamespace = 'headwater'::regnamespace AND a.grantee <> c.relowner"
        " GROUP BY 1, 2, 3, c.oid"
    )

    assert {(row["parent"], row["of_day"], row["grantee"], *row["may"]) for row in rows} == {
        ("delivery", True, "headwater_worker", "INSERT")
    }
    assert len(rows) == 11  # yesterday to nine days ahead


async def test_a_message_that_no_row_can_hold_is_a_dead_letter_and_keeps_none_waiting(database: str) -> None:
    sent = receipt("orders", {"n": 1})
    told = webhook.to_headers(sent)
    twisted = {**told, "receipt": json.dumps({**json.loads(told["receipt"]), "url": "http://x/\udcff"})}
    async with open_spine(database) as spine:
        await spine.apply(KEPT)

        async with working(spine, "persister"):
            await spine.bus.publish(Message(webhook.TYPE, str(sent.receipt_id), sent.body, twisted))
            await hand_in(spine, receipt("orders", {"n": 2}))
            (row,) = await settled(spine, 1)
            await spine.bus.drain()

    assert (bytes(row["body"]), row["state"]) == (b'{"n": 2}', "done")
