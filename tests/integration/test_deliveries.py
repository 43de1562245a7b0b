"""What deliveries do, over the memory bus and a real database: filter, map, start, publish; faults stay visible."""

import uuid
from typing import Any

import pytest
from tests.support.receipts import hand_in, receipt, settled
from tests.support.spine import Spine, open_spine, working

from headwater.bus.port import Message
from headwater.contracts import webhook
from headwater.contracts.webhook import OrderedKey, Receipt
from headwater.persister import items
from headwater.store import deliveries, ordering, payloads, replays
from headwater.store.deliveries import Position, Search
from headwater.store.replays import Selection

MANIFEST = """
version: 1
sources:
  - {name: shop, base_url: "https://shop.example", streams: [{name: orders, destination: {table: shop_orders}}]}
endpoints:
"""


def endpoint(name: str, parts: str) -> str:
    return f"{MANIFEST}  - {{name: {name}, scheme: github, secrets: [s], {parts}}}\n"


async def test_a_filter_keeps_what_is_not_wanted_out_of_the_table(database: str) -> None:
    async with open_spine(database) as spine:
        await spine.apply(
            endpoint("orders", "filter: \"body.state == 'paid'\", destination: {table: orders}")
        )

        async with working(spine, "persister"):
            await hand_in(
                spine,
                receipt("orders", {"n": 1, "state": "paid"}),
                receipt("orders", {"n": 2, "state": "new"}),
            )
            rows = await settled(spine, 2)

        assert sorted(row["state"] for row in rows) == ["done", "filtered"]
        assert [row["n"] for row in await spine.rows_of("orders", "n")] == [1]


async def test_records_and_fields_make_the_rows_that_were_asked_for(database: str) -> None:
    parts = (
        "records: {path: items}, fields: {id: id, shop: '_.headers.\"x-shop\"', total: price.amount, order: _.body.order},"
        " destination: {table: lines, mode: merge, key: id}"
    )
    async with open_spine(database) as spine:
        await spine.apply(endpoint("orders", parts))
        body = {"order": 7, "items": [{"id": 1, "price": {"amount": 9.5}, "noise": 1}, {"id": 2}]}

        async with working(spine, "persister"):
            await hand_in(spine, receipt("orders", body, headers=(("X-Shop", "berlin"),)))
            await settled(spine, 1)

        rows = await spine.rows_of("lines", "id")
        assert [(r["id"], r["shop"], r["total"], r["order"]) for r in rows] == [
            (1, "berlin", 9.5, 7),
            (2, "berlin", None, 7),
        ]
        assert "noise" not in rows[0]


async def test_one_delivery_fills_several_tables(database: str) -> None:
    parts = (
        "tables: [{when: \"type == 'order'\", fields: {id: id}, destination: {table: orders}},"
        " {records: {path: items}, destination: {table: items}}]"
    )
    async with open_spine(database) as spine:
        await spine.apply(endpoint("orders", parts))

        async with working(spine, "persister"):
            await hand_in(
                spine,
                receipt("orders", {"id": 1, "items": [{"sku": "a"}]}, kind="order"),
                receipt("orders", {"id": 2, "items": [{"sku": "b"}]}, kind="other"),
            )
            await settled(spine, 2)

        assert [row["id"] for row in await spine.rows_of("orders", "id")] == [1]
        assert [row["sku"] for row in await spine.rows_of("items", "sku")] == ["a", "b"]


async def test_a_delivery_starts_a_run_with_parameters_from_its_payload(database: str) -> None:
    parts = (
        "starts: [{stream: shop.orders, when: body.changed, parameters: {order: body.id, by: '_missing_'}}]"
    )
    async with open_spine(database) as spine:
        await spine.apply(endpoint("orders", parts))
        wanted = receipt("orders", {"id": 12, "changed": True})

        async with working(spine, "persister"):
            await hand_in(spine, wanted, receipt("orders", {"id": 13, "changed": False}), wanted)
            await settled(spine, 2)
            await spine.bus.drain()

        runs = await spine.fetch("SELECT * FROM run")
        assert [(r["trigger"], r["source"], r["stream"], r["parameters"], r["state"]) for r in runs] == [
            ("webhook", "shop", "orders", {"order": 12}, "queued")
        ]


async def test_a_delivery_that_starts_a_stream_that_is_gone_is_dead(database: str) -> None:
    async with open_spine(database) as spine:
        await spine.apply(endpoint("orders", "starts: [{stream: shop.gone}], destination: {table: orders}"))

        async with working(spine, "persister"):
            await hand_in(spine, receipt("orders", {"id": 1}))
            (row,) = await settled(spine, 1)

        assert (row["state"], row["reason"]) == ("dead", "starts.0: there is no stream shop.gone")
        assert await spine.fetch("SELECT * FROM run") == []


