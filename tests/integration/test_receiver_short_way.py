"""The short way of plain webhooks: the same answers and messages as on the long way, in order, and nothing lost."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from tests.integration.test_receiver_outages import FickleBus, with_fickle_bus
from tests.support.receiving import SECRET, Door, manifest, queued, receiving, signature
from tests.support.spine import Spine, open_spine

from headwater.bus.port import Message
from headwater.receiver.reading import Patience
from headwater.receiver.service import Place

ORDERS = "/in/default/orders"
LONG = {"TE": "trailers"}  # a header by which a request is not plain, and else the same
PATIENCE_S = 20


def raw(body: bytes, path: str = ORDERS, secret: str = SECRET, **headers: str) -> bytes:
    told = {
        "Host": "127.0.0.1",
        "X-Hub-Signature-256": signature(body, secret),
        "Content-Length": str(len(body)),
        **headers,
    }
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in told.items()), "", ""]
    return "\r\n".join(lines).encode() + body


async def answers(door: Door, sent: Sequence[bytes], count: int) -> bytes:
    """What comes back for what is sent piece by piece on one connection, until `count` answers are there."""
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    for piece in sent:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)
    received = b""
    async with asyncio.timeout(PATIENCE_S):
        while received.count(b"HTTP/1.1 ") < count:
            received += await reader.read(64 * 1024)
    writer.close()
    return received


async def messages(spine: Spine, count: int) -> list[Message]:
    """The webhooks that wait in their queue."""
    found: list[Message] = []
    there = asyncio.Event()

    async def take(batch: Sequence[Message]) -> None:
        found.extend(batch)
        if len(found) >= count:
            there.set()

    async with spine.bus.consume("headwater.webhook.received", take), asyncio.timeout(PATIENCE_S):
        await there.wait()
    return found


def told(message: Message) -> dict[str, Any]:
    """What a message says, without what differs from request to request."""
    headers = {name: value for name, value in message.headers.items() if name != "delivery-id"}
    receipt = json.loads(headers.pop("receipt"))
    del receipt["received_at"]
    receipt["headers"] = [pair for pair in receipt["headers"] if pair[0] not in LONG]
    return {"type": message.type, "body": message.body, "headers": headers, "receipt": receipt}


CASES: tuple[tuple[Mapping[str, Any], Mapping[str, Any], bool], ...] = (
    ({}, {}, True),
    ({}, {"headers": {"X-GitHub-Delivery": "d-1", "X-GitHub-Event": "push", "Cookie": "c=1"}}, True),
    ({}, {"body": b""}, True),
    ({}, {"body": b"\xff\x00 no text"}, True),
    ({}, {"secret": "another"}, False),
    ({}, {"secret": None}, False),
    ({}, {"path": "/in/default/orders?a=%20b"}, True),
    ({}, {"path": "/in/default/nothing"}, False),
    ({}, {"path": "/in/default/orders/"}, False),
    ({"limits": {"body_bytes": 10}}, {"body": b"01234567890"}, False),
    ({"limits": {"rate": {"requests": 1, "per_s": 60}}}, {}, True),
    ({"allow": ["10.0.0.0/8"]}, {}, False),
    ({"allow": ["127.0.0.0/8"]}, {}, True),
    ({"methods": ["PUT"]}, {}, False),
    ({"secrets": ["older", SECRET]}, {}, True),
    ({"respond": {"status": 200, "body": "ok {delivery_id}", "headers": {"X-Kind": "a"}}}, {}, True),
    ({"respond": {"status": 204}}, {}, True),
    ({"dedupe": {"header": "X-Key"}}, {"headers": {"X-Key": "k"}}, True),
    ({"dedupe": {"none": True}}, {}, True),
    ({"public_url": "https://hooks.example.com"}, {}, True),
)


async def sent_to_all(door: Door, more: Mapping[str, str]) -> list[tuple[bool, tuple[Any, ...]]]:
    """For each case whether it went the short way, and its answer."""
    found = []
    for number, (_, request, _) in enumerate(CASES):
        given = {"path": ORDERS, "body": b'{"n":1}', **request}
        before = door.short_count
        status, headers, body = await door.send(
            given.pop("path").replace("orders", f"e{number}"),
            given.pop("body"),
            headers={"Host": "a", **given.pop("headers", {}), **more},
            **given,
        )
        about = {name.lower(): value for name, value in headers.items() if name != "Date"}
        found.append((door.short_count > before, (status, about, len(body))))
    return found


def of_all() -> str:
    """A manifest with the endpoint of every case."""
    endpoints = [
        {"name": f"e{number}", "scheme": "github", "secrets": [SECRET], **endpoint}
        for number, (endpoint, _, _) in enumerate(CASES)
    ]
    return json.dumps({"version": 1, "endpoints": endpoints})


async def test_both_ways_answer_alike_and_queue_the_same(database: str) -> None:
    async with open_spine(database) as spine:
        await spine.apply(of_all())

        async with receiving(spine) as door:
            short = await sent_to_all(door, {})
            of_short = await messages(spine, sum(is_short for _, _, is_short in CASES))
        async with receiving(spine) as door:  # another one, whose rates are unused
            long = await sent_to_all(door, LONG)
            of_long = await messages(spine, len(of_short))

    assert [is_short for is_short, _ in short] == [is_short for _, _, is_short in CASES]
    assert not any(is_short for is_short, _ in long)
    assert [answer for _, answer in short] == [answer for _, answer in long]
    assert [told(message) for message in of_short] == [told(message) for message in of_long]
    assert [each.headers["delivery-id"] for each in of_short if "d-1" in each.headers["receipt"]] == [
        each.headers["delivery-id"] for each in of_long if "d-1" in each.headers["receipt"]
    ]


async def test_requests_of_both_ways_in_one_go_are_answered_in_their_order(database: str) -> None:
    async with open_spine(database) as spine:
        await spine.apply(manifest(respond={"status": 200, "body": "yes"}))
        long = raw(b"{}", TE="trailers")
        sent = b"".join(
            [
                raw(b"{}"),
                long,
                raw(b"{}", secret="x"),
                raw(b"{}"),
                b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
            ]
            * 8
        )

        async with receiving(spine) as door:
            received = await answers(door, [sent], 40)

        statuses = [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:]]
        assert statuses == [200, 200, 401, 200, 404] * 8
        assert await queued(spine) == 24


@pytest.mark.parametrize("size", [1, 100, 16 * 1024, 60 * 1024])
async def test_a_body_that_comes_in_pieces_is_kept_whole(database: str, size: int) -> None:
    async with open_spine(database) as spine:
        await spine.apply(manifest())
        body = bytes(n % 251 for n in range(size))
        whole = raw(body)
        head = whole[: -len(body)]

        async with receiving(spine) as door:
            received = await answers(door, [head, body[: size // 2], body[size // 2 :]], 1)
            took = door.short_count
            (message,) = await messages(spine, 1)

        assert received.startswith(b"HTTP/1.1 202")
        assert took == 1
        assert message.body == body


async def test_a_body_that_does_not_come_is_cut_after_its_time(database: str) -> None:
    async with open_spine(database) as spine:
        await spine.apply(manifest())
        place = Place("http://127.0.0.1", patience=Patience(read_s=0.2, body_s=1.0))

        async with receiving(spine, place) as door:
            received = await answers(door, [raw(b'{"n":1}')[:-3]], 1)

        assert received.startswith(b"HTTP/1.1 408")
        assert await queued(spine) == 0


async def test_what_the_broker_does_not_take_is_spooled_and_else_told(database: str) -> None:
    async with with_fickle_bus(database) as (spine, bus, door):
        bus.is_away = True
        status, _, body = await door.send(ORDERS, {"n": 1})
        spooled = await spine.row("SELECT count(*) AS rows FROM outbox")
        took = door.short_count
        await door.break_spool()
        refused, headers, _ = await door.send(ORDERS, {"n": 2})
        counted = {outcome for _, outcome in door.receiver._ledger.tally("default", "orders").slots}

    assert (status, spooled["rows"], took) == (202, 1, 1)
    assert "refused:unavailable" in counted
    assert json.loads(body)["id"]
    assert (refused, headers["Retry-After"]) == (503, "5")


async def test_a_request_under_way_is_answered_before_the_port_closes(database: str) -> None:
    bus = FickleBus()
    async with open_spine(database, bus) as spine:
        await spine.apply(manifest())
        bus.is_stuck = True
        async with receiving(spine) as door:
            under_way = asyncio.create_task(door.send(ORDERS, {"n": 1}))
            async with asyncio.timeout(PATIENCE_S):
                while door.short_count == 0:
                    await asyncio.sleep(0.01)
        status, _, _ = await under_way

        assert status == 202
        assert (await spine.row("SELECT count(*) AS rows FROM outbox"))["rows"] == 1
