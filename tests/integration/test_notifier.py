"""The notifier: every final run becomes an event for subscribers."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from tests.support.spine import KEY

from headwater.app.clock import SystemClock
from headwater.bus.memory import MemoryBus
from headwater.bus.port import Message
from headwater.bus.topology import Binding, Topology, load_topology
from headwater.bus.wire import to_message
from headwater.contracts.messages import RunFinished
from headwater.model.secret import Secret
from headwater.model.topics import routing_key, word
from headwater.notifier.events import event_of
from headwater.notifier.service import Notifier
from headwater.plugins.notifiers.base import PLAIN_OFFICE
from headwater.store.bell import Bell
from headwater.store.database import Database
from headwater.store.keyring import Keyring
from headwater.telemetry.metrics import Metrics

AT = datetime(2026, 1, 1, tzinfo=UTC)
FINISHED = RunFinished(
    run_id=UUID(int=1), tenant="acme", stream="shop.orders", due_at=AT, attempt=1, trigger="api", mode="auto",
    state="succeeded", finished_at=AT,
)  # fmt: skip


def subscribed(key: str) -> Topology:
    """The topology with a subscriber's queue bound to the events."""
    topology = load_topology()
    queue = replace(topology.queues["headwater.run.close"], name="subscriber")
    bindings = (*topology.bindings, Binding("headwater.events", "subscriber", key))
    return replace(topology, queues={**topology.queues, "subscriber": queue}, bindings=bindings)


@asynccontextmanager
async def a_notifier(url: str, bus: MemoryBus) -> AsyncIterator[Notifier]:
    worker = Database(Secret.of(url), "headwater_worker", size=4)
    await worker.open()
    async with Bell(worker).running() as bell:
        yield Notifier(worker, bus, Keyring.of(KEY), bell, SystemClock(), Metrics(), PLAIN_OFFICE)
    await worker.close()


async def test_a_finished_run_reaches_the_subscribers_of_its_topic_with_one_id(database: str) -> None:
    bus = MemoryBus(subscribed("acme.run.*.finished"))
    heard: asyncio.Queue[Message] = asyncio.Queue()

    async def hear(messages: Sequence[Message]) -> None:
        for message in messages:
            heard.put_nowait(message)

    stop = asyncio.Event()
    async with (
        a_notifier(database, bus) as notifier,
        asyncio.TaskGroup() as group,
        bus.consume("subscriber", hear),
    ):
        group.create_task(notifier.run(stop))
        for _ in range(2):
            await bus.publish(to_message(FINISHED, "id-1", "acme"))
        async with asyncio.timeout(10):
            events = [await heard.get() for _ in range(2)]
        stop.set()
    await bus.close()

    assert {event.id for event in events} == {"id-1"}
    event = events[0]
    assert event.type == "acme.run.shop_orders.finished"
    assert RunFinished.model_validate(json.loads(event.body)) == FINISHED
    assert {name: value for name, value in event.headers.items() if name.startswith("cloudEvents:")} == {
        "cloudEvents:specversion": "1.0",
        "cloudEvents:type": "headwater.run.finished",
        "cloudEvents:source": "/tenants/acme",
        "cloudEvents:id": "id-1",
        "cloudEvents:time": "2026-01-01T00:00:00+00:00",
        "cloudEvents:subject": f"runs/{UUID(int=1)}",
    }


async def test_a_message_that_is_no_finished_run_reaches_the_dead_letters(database: str) -> None:
    bus = MemoryBus()
    stop = asyncio.Event()
    async with a_notifier(database, bus) as notifier, asyncio.TaskGroup() as group:
        group.create_task(notifier.run(stop))
        await bus.publish(Message("run.finished", "m1", b"{}", {"tenant": "acme"}))
        await bus.drain()
        stop.set()

    assert (await bus.depth())["headwater.dead"] == 1
    await bus.close()


def test_words_of_a_routing_key_are_reduced_and_cut_words_stay_apart() -> None:
    assert word("shop.orders") == "shop_orders"
    assert word("ä ö") == "_"
    assert word("") == "_"
    assert len(word("a" * 65)) == 64
    assert word("a" * 64) == "a" * 64
    assert word("a" * 70 + "b") != word("a" * 70 + "c")
    assert routing_key("acme", "run", "a.b", "finished") == "acme.run.a_b.finished"


def test_an_event_can_be_carried_by_every_backend() -> None:
    from headwater.bus.envelope import fault_of

    assert fault_of(event_of(FINISHED, "id-1")) is None