async def test_a_published_delivery_is_owed_as_an_event_with_its_raw_body(database: str) -> None:
    async with open_spine(database) as spine:
        await spine.apply(endpoint("orders", "publish: true"))
        sent = receipt("orders", b'{"a":  1}', kind="order.paid")

        async with working(spine, "persister"):
            await hand_in(spine, sent)
            await settled(spine, 1)

        (owed,) = await spine.fetch("SELECT * FROM outbox")
        assert (owed["exchange"], owed["type"]) == ("headwater.events", "default.webhook.orders.order_paid")
        assert bytes(owed["body"]) == sent.body
        assert owed["headers"]["cloudEvents:id"] == str(sent.id)


async def test_what_cannot_be_read_is_dead_with_its_reason_and_its_bytes(database: str) -> None:
    cases = {
        b'{"a":': "body: not JSON",
        b"\xff\xfe\xfd\x00\x01": "body: it is neither JSON nor text",
        b"": "body: it is empty",
    }
    async with open_spine(database) as spine:
        await spine.apply(endpoint("orders", "destination: {table: orders}"))

        async with working(spine, "persister"):
            await hand_in(spine, *(receipt("orders", body, headers=()) for body in cases))
            rows = await settled(spine, len(cases))

        found = {bytes(row["body"]): (row["state"], row["reason"]) for row in rows}
        assert set(found) == set(cases)
        for body, beginning in cases.items():
            assert found[body][0] == "dead"
            assert found[body][1].startswith(beginning)


async def test_a_delivery_of_an_endpoint_that_is_gone_is_dead_and_not_lost(database: str) -> None:
    async with open_spine(database) as spine:
        await spine.apply(endpoint("orders", "destination: {table: orders}"))

        async with working(spine, "persister"):
            await hand_in(spine, receipt("elsewhere", {"a": 1}))
            (row,) = await settled(spine, 1)

        assert (row["state"], row["reason"]) == ("dead", "endpoint: it is not there any more")


async def test_a_duplicate_with_other_bytes_is_noted_as_a_conflict(database: str) -> None:
    async with open_spine(database) as spine:
        await spine.apply(endpoint("orders", "destination: {table: orders}"))

        async with working(spine, "persister"):
            await hand_in(spine, receipt("orders", {"n": 1}, key="k"))
            await settled(spine, 1)
            await hand_in(spine, receipt("orders", {"n": 1}, key="k"), receipt("orders", {"n": 2}, key="k"))
            await spine.until("SELECT 1 FROM delivery_duplicate HAVING count(*) = 2")

        marks = await spine.fetch(
            "SELECT is_conflict FROM delivery_duplicate ORDER BY received_at, receipt_id"
        )
        assert sorted(mark["is_conflict"] for mark in marks) == [False, True]
        assert [row["n"] for row in await spine.rows_of("orders", "n")] == [1]


async def ask_for_replay(spine: Spine, selection: Selection, **more: Any) -> int:
    async with spine.api.as_tenant("default") as connection:
        return await replays.request(connection, "default", selection, **more)


async def relay(spine: Spine) -> None:
    """Publish what is owed, as the timer's relay does."""
    for row in await spine.fetch("SELECT * FROM outbox WHERE exchange = 'headwater' ORDER BY not_before"):
        await spine.bus.publish(Message(row["type"], str(row["id"]), bytes(row["body"]), row["headers"]))
        await spine.worker.execute("DELETE FROM outbox WHERE id = $1", row["id"])


async def test_a_replay_replaces_the_rows_of_its_delivery_with_what_the_endpoint_says_now(
    database: str,
) -> None:
    async with open_spine(database) as spine:
        await spine.apply(endpoint("orders", "destination: {table: orders}"))
        async with working(spine, "persister"):
            await hand_in(
                spine, receipt("orders", {"n": 1}, key="a", ago_s=1), receipt("orders", {"n": 2}, key="b")
            )
            first, _ = await settled(spine, 2)
            await spine.apply(
                endpoint("orders", "fields: {n: n, again: '`true`'}, destination: {table: orders}")
            )

            asked = await ask_for_replay(spine, Selection(ids=[first["id"]]))
            await relay(spine)
            await spine.until("SELECT 1 FROM delivery_replay WHERE state = 'done'")
            await spine.bus.drain()

        assert asked == 1
        rows = await spine.rows_of("orders", "n")
        assert [(row["n"], row["again"]) for row in rows] == [(1, True), (2, None)]
        stored = await spine.row("SELECT * FROM delivery WHERE id = $1", first["id"])
        assert (stored["state"], stored["replay_count"], bytes(stored["body"])) == (
            "done",
            1,
            bytes(first["body"]),
        )
        assert stored["replayed_at"] is not None


