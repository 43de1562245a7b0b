"""The ways of DESIGN.md §1 over a memory bus and a real database."""

import uuid
from datetime import UTC, datetime

from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.support.spine import open_spine, working

from headwater.bus.port import Message
from headwater.contracts import webhook
from headwater.contracts.webhook import Receipt
from headwater.model.ids import derive_id, derive_key_id
from headwater.store import runs
from headwater.store.runs import NewRun

ROWS = [{"id": number, "name": f"thing {number}", "price": number / 4} for number in range(1, 251)]

MANIFEST = """
version: 1
sources:
  - name: shop
    base_url: {base}
    network: {{allow: ["127.0.0.0/8"]}}
    streams:
      - name: things
        request: {{path: /things}}
        pagination: {{type: offset, size: 40}}
        records: {{path: items}}
        destination: {{table: things, mode: {mode}, key: [id]}}
"""


def shop() -> web.Application:
    async def things(request: web.Request) -> web.Response:
        offset, limit = int(request.query["offset"]), int(request.query["limit"])
        return web.json_response({"items": ROWS[offset : offset + limit], "total": len(ROWS)})

    app = web.Application()
    app.router.add_get("/things", things)
    return app


def a_run(key: str = "") -> NewRun:
    return NewRun("default", "shop", "things", datetime.now(UTC), "api", key=key, priority=0)


async def test_a_walk_reaches_its_table_and_its_run_succeeds(database: str) -> None:
    async with TestServer(shop()) as server, open_spine(database) as spine:
        await spine.apply(MANIFEST.format(base=server.make_url("/"), mode="merge"))

        async with working(spine):
            async with spine.worker.transaction() as connection:
                run_id = await runs.insert(connection, a_run())
            run = await spine.until("SELECT * FROM run WHERE id = $1 AND finished_at IS NOT NULL", run_id)

        assert (run["state"], run["stop_reason"], run["error_message"]) == ("succeeded", "empty_page", None)
        assert (run["received"], run["inserted"], run["pages"]) == (250, 250, 8)
        rows = await spine.rows_of("things", "id")
        assert [(row["id"], row["name"], row["price"]) for row in rows] == [
            (row["id"], row["name"], row["price"]) for row in ROWS
        ]
        assert {row["_run_id"] for row in rows} == {run_id}
        assert await spine.fetch("SELECT * FROM stream_slot") == []


async def test_a_delivery_is_kept_once_and_its_duplicate_is_a_mark(database: str) -> None:
    async with open_spine(database) as spine:
        await spine.apply(
            """
version: 1
endpoints:
  - {name: orders, scheme: github, secrets: [s], destination: {table: orders, mode: merge, key: order}}
"""
        )
        now = datetime.now(UTC).replace(microsecond=0)
        receipts = [
            Receipt(
                derive_key_id("delivery", "default", "orders", "k1"),
                derive_id(now, uuid.uuid4()),
                now,
                "default",
                "orders",
                "POST",
                "http://x/in/default/orders",
                "127.0.0.1",
                [["X-A", "b"]],
                b'{"order": 7,  "total": "9.50"}',
                {"scheme": "github"},
                key="k1",
            )
            for _ in range(2)
        ]

        async with working(spine, "persister"):
            for receipt in [*receipts, receipts[0]]:
                await spine.bus.publish(
                    Message(webhook.TYPE, str(receipt.receipt_id), receipt.body, webhook.to_headers(receipt))
                )
            await spine.until("SELECT 1 FROM delivery_duplicate")
            await spine.bus.drain()

        deliveries = await spine.fetch("SELECT * FROM delivery")
        assert [(row["state"], bytes(row["body"]), row["provider_id"]) for row in deliveries] == [
            ("done", receipts[0].body, "k1")
        ]
        assert len(await spine.fetch("SELECT * FROM delivery_duplicate")) == 1
        rows = await spine.rows_of("orders", "1")
        assert [(row["order"], row["total"]) for row in rows] == [(7, "9.50")]
        assert rows[0]["_delivery_id"] == deliveries[0]["id"]
