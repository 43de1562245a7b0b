"""What RabbitMQ alone can do to us: malformed messages, lost connections, silence, other settings, other
users.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence

import pika
import pika.exceptions
import pytest
from tests.support.buses import PATIENCE_S, Inbox, message
from tests.support.ledger import Ledger
from tests.support.proxy import Proxy, proxy_to
from yarl import URL

from headwater.bus.envelope import ATTEMPT_HEADER, QUEUE_HEADER, REASON_HEADER, USER_HEADER
from headwater.bus.port import MAX_BODY_BYTES, Message
from headwater.bus.rabbitmq import RabbitBus, apply_topology, check_topology
from headwater.bus.topology import load_topology
from headwater.model.errors import BusUnavailable, ConfigError, ContractError
from headwater.model.secret import Secret

IN, DEAD = "headwater.in", "headwater.dead"


@pytest.fixture
async def bus(rabbit: str) -> AsyncIterator[RabbitBus]:
    opened = RabbitBus(Secret.of(rabbit))
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def proxy(rabbit: str) -> AsyncIterator[Proxy]:
    address = URL(rabbit)
    async with proxy_to(address.host or "", address.port or 5672) as opened:
        yield opened


@pytest.fixture
async def far_bus(rabbit: str, proxy: Proxy) -> AsyncIterator[RabbitBus]:
    """A bus behind the proxy."""
    opened = RabbitBus(str(URL(rabbit).with_host("127.0.0.1").with_port(proxy.listening_port)))
    await opened.open()
    yield opened
    proxy.resume()
    await opened.close()


def send(url: str, key: str | bytes, body: bytes, exchange: str = IN, **properties) -> None:
    """Publish as a foreign program does."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    try:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish(exchange, key, body, pika.BasicProperties(**properties), mandatory=True)
    finally:
        connection.close()


async def test_a_plain_client_hands_in_a_message_and_subscribes_to_events(bus: RabbitBus, rabbit: str):
    inbox = Inbox()
    connection = pika.BlockingConnection(pika.URLParameters(rabbit))
    channel = connection.channel()
    mine = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(mine, "headwater.events", "acme.run.#")

    send(rabbit, "run.request", b'{"stream": "a.b"}', message_id="order-1", headers={"traceparent": "00-1"})
    async with bus.consume(IN, inbox):
        (got,) = await inbox.count(1)
    await bus.publish(message("acme.run.orders.finished", b"{}", id="e-1", exchange="headwater.events"))

    _, properties, body = channel.basic_get(mine, auto_ack=True)
    connection.close()
    assert (got.type, got.id, got.body, dict(got.headers)) == (
        "run.request",
        "order-1",
        b'{"stream": "a.b"}',
        {"traceparent": "00-1"},
    )
    assert (body, properties.message_id, properties.content_type) == (b"{}", "e-1", "application/json")
    assert (properties.type, properties.app_id, properties.delivery_mode) == (
        "acme.run.orders.finished",
        "headwater",
        2,
    )
    assert abs(properties.timestamp - time.time()) < 60


MALFORMED = {
    "no id": ({}, "message_id is missing"),
    "id is not text": ({"message_id": b"\xff\xfe"}, "properties cannot be read"),
    "type is not text": ({"message_id": "m", "type": b"\xff"}, "properties cannot be read"),
    "header name is not text": ({"message_id": "m", "headers": {b"\xff": "x"}}, "properties cannot be read"),
    "header is not text": ({"message_id": "m", "headers": {"note": b"\xff\xfe"}}, "'note' is not UTF-8"),
    "header with NUL": ({"message_id": "m", "headers": {"note": "a\0b"}}, "'note' holds a NUL"),
    "attempt is no count": ({"message_id": "m", "headers": {ATTEMPT_HEADER: "-1"}}, "is not a count"),
    "date out of range": ({"message_id": "m", "timestamp": 2**63 - 1}, "properties cannot be read"),
    "headers too large": ({"message_id": "m", "headers": {"x": "y" * 70_000}}, "more than 65536"),
}