async def test_two_replays_of_one_delivery_at_once_leave_its_rows_once(database: str) -> None:
    async with open_spine(database) as spine:
        await spine.apply(endpoint("orders", "destination: {table: orders}"))
        async with working(spine, "persister"):
            await hand_in(spine, receipt("orders", {"n": 1}))
            (first,) = await settled(spine, 1)
            for _ in range(2):
                await ask_for_replay(spine, Selection(ids=[first["id"]]))
            await relay(spine)
            await spine.until("SELECT 1 FROM delivery_replay WHERE state <> 'waiting' HAVING count(*) = 2")

        assert len(await spine.rows_of("orders", "n")) == 1
        states = [
            row["state"] for row in await spine.fetch("SELECT state FROM delivery_replay ORDER BY number")
        ]
        assert states[1] == "done"
        assert states[0] in ("done", "superseded")


async def test_a_dead_delivery_is_replayed_once_its_endpoint_is_mended(database: str) -> None:
    async with open_spine(database) as spine:
        await spine.apply(endpoint("orders", "records: {path: wrong}, destination: {table: orders}"))
        async with working(spine, "persister"):
            await hand_in(
                spine, receipt("orders", {"right": [{"n": 1}]}), receipt("orders", {"right": [{"n": 2}]})
            )
            await settled(spine, 2)
            await spine.apply(endpoint("orders", "records: {path: right}, destination: {table: orders}"))
            selection = Selection(endpoint="orders", states=["dead"])
            async with spine.api.as_tenant("default") as connection:
                counted = await replays.count(connection, "default", selection)

            await ask_for_replay(spine, selection, rate_per_s=1000.0, requested_by="tester")
            await relay(spine)
            await spine.until("SELECT 1 FROM delivery WHERE state = 'done' HAVING count(*) = 2")

        assert counted == {"dead": 2}
        assert [row["n"] for row in await spine.rows_of("orders", "n")] == [1, 2]


async def test_a_rate_spreads_replays_over_time(database: str) -> None:
    async with open_spine(database) as spine:
        await spine.apply(endpoint("orders", "destination: {table: orders}"))
        async with working(spine, "persister"):
            await hand_in(spine, *(receipt("orders", {"n": n}) for n in range(5)))
            await settled(spine, 5)

        await ask_for_replay(spine, Selection(endpoint="orders"), rate_per_s=2.0)

        row = await spine.row(
            "SELECT extract(epoch FROM max(not_before) - min(not_before))::float8 AS span FROM outbox"
        )
        assert abs(row["span"] - 2.0) < 0.1


async def test_deliveries_are_found_by_header_payload_and_text(database: str) -> None:
    async with open_spine(database) as spine:
        await spine.apply(endpoint("orders", "destination: {table: orders}"))
        async with working(spine, "persister"):
            await hand_in(
                spine,
                receipt("orders", {"order": {"id": 7}}, headers=(("X-Shop", "berlin"),)),
                receipt("orders", {"order": {"id": 8}, "note": "urgent"}, headers=(("X-Shop", "paris"),)),
                receipt("orders", b"not json", headers=()),
            )
            await settled(spine, 3)

        async def found(search: Search) -> list[bytes]:
            async with spine.api.as_tenant("default") as connection:
                rows = await deliveries.list_deliveries(
                    connection,
                    endpoint=None,
                    state=None,
                    kind=None,
                    since=None,
                    until=None,
                    limit=10,
                    after=None,
                    search=search,
                )
                return sorted([bytes((await deliveries.get(connection, row["id"]))["body"]) for row in rows])

        assert await found(Search(header=("x-shop", "paris"))) == [b'{"order": {"id": 8}, "note": "urgent"}']
        assert await found(Search(payload=(["order", "id"], "7"))) == [b'{"order": {"id": 7}}']
        assert len(await found(Search(payload=(["order"], None)))) == 2
        assert await found(Search(text="urgent")) == [b'{"order": {"id": 8}, "note": "urgent"}']
        assert await found(Search(text="not json")) == [b"not json"]


async def test_whoever_follows_an_endpoint_gets_each_delivery_once_also_those_that_come_late(
    database: str,
) -> None:
    async with open_spine(database) as spine:
        await spine.apply(endpoint("orders", "publish: false"))
        async with spine.api.as_tenant("default") as connection:
            position = await deliveries.newest_position(connection)

        async with working(spine, "persister"):
            await hand_in(spine, receipt("orders", {"n": 1}))
            await settled(spine, 1)
            await hand_in(spine, receipt("orders", {"n": 2}, ago_s=3600))
            await settled(spine, 2)

        seen = []
        for _ in range(3):
            async with spine.api.as_tenant("default") as connection:
                rows = await deliveries.follow(connection, "default", "orders", position, 1)
            for place, row in rows:
                position = Position.of(str(place))
                seen.append(bytes(row["body"]))
        assert seen == [b'{"n": 1}', b'{"n": 2}']


