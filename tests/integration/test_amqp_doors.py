"""The doors for other programs at a real RabbitMQ: a plain pika client as a tenant's own broker user."""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pika
import pytest
from tests.support.amqp import as_user, channel, next_message, subscribe
from tests.support.office import MANIFEST, RING, Office, open_office
from yarl import URL

from headwater.app.clock import SystemClock
from headwater.bus.rabbitmq import RabbitBus
from headwater.contracts.messages import RunFinished
from headwater.model.secret import Secret
from headwater.notifier.service import Notifier
from headwater.plugins.notifiers.base import PLAIN_OFFICE
from headwater.store.bell import Bell
from headwater.store.keyring import Keyring
from headwater.telemetry.metrics import Metrics
from headwater.timer.service import Timer

USER = "headwater.default"


@pytest.fixture
async def office(database: str, rabbit: str, request: pytest.FixtureRequest) -> AsyncIterator[Office]:
    url = os.environ.get("HEADWATER_TEST_MANAGEMENT_URL")
    if url is None and "HEADWATER_TEST_AMQP_URL" in os.environ:
        pytest.skip("the broker's management API is not known: set HEADWATER_TEST_MANAGEMENT_URL")
    management = Secret.of(url or request.getfixturevalue("rabbit_node").management_url)
    async with AsyncExitStack() as stack:
        bus = RabbitBus(rabbit)
        await bus.open()
        opened = await stack.enter_async_context(
            open_office(database, bus, works=True, management_url=management)
        )
        applied = await opened.post(
            "/config/import", data=MANIFEST, headers={"Content-Type": "application/yaml"}
        )
        assert applied.status == 200
        bell = await stack.enter_async_context(Bell(opened.worker).running())
        stop = asyncio.Event()
        notifier = Notifier(
            opened.worker, bus, Keyring.of(RING), bell, SystemClock(), Metrics(), PLAIN_OFFICE
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(notifier.run(stop))
            group.create_task(Timer(opened.worker, Secret.of(database), bus, bell, Metrics()).run(stop))
            try:
                yield opened
            finally:
                stop.set()


async def the_user(office: Office, rabbit: str) -> pika.ConnectionParameters:
    made = await office.post("/tenants/default/broker-user")
    assert made.json["user"] == USER
    return as_user(rabbit, USER, made.json["password"])


def ask(
    parameters: pika.ConnectionParameters, body: bytes, key: str = "run.request", **properties: Any
) -> None:
    with channel(parameters) as opened:
        opened.basic_publish("headwater.in", key, body, pika.BasicProperties(**properties), mandatory=True)


async def runs_of(office: Office, count: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(20):
        while len(found := (await office.get("/runs")).json["items"]) < count:
            await asyncio.sleep(0.05)
    return found


async def test_the_program_of_the_page_starts_a_run_and_hears_of_its_end(office: Office, rabbit: str) -> None:
    page = (Path(__file__).parents[2] / "docs/amqp.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    user = (await office.post("/tenants/default/broker-user")).json
    address = URL(rabbit).with_user(user["user"]).with_password(user["password"])

    running = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program,
        env={**os.environ, "AMQP_URL": str(address)}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    (run,) = await runs_of(office, 1)
    await office.post(f"/runs/{run['id']}/cancel")
    async with asyncio.timeout(20):
        said, _ = await running.communicate()

    assert (run["stream"], run["trigger"]) == ("shop.orders", "amqp")
    assert said.decode().startswith("shop.orders cancelled {'pages': 0")
    assert running.returncode == 0


async def test_a_plain_client_starts_a_run_and_hears_of_its_end(office: Office, rabbit: str) -> None:
    parameters = await the_user(office, rabbit)
    body = json.dumps({"stream": "shop.orders", "parameters": {"a": 1}}).encode()
    with_id = {"message_id": "order-1", "user_id": USER}

    def listen_and_ask(started: Callable[[], None]) -> tuple[str, pika.BasicProperties, bytes]:
        with channel(parameters) as opened:
            queue = subscribe(opened, "headwater.events", "default.run.*.finished")
            ask(parameters, body, **with_id)
            ask(parameters, body, **with_id)
            started()
            return next_message(opened, queue)

    started, loop = asyncio.Event(), asyncio.get_running_loop()
    hearing = asyncio.create_task(
        asyncio.to_thread(listen_and_ask, lambda: loop.call_soon_threadsafe(started.set))
    )
    await started.wait()
    (run,) = await runs_of(office, 1)
    await office.post(f"/runs/{run['id']}/cancel")
    key, properties, told = await hearing

    assert (run["trigger"], run["started_by"]) == ("amqp", f"broker user {USER}")
    assert key == "default.run.shop_orders.finished"
    finished = RunFinished.model_validate_json(told)
    assert (str(finished.run_id), finished.state) == (run["id"], "cancelled")
    assert properties.headers["cloudEvents:id"] == properties.message_id
    assert properties.headers["cloudEvents:subject"] == f"runs/{run['id']}"
    assert len((await office.get("/runs")).json["items"]) == 1


async def test_a_request_without_user_id_or_message_id_becomes_a_dead_letter(
    office: Office, rabbit: str
) -> None:
    parameters = await the_user(office, rabbit)
    body = b'{"stream": "shop.orders"}'

    await asyncio.to_thread(ask, parameters, body, message_id="no-user")
    await asyncio.to_thread(ask, parameters, body, user_id=USER)

    async with asyncio.timeout(20):
        while len(found := (await office.get("/dead-letters")).json["items"]) < 2:
            await asyncio.sleep(0.05)
    reasons = sorted(letter["reason"] for letter in found)
    assert "message_id is missing" in reasons[0]
    assert "user_id is missing" in reasons[1]
    assert (await office.get("/runs")).json["items"] == []


async def test_a_tenants_user_can_do_nothing_else(office: Office, rabbit: str) -> None:
    parameters = await the_user(office, rabbit)

    def refused(act: Callable[[Any], object]) -> bool:
        try:
            with channel(parameters) as opened:
                act(opened)
        except pika.exceptions.ChannelClosedByBroker as error:
            return error.reply_code in {403, 406}
        return False

    def publish(exchange: str, key: str, **properties: Any) -> Callable[[Any], object]:
        return lambda opened: opened.basic_publish(exchange, key, b"{}", pika.BasicProperties(**properties))

    attempts: dict[str, Callable[[Any], object]] = {
        "speak for another": publish("headwater.in", "run.request", user_id="headwater.acme", message_id="1"),
        "hand in something else": publish("headwater.in", "webhook.received", user_id=USER, message_id="1"),
        "publish between our services": publish("headwater", "run.due", user_id=USER, message_id="1"),
        "publish into a queue": publish("", "headwater.run.due", user_id=USER, message_id="1"),
        "tell of events": publish("headwater.events", "default.run.x.finished", user_id=USER, message_id="1"),
        "read our queues": lambda opened: opened.basic_get("headwater.run.due"),
        "read the dead letters": lambda opened: opened.basic_get("headwater.dead"),
        "purge": lambda opened: opened.queue_purge("headwater.run.due"),
        "declare our names": lambda opened: opened.queue_declare("headwater.run.mine"),
        "hear of all tenants": lambda opened: subscribe(opened, "headwater.events", "#"),
        "hear of another tenant": lambda opened: subscribe(opened, "headwater.events", "acme.#"),
        "hear what others hand in": lambda opened: subscribe(opened, "headwater.in", "run.request"),
        "hear our services": lambda opened: subscribe(opened, "headwater", "run.due"),
    }
    outcomes = {what: await asyncio.to_thread(refused, act) for what, act in attempts.items()}

    assert outcomes == dict.fromkeys(attempts, True)


async def test_a_renewed_user_has_a_new_password_only(office: Office, rabbit: str) -> None:
    old = await the_user(office, rabbit)
    new = await the_user(office, rabbit)

    await asyncio.to_thread(ask, new, b'{"stream": "shop.orders"}', message_id="1", user_id=USER)

    assert len(await runs_of(office, 1)) == 1
    with pytest.raises(pika.exceptions.AMQPConnectionError):
        await asyncio.to_thread(ask, old, b"{}", message_id="2", user_id=USER)


async def test_a_plain_client_hands_in_an_event_and_it_goes_the_way_of_webhooks(
    office: Office, rabbit: str
) -> None:
    parameters = await the_user(office, rabbit)
    body = b'{"id": 7, "\xff": 1}'

    for _ in range(2):
        await asyncio.to_thread(
            ask,
            parameters,
            body,
            "event.hooks",
            message_id="event-1",
            user_id=USER,
            headers={"shop": "a", "n": 3},
        )

    async with asyncio.timeout(20):
        while (await office.bus.depth())["headwater.webhook.received"] < 2:
            await asyncio.sleep(0.05)
    counted = (await office.get("/endpoints/hooks/stats")).json
    assert counted["verified"] == 2
    assert (await office.get("/dead-letters")).json["items"] == []


async def test_the_broker_lets_a_removed_tenants_user_in_no_more(office: Office, rabbit: str) -> None:
    other = await the_user(office, rabbit)
    await office.post("/tenants", {"name": "acme"})
    made = await office.post("/tenants/acme/broker-user")
    acme = as_user(rabbit, made.json["user"], made.json["password"])

    def is_let_in(parameters: pika.ConnectionParameters) -> bool:
        try:
            with channel(parameters):
                return True
        except pika.exceptions.AMQPError:
            return False

    before = await asyncio.to_thread(is_let_in, acme)
    removed = await office.ask("DELETE", "/tenants/acme")

    assert (before, removed.status) == (True, 204)
    assert not await asyncio.to_thread(is_let_in, acme)
    assert await asyncio.to_thread(is_let_in, other)
