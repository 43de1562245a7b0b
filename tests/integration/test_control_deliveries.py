"""Deliveries and dead letters: seen through the API, drained from the broker, replayed and discarded."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from tests.support.office import MANIFEST, Answered, Office, open_office

from headwater.bus.envelope import dead_letter
from headwater.bus.port import Message
from headwater.bus.wire import to_message
from headwater.contracts import webhook
from headwater.contracts.codec import dumps
from headwater.contracts.messages import PageDue, RunRequest
from headwater.contracts.webhook import Receipt
from headwater.model.ids import derive_id, derive_key_id, to_millisecond
from headwater.store import deliveries, replays
from headwater.store.replays import Selection

NOW = to_millisecond(datetime.now(UTC))


@pytest.fixture
async def office(database: str) -> AsyncIterator[Office]:
    async with open_office(database, works=True) as opened:
        applied = await opened.post(
            "/config/import", data=MANIFEST, headers={"Content-Type": "application/yaml"}
        )
        assert applied.status == 200
        yield opened


def receipt(number: int = 1, body: bytes = b'{"n": 1}', key: str | None = None, **more: Any) -> Receipt:
    at = NOW + timedelta(milliseconds=number)
    receipt_id = derive_id(at, "receipt", number)
    return Receipt(
        id=receipt_id if key is None else derive_key_id("delivery", "default", "hooks", key),
        receipt_id=receipt_id,
        received_at=at,
        tenant="default",
        endpoint="hooks",
        method="POST",
        url="https://example.com/in/default/hooks",
        remote="192.0.2.7",
        headers=[["X-A", "1"], ["Authorization", "***"], ["X-A", "\xe4"]],
        body=body,
        verification={"scheme": "github", "secret": 0, "timestamp": None},
        key=key,
        **more,
    )


async def store(office: Office, *received: Receipt, state: str = "done") -> None:
    async with office.worker.transaction() as connection:
        new = await deliveries.store(connection, received)
        await deliveries.settle(connection, [(each, state, None) for each in new])


async def give_up(office: Office, message: Message, queue: str, reason: str = "it was bad") -> None:
    """Put `message` to the dead letters as the bus does."""
    letter = dead_letter(message, reason=reason, queue=queue, at=datetime.now(UTC))
    await office.bus.publish(letter._replace(exchange="headwater.dead"))


async def until(office: Office, path: str, wanted: Any, timeout_s: float = 20) -> Answered:
    async with asyncio.timeout(timeout_s):
        while True:
            answered = await office.get(path)
            if wanted(answered.json):
                return answered
            await asyncio.sleep(0.02)


async def letters(office: Office, count: int = 1, query: str = "") -> list[dict[str, Any]]:
    found = await until(office, f"/dead-letters{query}", lambda told: len(told["items"]) == count)
    return found.json["items"]


async def test_a_delivery_is_listed_shown_and_given_back_byte_for_byte(office: Office) -> None:
    body = bytes(range(256)) * 40
    await store(office, receipt(body=body, key="abc", type="push"))
    await store(office, receipt(2, body=body, key="abc"))

    (listed,) = (await office.get("/deliveries")).json["items"]
    shown = await office.get(f"/deliveries/{listed['id']}")
    raw = await office.get(f"/deliveries/{listed['id']}/raw")

    assert (listed["state"], listed["type"], listed["duplicates"]) == ("done", "push", 1)
    assert listed["body_sha256"] == hashlib.sha256(body).hexdigest()
    assert listed["verification"] == {"scheme": "github", "secret": 0, "timestamp": None}
    more = {name: shown.json[name] for name in ("headers", "body_text", "parse_fault")}
    assert {**listed, **more} == shown.json
    assert more["body_text"] is None
    assert shown.json["headers"] == [["X-A", "1"], ["Authorization", "***"], ["X-A", "\xe4"]]
    assert raw.body == body
    assert raw.headers["Content-Type"] == "application/octet-stream"
    assert raw.headers["X-Content-Type-Options"] == "nosniff"
    assert raw.headers["Content-Disposition"] == f'attachment; filename="{listed["id"]}.bin"'


async def test_of_two_deliveries_with_one_id_each_is_shown_by_its_receipt(office: Office) -> None:
    first = receipt(-120_000, body=b'{"n": 1}', key="abc", dedupe_s=60)
    await store(office, first)
    await store(
        office, receipt(1, body=b'{"n": 2}', key="abc", dedupe_s=60)
    )  # after the window of the first one

    listed = (await office.get("/deliveries")).json["items"]
    assert [each["id"] for each in listed] == [str(first.id)] * 2
    for each, body in zip(listed, ('{"n": 2}', '{"n": 1}'), strict=True):
        shown = (await office.get(f"/deliveries/{each['receipt_id']}")).json
        assert (shown["receipt_id"], shown["body_text"]) == (each["receipt_id"], body)
        assert (await office.get(f"/deliveries/{each['receipt_id']}/raw")).body == body.encode()
    assert (await office.get(f"/deliveries/{first.id}")).json["body_text"] == '{"n": 2}'
    assert (await office.get("/deliveries/ffffffff-ffff-8fff-bfff-ffffffffffff")).status == 404


async def test_a_delivery_of_another_tenant_is_404_also_its_bytes(office: Office) -> None:
    await office.post("/tenants", {"name": "acme"})
    acme = await office.key_of("acme")
    await store(office, receipt())
    (listed,) = (await office.get("/deliveries")).json["items"]

    for path in (f"/deliveries/{listed['id']}", f"/deliveries/{listed['id']}/raw"):
        assert (await acme.get(path)).status == 404
        assert (await office.get(path)).status == 200


async def test_deliveries_are_filtered_and_walked(office: Office) -> None:
    await store(office, *(receipt(n, type="push" if n % 2 else None) for n in range(6)))
    await store(office, receipt(6), state="dead")

    async def ids(query: str) -> list[str]:
        return [item["id"] for item in (await office.get(f"/deliveries?{query}")).json["items"]]

    first = (await office.get("/deliveries?limit=4")).json
    rest = await ids(f"limit=4&cursor={first['next']}")
    assert [item["id"] for item in first["items"]] + rest == await ids("")
    assert len(await ids("")) == 7
    assert len(await ids("type=push")) == 3
    assert len(await ids("state=dead&endpoint=hooks")) == 1
    assert await ids("endpoint=other") == []
    middle = (NOW + timedelta(milliseconds=3)).isoformat().replace("+", "%2B")
    assert (len(await ids(f"since={middle}")), len(await ids(f"until={middle}"))) == (4, 3)


async def test_a_dead_page_fails_its_run_with_the_reason(office: Office) -> None:
    run = UUID((await office.post("/runs", {"stream": "shop.orders"})).json["id"])
    page = PageDue(
        run_id=run, attempt=1, tenant="default", stream_version=UUID(int=1), number=3, token={"place": {}}
    )

    await give_up(office, to_message(page, "m1", "default"), "headwater.page.due", "the page was poison")

    told = await until(office, f"/runs/{run}", lambda run: run["state"] == "failed")
    assert told.json["error"] == {
        "class": "dead_letter", "message": "a message of type page.due was given up: the page was poison",
    }  # fmt: skip
    (letter,) = await letters(office)
    assert (letter["type"], letter["queue"], letter["reason"]) == (
        "page.due",
        "headwater.page.due",
        "the page was poison",
    )
    assert (letter["tenant"], letter["state"]) == ("default", "open")
    shown = (await office.get(f"/dead-letters/{letter['id']}")).json
    assert '"number":3' in shown["body_text"]
    assert await office.worker.fetchval("SELECT count(*) FROM outbox WHERE type = 'run.finished'") == 1


async def test_a_dead_page_of_an_older_attempt_fails_nothing(office: Office) -> None:
    run = UUID((await office.post("/runs", {"stream": "shop.orders"})).json["id"])
    await office.worker.execute("UPDATE run SET attempt = 2")
    page = PageDue(
        run_id=run, attempt=1, tenant="default", stream_version=UUID(int=1), number=3, token={"place": {}}
    )

    await give_up(office, to_message(page, "m1", "default"), "headwater.page.due")

    await letters(office)
    assert (await office.get(f"/runs/{run}")).json["state"] == "queued"


async def test_a_dead_webhook_is_kept_as_a_dead_delivery_with_reason_and_bytes(office: Office) -> None:
    given = receipt(body=b"\x00\x01 not json", key="k1")
    message = Message(webhook.TYPE, str(given.receipt_id), given.body, webhook.to_headers(given))

    await give_up(office, message, "headwater.webhook.received", "no table would take it")

    (letter,) = await letters(office)
    delivery = (await office.get(f"/deliveries/{given.id}")).json
    assert (delivery["state"], delivery["reason"]) == ("dead", "no table would take it")
    assert (await office.get(f"/deliveries/{given.id}/raw")).body == given.body
    assert letter["message_id"] == str(given.receipt_id)


async def test_a_dead_webhook_whose_body_stands_elsewhere_is_kept_with_it(office: Office) -> None:
    payload_id = UUID(int=7)
    given = receipt(body=b"", payload_id=payload_id)
    await office.worker.execute(
        "INSERT INTO payload (id, tenant, body) VALUES ($1, 'default', $2)", payload_id, b"large" * 1000
    )
    message = Message(webhook.TYPE, str(given.receipt_id), b"", webhook.to_headers(given))

    await give_up(office, message, "headwater.webhook.received")

    await letters(office)
    assert (await office.get(f"/deliveries/{given.id}/raw")).body == b"large" * 1000


async def test_a_replayed_webhook_goes_its_way_again_and_becomes_a_delivery_once(office: Office) -> None:
    payload_id = UUID(int=7)
    given = receipt(body=b"", key="k1", payload_id=payload_id)
    await office.worker.execute(
        "INSERT INTO payload (id, tenant, body) VALUES ($1, 'default', $2)", payload_id, b'{"n": 2}'
    )
    message = Message(webhook.TYPE, str(given.receipt_id), b"", webhook.to_headers(given))
    await give_up(office, message, "headwater.webhook.received")
    (letter,) = await letters(office)
    await office.worker.execute("DELETE FROM payload")

    replayed = await office.post(f"/dead-letters/{letter['id']}/replay")

    assert (replayed.status, replayed.json["state"], replayed.json["run_id"]) == (200, "replayed", None)
    assert (await office.get(f"/deliveries/{given.id}")).status == 404
    row = await office.worker.fetchrow(
        "SELECT id, type, headers, body FROM outbox WHERE type = 'webhook.received'"
    )
    assert row["id"] == given.receipt_id
    again = webhook.from_headers(str(row["id"]), row["headers"], row["body"])
    assert again == given
    assert await office.worker.fetchval("SELECT body FROM payload WHERE id = $1", payload_id) == b'{"n": 2}'
    await store(office, again._replace(body=b'{"n": 2}'))
    assert (await office.get(f"/deliveries/{given.id}")).json["state"] == "done"
    assert (await office.post(f"/dead-letters/{letter['id']}/replay")).status == 409


async def test_a_dead_replay_of_a_delivery_is_dead_leaves_the_delivery_alone_and_can_go_again(
    office: Office,
) -> None:
    given = receipt(body=b'{"n": 2}', key="k1")
    await store(office, given)
    async with office.api.as_tenant("default") as connection:
        await replays.request(connection, "default", Selection(ids=[given.id]))
    owed = await office.worker.fetchrow("SELECT * FROM outbox WHERE type = 'webhook.received'")
    await office.worker.execute("DELETE FROM outbox")
    message = Message(owed["type"], str(owed["id"]), bytes(owed["body"]), owed["headers"])

    await give_up(office, message, "headwater.webhook.received", "the table was locked for days")
    (letter,) = await letters(office)
    replay = await office.worker.fetchrow("SELECT state, reason FROM delivery_replay")
    again = await office.post(f"/dead-letters/{letter['id']}/replay")

    assert (replay["state"], replay["reason"]) == ("dead", "the table was locked for days")
    assert (await office.get(f"/deliveries/{given.id}")).json["state"] == "done"
    assert again.status == 200
    republished = await office.worker.fetchrow(
        "SELECT id, headers FROM outbox WHERE type = 'webhook.received'"
    )
    assert republished["id"] == owed["id"]
    wanted = webhook.replay_in(republished["headers"])
    async with office.worker.transaction() as connection:
        assert list(await replays.claim(connection, [wanted])) == [wanted]


async def test_a_replayed_page_starts_its_run_again(office: Office) -> None:
    run = UUID((await office.post("/runs", {"stream": "shop.orders"})).json["id"])
    page = PageDue(
        run_id=run, attempt=1, tenant="default", stream_version=UUID(int=1), number=3, token={"place": {}}
    )
    await give_up(office, to_message(page, "m1", "default"), "headwater.page.due")
    (letter,) = await letters(office)

    replayed = await office.post(f"/dead-letters/{letter['id']}/replay")

    again = (await office.get(f"/runs/{replayed.json['run_id']}")).json
    assert (again["state"], again["generation"]) == ("queued", 2)


async def test_what_cannot_be_replayed_stays_open_and_says_why(office: Office) -> None:
    run = derive_id(NOW, "no such run")
    page = PageDue(
        run_id=run, attempt=1, tenant="default", stream_version=UUID(int=1), number=3, token={"place": {}}
    )
    await give_up(office, to_message(page, "m1", "default"), "headwater.page.due")
    (letter,) = await letters(office)

    refused = await office.post(f"/dead-letters/{letter['id']}/replay")

    assert refused.status == 409
    assert "its run is not there any more" in refused.json["detail"]
    assert (await office.get(f"/dead-letters/{letter['id']}")).json["state"] == "open"


async def test_a_discarded_dead_letter_stays_to_be_looked_at(office: Office) -> None:
    await give_up(office, Message("run.close", "m1", b"{}", {"tenant": "default"}), "headwater.run.close")
    (letter,) = await letters(office)

    assert (await office.post(f"/dead-letters/{letter['id']}/discard")).json["state"] == "discarded"

    assert (await office.post(f"/dead-letters/{letter['id']}/discard")).status == 409
    assert len(await letters(office, 1, "?state=discarded&queue=headwater.run.close")) == 1
    assert await letters(office, 0, "?state=open") == []


async def test_dead_letters_that_belong_to_nobody_are_seen_by_global_keys_only(office: Office) -> None:
    acme = await office.key_of("default", "read", "write", "run")
    await give_up(office, Message("run.close", "m1", b"\xff", {}), "headwater.run.close")

    (letter,) = await letters(office)

    assert letter["tenant"] is None
    assert (await acme.get("/dead-letters")).json["items"] == []
    assert (await acme.get(f"/dead-letters/{letter['id']}")).status == 404
    assert (await office.post(f"/dead-letters/{letter['id']}/replay")).status == 409


async def test_a_dead_letter_of_another_tenant_cannot_be_touched(office: Office) -> None:
    await office.post("/tenants", {"name": "acme"})
    acme = await office.key_of("acme")
    await give_up(office, Message("run.close", "m1", b"{}", {"tenant": "default"}), "headwater.run.close")
    (letter,) = await letters(office)

    for verb in ("replay", "discard"):
        assert (await acme.post(f"/dead-letters/{letter['id']}/{verb}")).status == 404
    assert (await office.get(f"/dead-letters/{letter['id']}")).json["state"] == "open"


async def test_whatever_is_dead_is_kept_also_beside_a_hostile_neighbour(office: Office) -> None:
    strange = [
        Message(
            "run.due",
            "m1",
            b'{"run_id": "ffffffff-ffff-8fff-bfff-ffffffffffff", "attempt": 1}',
            {"tenant": "default"},
        ),
        Message("run.due", "m2", b'{"run_id": [], "attempt": true}', {"tenant": "default"}),
        Message("page.due", "m3", b"[" * 100_000, {"tenant": "../x"}),
        Message("webhook.received", "not-an-id", b"x", {"tenant": "default", "received-at": "2026"}),
        Message("batch.ready", "m5", bytes(range(256)), {"tenant": "default"}),
    ]

    for message in strange:
        await give_up(office, message, "headwater.somewhere")

    found = await letters(office, len(strange))
    assert {letter["message_id"] for letter in found} == {message.id for message in strange}


async def test_a_dead_letter_that_comes_twice_is_kept_once(office: Office) -> None:
    letter = dead_letter(
        Message("run.close", "m1", b"{}", {"tenant": "default"}),
        reason="r",
        queue="headwater.run.close",
        at=NOW,
    )
    for _ in range(3):
        await office.bus.publish(letter._replace(exchange="headwater.dead"))
    await give_up(office, Message("run.close", "last", b"{}", {"tenant": "default"}), "headwater.run.close")

    await until(
        office, "/dead-letters", lambda told: any(item["message_id"] == "last" for item in told["items"])
    )
    assert len(await letters(office, 2)) == 2


async def asked_by(
    office: Office, user: str | None, request: Any, identifier: str = "req-1", **more: Any
) -> None:
    body = request if isinstance(request, bytes) else dumps(request)
    kind = more.get("type", RunRequest.type)
    await office.bus.publish(Message(kind, identifier, body, user_id=user, exchange="headwater.in"))


async def test_a_run_request_over_amqp_starts_a_run_of_the_users_tenant(office: Office) -> None:
    await asked_by(office, "headwater.default", {"stream": "shop.orders", "parameters": {"a": 1}})

    told = await until(office, "/runs", lambda told: len(told["items"]) == 1)

    (run,) = told.json["items"]
    assert (run["stream"], run["trigger"], run["parameters"]) == ("shop.orders", "amqp", {"a": 1})
    assert run["started_by"] == "broker user headwater.default"


async def test_the_same_message_id_asks_for_the_same_run(office: Office) -> None:
    for _ in range(3):
        await asked_by(office, "headwater.default", {"stream": "shop.orders"})
    await asked_by(office, "headwater.default", {"stream": "shop.refunds"}, "req-2")

    await until(office, "/runs?stream=shop.refunds", lambda told: len(told["items"]) == 1)
    await office.bus.drain()
    assert len((await office.get("/runs?stream=shop.orders")).json["items"]) == 1


async def test_what_nobody_can_start_becomes_a_dead_letter_with_its_reason(office: Office) -> None:
    good = {"stream": "shop.orders"}
    await asked_by(office, None, good, "no-user")
    await asked_by(office, "guest", good, "stranger")
    await asked_by(office, "headwater.nobody", good, "no-tenant")
    await asked_by(office, "headwater.default", {"stream": "shop.none"}, "no-stream")
    await asked_by(office, "headwater.default", b"{", "no-json")
    await asked_by(office, "headwater.default", {**good, "tenant": "acme"}, "extra")
    await asked_by(office, "headwater.default", {**good, "parameters": {"a": "\0"}}, "nul")
    await asked_by(office, "headwater.default", {}, "event", type="event.nowhere")

    found = {letter["message_id"]: letter for letter in await letters(office, 8)}

    wanted = {
        "no-user": "user_id is missing", "stranger": "belongs to no tenant", "no-tenant": "there is no tenant",
        "no-stream": "names no stream", "no-json": "not JSON", "extra": "/tenant", "nul": "NUL",
        "event": "has no endpoint",
    }  # fmt: skip
    for identifier, part in wanted.items():
        assert part in found[identifier]["reason"], found[identifier]
    assert found["no-user"]["tenant"] is None
    assert found["no-stream"]["tenant"] == "default"
    assert (await office.get("/runs")).json["items"] == []


async def test_a_replayed_run_request_starts_its_run(office: Office) -> None:
    await asked_by(office, "headwater.default", {"stream": "shop.late"})
    (letter,) = await letters(office)
    assert (await office.post(f"/dead-letters/{letter['id']}/replay")).status == 409
    more = MANIFEST.replace("- name: refunds", "- name: late")
    await office.post("/config/import", data=more, headers={"Content-Type": "application/yaml"})

    replayed = await office.post(f"/dead-letters/{letter['id']}/replay")

    assert (await office.get(f"/runs/{replayed.json['run_id']}")).json["stream"] == "shop.late"


async def test_the_front_page_counts_open_dead_letters(office: Office) -> None:
    await give_up(office, Message("run.close", "m1", b"{}", {"tenant": "default"}), "headwater.run.close")
    await letters(office)

    assert (await office.with_key(None).get("/")).json["counts"]["dead_letters"] == 1


async def test_a_replayed_webhook_reaches_its_table_through_relay_and_persister(
    office: Office, database: str
) -> None:
    from headwater.model.secret import Secret
    from headwater.persister.service import Persister
    from headwater.store.bell import Bell
    from headwater.telemetry.metrics import Metrics
    from headwater.timer.service import Timer

    given = receipt(body=b'{"id": 7, "name": "x"}', key="k1")
    message = Message(webhook.TYPE, str(given.receipt_id), given.body, webhook.to_headers(given))
    await give_up(office, message, "headwater.webhook.received", "a fault that was mended")
    (letter,) = await letters(office)
    stop = asyncio.Event()
    async with Bell(office.worker).running() as bell, asyncio.TaskGroup() as group:
        group.create_task(Timer(office.worker, Secret.of(database), office.bus, bell, Metrics()).run(stop))
        group.create_task(Persister(office.worker, office.bus, bell, Metrics()).run(stop))
        try:
            assert (await office.post(f"/dead-letters/{letter['id']}/replay")).status == 200
            told = await until(office, f"/deliveries/{given.id}", lambda told: told.get("state") == "done")
        finally:
            stop.set()

    assert told.json["receipt_id"] == str(given.receipt_id)
    async with office.worker.transaction() as connection:
        await connection.execute("SET LOCAL ROLE headwater_loader")
        rows = await connection.fetch("SELECT id, name FROM hw_default.hooks")
    assert [dict(row) for row in rows] == [{"id": 7, "name": "x"}]