async def test_a_delivery_of_an_open_transaction_holds_back_those_behind_it(database: str) -> None:
    async with open_spine(database) as spine:
        await spine.apply(endpoint("orders", "publish: false"))
        async with spine.api.as_tenant("default") as connection:
            position = await deliveries.newest_position(connection)
        async with spine.worker.transaction() as slow:
            await deliveries.store(slow, [receipt("orders", {"n": 1})])
            async with working(spine, "persister"):
                await hand_in(spine, receipt("orders", {"n": 2}))
                await settled(spine, 1)
            async with spine.api.as_tenant("default") as connection:
                assert await deliveries.follow(connection, "default", "orders", position, 10) == []

        async with spine.api.as_tenant("default") as connection:
            rows = await deliveries.follow(connection, "default", "orders", position, 10)
        assert sorted(bytes(row["body"]) for _, row in rows) == [b'{"n": 1}', b'{"n": 2}']


async def test_a_message_that_is_twice_in_one_batch_is_loaded_once(database: str) -> None:
    async with open_spine(database) as spine:
        await spine.apply(endpoint("orders", "destination: {table: orders}"))
        sent = receipt("orders", {"n": 1})
        await hand_in(spine, *([sent] * 10))

        async with working(spine, "persister"):
            await settled(spine, 1)
            await spine.bus.drain()

        assert [row["n"] for row in await spine.rows_of("orders", "n")] == [1]


def message_of(each: Receipt) -> Message:
    body = each.body if each.payload_id is None else b""
    return Message(webhook.TYPE, str(each.receipt_id), body, webhook.to_headers(each))


async def by_reference(spine: Spine, each: Receipt) -> Receipt:
    """The receipt with its body in table `payload`."""
    large = each._replace(payload_id=uuid.uuid4())
    async with spine.worker.transaction() as connection:
        await payloads.put(connection, large.payload_id, large.tenant, large.body)
    return large


async def test_bodies_that_messages_only_name_are_read_a_few_at_a_time(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(items, "HAND_BYTES", 3000)
    monkeypatch.setattr(ordering, "AT_ONCE_BYTES", 1500)  # two of five: each message settles one all the same
    async with open_spine(database) as spine:
        await spine.apply(endpoint("orders", "order_by: body.a, destination: {table: orders}"))
        bodies = [{"n": n, "text": "x" * 900} for n in range(12)]
        large = [message_of(await by_reference(spine, receipt("orders", body))) for body in bodies[:7]]
        async with spine.worker.transaction() as connection:
            for body in bodies[7:]:
                await ordering.add(connection, receipt("orders", body), "a")
        key = OrderedKey("default", "orders", "a").to_headers()
        waiting = [Message(webhook.TYPE, str(uuid.uuid4()), b"", key) for _ in bodies[7:]]

        parts = await items.parts_of(spine.worker, [*large, *waiting], 100)
        async with working(spine, "persister"):
            for each in (*large, *waiting):
                await spine.bus.publish(each)
            await settled(spine, 12)

        assert [len(part) for part in parts] == [3, 3, 6]  # an ordered key counts once, with its first two
        assert [row["n"] for row in await spine.rows_of("orders", "n")] == list(range(12))
        assert await spine.fetch("SELECT 1 FROM payload") == []


async def test_no_content_whatever_stops_the_deliveries_beside_it(database: str) -> None:
    parts = (
        'filter: "body.n != `0`", fields: [{name: n, type: integer}, {name: s}], destination: {table: orders},'
        " starts: [{stream: shop.orders, when: body.start, parameters: {s: body.s}}], publish: {type: body.s}"
    )
    bodies = [
        b'{"n": 1, "s": "a\\u0000b", "start": true}',
        b'{"n": 2, "s": "\\ud800", "start": true}',
        b'{"n": "x\\u0000y"}',
        b'{"n": 3, "s": "\\u0000"}',
        b'{"n": 4, "s": {"deep": ' + b"[" * 400 + b"]" * 400 + b"}}",
        b'{"n": 5e400}',
        b'{"n": 6, "s": "fine", "start": true}',
    ]
    async with open_spine(database) as spine:
        await spine.apply(endpoint("orders", parts))

        async with working(spine, "persister"):
            await hand_in(spine, *(receipt("orders", body) for body in bodies))
            rows = await settled(spine, len(bodies))
            await spine.bus.drain()

        states = {bytes(row["body"]): row["state"] for row in rows}
        assert set(states) == set(bodies)
        assert states[bodies[-1]] == "done"
        assert {states[body] for body in bodies[:3]} == {"dead"}
        assert (await spine.bus.depth())["headwater.dead"] == 0
        assert 6 in [row["n"] for row in await spine.rows_of("orders", "n")]
        assert len(await spine.fetch("SELECT 1 FROM run")) == 1