@pytest.mark.parametrize("case", MALFORMED)
async def test_a_malformed_message_becomes_a_dead_letter_and_its_neighbours_go_on(
    bus: RabbitBus, rabbit: str, caplog: pytest.LogCaptureFixture, case: str
):
    properties, reason = MALFORMED[case]
    inbox, dead = Inbox(), Inbox()

    send(rabbit, "run.request", b"before", message_id="before")
    send(rabbit, "run.request", b"broken", **properties)
    send(rabbit, "run.request", b"after", message_id="after")
    with caplog.at_level(logging.WARNING):
        async with bus.consume(IN, inbox), bus.consume(DEAD, dead):
            (letter,) = await dead.count(1)
            await inbox.count(2)

    assert sorted(inbox.ids) == ["after", "before"]
    assert {one.redelivered for one in inbox.messages} == {0}  # the connection was not lost for it
    assert (letter.type, letter.body) == ("run.request", b"broken")
    assert reason in letter.headers[REASON_HEADER]
    assert letter.headers[QUEUE_HEADER] == IN
    assert not [record for record in caplog.records if "away" in record.message]


async def test_a_routing_key_that_is_not_text_becomes_a_dead_letter(bus: RabbitBus, rabbit: str):
    inbox, dead = Inbox(), Inbox()

    send(rabbit, b"event.\xff\xfe", b"broken", message_id="broken")
    send(rabbit, "event.orders", b"good", message_id="good")
    async with bus.consume(IN, inbox), bus.consume(DEAD, dead):
        (letter,) = await dead.count(1)
        await inbox.count(1)

    assert inbox.ids == ["good"]
    assert letter.id == "broken"
    assert "routing key is not UTF-8" in letter.headers[REASON_HEADER]


