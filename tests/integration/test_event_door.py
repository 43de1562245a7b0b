"""Events handed in over AMQP: deliveries of an endpoint, once each by their message id, of the user's tenant."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support.front import Front, open_front

from headwater.bus.port import Message


@pytest.fixture
async def front(database: str) -> AsyncIterator[Front]:
    async with open_front(database) as opened:
        yield opened


async def hand_in(front: Front, body: bytes, identifier: str = "e-1", **more: Any) -> None:
    given = {"user_id": "headwater.default", "exchange": "headwater.in", **more}
    await front.spine.bus.publish(Message("event.orders", identifier, body, **given))


async def test_an_event_is_a_delivery_and_goes_the_way_of_every_webhook(front: Front) -> None:
    await front.apply(
        destination={"table": "orders"}, fields={"n": "n", "kind": "_.type", "shop": "_.headers.shop"}, publish=True
    )  # fmt: skip

    await hand_in(front, b'{"n": 1}', headers={"cloudEvents:type": "order.made", "shop": "K\u00f6ln"})
    (one,) = await front.settled(1)

    assert (one["method"], one["provider_id"], one["type"], one["state"]) == (
        "AMQP",
        "e-1",
        "order.made",
        "done",
    )
    assert one["verification"]["scheme"] == "amqp"
    (row,) = await front.spine.rows_of("orders", "n")
    assert (row["n"], row["kind"]) == (1, "order.made")
    assert row["shop"].encode("latin-1").decode() == "K\u00f6ln"
    assert (await front.office.get(f"/deliveries/{one['id']}/raw")).body == b'{"n": 1}'
    assert (await front.office.get("/endpoints/orders/stats")).json["verified"] == 1


async def test_the_same_message_id_is_a_mark_on_the_first_one(front: Front) -> None:
    await front.apply(destination={"table": "orders"})

    await hand_in(front, b'{"n": 1}')
    await front.settled(1)
    await hand_in(front, b'{"n": 2}')
    await front.until("/deliveries", lambda told: told["items"][0]["duplicates"] == 1)

    assert [row["n"] for row in await front.spine.rows_of("orders", "n")] == [1]
    (mark,) = (await front.office.get(f"/deliveries/{(await front.settled(1))[0]['id']}/duplicates")).json[
        "items"
    ]
    assert mark["is_conflict"] is True


async def test_large_and_ordered_events_arrive_whole(front: Front) -> None:
    await front.apply(destination={"table": "orders"}, fields={"n": "n"}, order_by="body.k")
    big = json.dumps({"n": 1, "k": "a", "x": "y" * 1024 * 1024}).encode()

    await hand_in(front, big, "e-1")
    await hand_in(front, b'{"n": 2, "k": "a"}', "e-2")
    both = await front.settled(2)

    assert {each["state"] for each in both} == {"done"}
    assert [row["n"] for row in await front.spine.rows_of("orders", "n")] == [1, 2]
    await front.apply(destination={"table": "plain"}, fields={"n": "n"})
    await hand_in(front, big, "e-3")
    await front.settled(3)
    assert [row["n"] for row in await front.spine.rows_of("plain", "n")] == [1]


async def test_what_no_endpoint_takes_is_a_dead_letter_that_can_be_replayed_once_it_does(
    front: Front,
) -> None:
    await hand_in(front, b'{"n": 1}')
    await hand_in(front, b"{}", "e-2", user_id=None)
    letters = (await front.until("/dead-letters", lambda told: len(told["items"]) == 2)).json["items"]
    by_id = {each["message_id"]: each for each in letters}
    early = await front.office.post(f"/dead-letters/{by_id['e-1']['id']}/replay")

    await front.apply(destination={"table": "orders"}, limits={"body_bytes": 20})
    replayed = await front.office.post(f"/dead-letters/{by_id['e-1']['id']}/replay")
    (one,) = await front.settled(1)
    await hand_in(front, b" " * 21, "e-3")
    await front.until("/dead-letters", lambda told: len(told["items"]) == 3)

    assert "has no endpoint 'orders'" in by_id["e-1"]["reason"]
    assert "user_id is missing" in by_id["e-2"]["reason"]
    assert (early.status, replayed.status, one["provider_id"]) == (409, 200, "e-1")
    assert len(await front.settled(1)) == 1