async def test_an_oversized_body_becomes_a_dead_letter_with_all_its_bytes(bus: RabbitBus, rabbit: str):
    body = bytes(range(256)) * (2 * MAX_BODY_BYTES // 256)
    inbox, dead = Inbox(), Inbox()

    send(rabbit, "event.orders", body, message_id="big")
    send(rabbit, "event.orders", b"small", message_id="small")
    async with bus.consume(IN, inbox), bus.consume(DEAD, dead):
        (letter,) = await dead.count(1)
        await inbox.count(1)

    assert inbox.ids == ["small"]
    assert letter.body == body
    assert str(len(body)) in letter.headers[REASON_HEADER]


async def test_numbers_and_dates_in_foreign_headers_become_text_and_tables_are_left_out(
    bus: RabbitBus, rabbit: str
):
    inbox = Inbox()
    headers = {"count": 3, "yes": True, "table": {"a": 1}, "list": [1], "text": "größer"}

    send(rabbit, "run.request", b"{}", message_id="m", headers=headers)
    async with bus.consume(IN, inbox):
        (got,) = await inbox.count(1)

    assert dict(got.headers) == {"count": "3", "yes": "true", "text": "größer"}


async def test_the_verified_user_survives_a_retry_and_cannot_be_claimed_by_a_header(
    bus: RabbitBus, rabbit: str
):
    me = URL(rabbit).user

    async def reject_later(messages: Sequence[Message]) -> None:
        if len(inbox.calls) <= 2:
            raise RuntimeError("again")

    inbox = Inbox(reject_later)
    send(rabbit, "run.request", b"{}", message_id="verified", user_id=me)
    send(rabbit, "run.request", b"{}", message_id="claimed", headers={USER_HEADER: "acme"})
    async with bus.consume(IN, inbox):
        got = await inbox.count(4)

    assert {(one.id, one.user_id) for one in got} == {("verified", me), ("claimed", None)}
    assert all(USER_HEADER not in one.headers for one in got)


async def test_another_user_of_the_broker_stays_known_through_retry_and_dead_letter(
    bus: RabbitBus, rabbit: str
):
    """Our own connection may not say another's name in the property: the broker would close the channel."""
    inbox, dead = Inbox(), Inbox()
    sent = message("run.request", user_id="acme", attempt=4)

    async def fail(messages: Sequence[Message]) -> None:
        raise RuntimeError("no")

    inbox.answer = fail
    await bus.publish(sent)
    async with bus.consume(IN, inbox), bus.consume(DEAD, dead):
        (letter,) = await dead.count(1)

    assert inbox.messages[0].user_id == "acme"
    assert letter.user_id == "acme"
    await bus.check()


async def test_the_brokers_own_limit_ends_in_a_dead_letter_that_says_so(bus: RabbitBus):
    """The last net: a message that is never answered, here because its handler is always cancelled from
    within.
    """

    async def never_answers(messages: Sequence[Message]) -> None:
        raise asyncio.CancelledError

    inbox, dead = Inbox(never_answers), Inbox()
    sent = message("run.close", headers={"tenant": "acme"})

    await bus.publish(sent)
    async with bus.consume("headwater.run.close", inbox), bus.consume(DEAD, dead):
        (letter,) = await dead.count(1)

    limit = load_topology().queues["headwater.run.close"].delivery_limit
    assert len(inbox.calls) == limit + 1
    assert [one.redelivered for one in inbox.messages] == list(range(limit + 1))
    assert (letter.id, letter.type, letter.body) == (sent.id, sent.type, sent.body)
    assert letter.headers["tenant"] == "acme"
    assert "delivery_limit" in letter.headers[REASON_HEADER]
    assert letter.headers[QUEUE_HEADER] == "headwater.run.close"


async def test_an_unroutable_message_among_many_is_the_only_one_refused(rabbit: str, bus: RabbitBus):
    connection = pika.BlockingConnection(pika.URLParameters(rabbit))
    connection.channel().queue_unbind("headwater.run.finished", "headwater", "run.finished")
    try:
        outcomes = await asyncio.gather(
            *(bus.publish(message("run.finished", id="same")) for _ in range(5)),
            *(bus.publish(message("run.close")) for _ in range(5)),
            return_exceptions=True,
        )
    finally:
        await apply_topology(rabbit)
        connection.close()

    assert [type(outcome) for outcome in outcomes] == [ContractError] * 5 + [type(None)] * 5


async def test_a_cut_connection_is_told_as_unavailable_and_mends_itself(far_bus: RabbitBus, proxy: Proxy):
    ledger = Ledger()
    async with far_bus.consume("headwater.page.due", ledger.receive):
        async with ledger.publishing(far_bus, "page.due", publishers=8):
            for number in range(1, 4):
                await ledger.until(lambda number=number: len(ledger.received) >= number * 50, PATIENCE_S)
                refused = ledger.refused_count
                proxy.cut()
                await ledger.until(lambda refused=refused: ledger.refused_count > refused, PATIENCE_S)
            await ledger.until(lambda: len(ledger.received) >= 250, PATIENCE_S)
        await ledger.until(lambda: not ledger.lost, PATIENCE_S)

    assert not ledger.lost
    assert not ledger.unexpected
    await far_bus.check()


async def test_a_silent_broker_is_refused_after_three_time_outs_and_found_again(
    far_bus: RabbitBus, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("headwater.bus.rabbitmq.publisher.PUBLISH_TIMEOUT_S", 0.5)
    loop = asyncio.get_running_loop()
    proxy.stall()

    slow = await asyncio.gather(*(far_bus.publish(message()) for _ in range(3)), return_exceptions=True)
    started = loop.time()
    with pytest.raises(BusUnavailable, match="did not confirm the last 3"):
        await far_bus.publish(message())
    refused_after_s = loop.time() - started
    with pytest.raises(BusUnavailable):
        await far_bus.check()
    proxy.resume()

    assert all(isinstance(outcome, BusUnavailable) for outcome in slow)
    assert "unknown" in str(slow[0])
    assert refused_after_s < 0.2
    await _until_published(far_bus)
    await far_bus.check()


async def _until_published(bus: RabbitBus) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await bus.publish(message())
            except BusUnavailable:
                await asyncio.sleep(0.05)


async def test_a_cancelled_publish_is_cancelled_and_the_next_ones_go_on(far_bus: RabbitBus, proxy: Proxy):
    proxy.stall()
    publishing = asyncio.create_task(far_bus.publish(message()))
    await asyncio.sleep(0)
    publishing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await publishing
    proxy.resume()

    await far_bus.publish(message())


async def test_a_broker_that_is_not_there_is_named_after_the_deadline_without_its_password(
    unused_tcp_port: int,
):
    bus = RabbitBus(f"amqp://someone:s3cret@127.0.0.1:{unused_tcp_port}/")

    with pytest.raises(BusUnavailable, match=rf"127\.0\.0\.1:{unused_tcp_port}") as refused:
        await bus.open(deadline_s=0.5)

    assert "s3cret" not in str(refused.value)


async def test_a_wrong_password_is_told_after_the_deadline_without_repeating_it(rabbit: str):
    bus = RabbitBus(str(URL(rabbit).with_password("wr0ng")))

    with pytest.raises(BusUnavailable, match=r"(?i)auth|refused") as refused:
        await bus.open(deadline_s=0.5)

    assert "wr0ng" not in str(refused.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1", "127.0.0.1:5672", "amqp://"])
def test_an_address_that_is_none_is_refused_with_an_example(url: str):
    with pytest.raises(ConfigError, match="amqp://user:password@host"):
        RabbitBus(url)


async def test_a_broker_without_the_topology_is_refused_with_the_mend_and_apply_mends_it(rabbit: str):
    assert await check_topology(rabbit) == []
    connection = pika.BlockingConnection(pika.URLParameters(rabbit))
    channel = connection.channel()
    channel.queue_delete("headwater.run.finished")
    channel.exchange_delete("headwater.events")
    connection.close()

    bus = RabbitBus(rabbit)
    try:
        with pytest.raises(
            ConfigError, match=r"exchange headwater\.events, queue headwater\.run\.finished.*topology apply"
        ):
            await bus.open(deadline_s=5)
        found = await check_topology(rabbit)
    finally:
        applied = await apply_topology(rabbit)

    assert found == ["exchange headwater.events is missing", "queue headwater.run.finished is missing"]
    assert "headwater.run.finished" in applied
    assert await check_topology(rabbit) == []


async def test_a_queue_that_vanishes_later_is_named_until_it_is_back(
    far_bus: RabbitBus, proxy: Proxy, rabbit: str
):
    connection = pika.BlockingConnection(pika.URLParameters(rabbit))
    connection.channel().queue_delete("headwater.run.finished")
    connection.close()
    try:
        proxy.cut()
        async with asyncio.timeout(PATIENCE_S):
            while "headwater.run.finished" not in await _complaint(far_bus):
                await asyncio.sleep(0.05)
    finally:
        await apply_topology(rabbit)

    async with asyncio.timeout(PATIENCE_S):
        while await _complaint(far_bus):
            await asyncio.sleep(0.05)
    await far_bus.publish(message("run.finished"))


async def _complaint(bus: RabbitBus) -> str:
    try:
        await bus.check()
    except BusUnavailable as error:
        return str(error)
    return ""


async def test_a_queue_with_other_settings_is_named_and_left_as_it_is(rabbit: str):
    connection = pika.BlockingConnection(pika.URLParameters(rabbit))
    channel = connection.channel()
    channel.queue_delete("headwater.run.finished")
    channel.queue_declare("headwater.run.finished", durable=True, arguments={"x-queue-type": "quorum"})

    try:
        found = await check_topology(rabbit)
        with pytest.raises(ConfigError, match=r"headwater\.run\.finished exists with other settings"):
            await apply_topology(rabbit)
    finally:
        channel.queue_delete("headwater.run.finished")
        connection.close()
        await apply_topology(rabbit)

    assert found == ["queue headwater.run.finished exists with other settings than the definitions say"]


async def test_a_handler_that_publishes_is_acknowledged_after_its_own_confirm(bus: RabbitBus):
    async def pass_on(messages: Sequence[Message]) -> None:
        for one in messages:
            await bus.publish(message("batch.ready", one.body, id=f"next-{one.id}"))

    pages, batches = Inbox(pass_on), Inbox()
    sent = [message("page.due", str(number).encode()) for number in range(50)]
    await asyncio.gather(*(bus.publish(one) for one in sent))

    async with bus.consume("headwater.page.due", pages), bus.consume("headwater.batch.ready", batches):
        await batches.count(50)

    assert sorted(batches.ids) == sorted(f"next-{one.id}" for one in sent)


async def test_a_virtual_host_that_is_not_there_is_named_as_the_cause(rabbit: str):
    elsewhere = Secret.of(str(URL(rabbit).with_path("/nowhere")))

    with pytest.raises(BusUnavailable, match="virtual host at the end of the address is not there"):
        await check_topology(elsewhere)
