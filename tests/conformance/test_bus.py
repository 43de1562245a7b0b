"""The promises of the bus port, kept by every backend. What one cannot keep stands in tests/support/buses.py."""

import asyncio
from collections.abc import Sequence

import pytest
from tests.support.buses import PATIENCE_S, Backend, Inbox, message

from headwater.bus.envelope import ATTEMPT_HEADER, DEAD_AT_HEADER, QUEUE_HEADER, REASON_HEADER
from headwater.bus.port import MAX_ATTEMPTS, MAX_BODY_BYTES, Bus, Message
from headwater.model.errors import (
    BusFull,
    BusUnavailable,
    ConfigError,
    ContractError,
    Later,
    Reject,
    Unavailable,
)

RUN_DUE = "headwater.run.due"
BATCH_READY = "headwater.batch.ready"
DEAD = "headwater.dead"


async def test_a_published_message_reaches_its_consumer_unchanged(bus: Bus):
    body = bytes(range(256)) * 8
    sent = message("webhook.received", body, headers={"tenant": "acme", "x-note": "größer: €"})
    inbox = Inbox()

    await bus.publish(sent)
    async with bus.consume("headwater.webhook.received", inbox):
        (got,) = await inbox.count(1)

    assert (got.type, got.id, got.body, dict(got.headers)) == (sent.type, sent.id, body, dict(sent.headers))
    assert (got.attempt, got.redelivered, got.exchange) == (0, 0, "headwater")


async def test_an_empty_body_and_no_headers_arrive_as_such(bus: Bus):
    inbox = Inbox()

    await bus.publish(message(body=b""))
    async with bus.consume(RUN_DUE, inbox):
        (got,) = await inbox.count(1)

    assert (got.body, dict(got.headers)) == (b"", {})


async def test_a_body_of_the_largest_size_arrives_whole(bus: Bus):
    body = b"\x00\xce" * (MAX_BODY_BYTES // 2)
    inbox = Inbox()

    await bus.publish(message("batch.ready", body))
    async with bus.consume("headwater.batch.ready", inbox):
        (got,) = await inbox.count(1)

    assert got.body == body


async def test_a_body_over_the_limit_is_refused(bus: Bus):
    with pytest.raises(ContractError, match=str(MAX_BODY_BYTES)):
        await bus.publish(message(body=b"x" * (MAX_BODY_BYTES + 1)))

    assert not any((await bus.depth()).values())


@pytest.mark.parametrize(
    "wrong",
    [
        {"headers": {"note": "nul \0"}},
        {"headers": {"note": "half \ud800"}},
        {"headers": {"": "no name"}},
        {"headers": {ATTEMPT_HEADER: "3"}},
        {"headers": {"n": "x" * 70_000}},
        {"id": ""},
        {"id": "x" * 256},
        {"attempt": -1},
    ],
    ids=str,
)
async def test_a_malformed_message_is_refused_and_its_neighbours_go_on(bus: Bus, wrong):
    inbox = Inbox()
    good = [message() for _ in range(5)]

    refused, *taken = await asyncio.gather(
        bus.publish(message(**wrong)), *(bus.publish(one) for one in good), return_exceptions=True
    )

    assert isinstance(refused, ContractError)
    assert taken == [None] * 5
    async with bus.consume(RUN_DUE, inbox):
        await inbox.count(5)
    assert sorted(inbox.ids) == sorted(one.id for one in good)


async def test_a_type_that_no_queue_takes_is_a_contract_error(bus: Bus):
    with pytest.raises(ContractError, match=r"no\.such\.type"):
        await bus.publish(message("no.such.type"))


async def test_an_unknown_exchange_is_a_contract_error_and_hurts_nobody(bus: Bus):
    refused, taken = await asyncio.gather(
        bus.publish(message(exchange="headwater.nowhere")), bus.publish(message()), return_exceptions=True
    )

    assert isinstance(refused, ContractError)
    assert taken is None


async def test_an_unknown_queue_cannot_be_consumed(bus: Bus):
    with pytest.raises(ConfigError, match="headwater.nothing"):
        bus.consume("headwater.nothing", Inbox())


async def test_an_event_without_a_taker_is_fine(bus: Bus):
    await bus.publish(message("acme.run.orders.finished", exchange="headwater.events"))

    assert not any((await bus.depth()).values())


@pytest.mark.parametrize("type_", ["run.request", "event.orders"])
async def test_the_thin_door_leads_to_its_queue_and_a_delayed_message_comes_back_there(bus: Bus, type_):
    async def once(messages: Sequence[Message]) -> None:
        if len(inbox.calls) == 1:
            raise Later(0.1)

    inbox = Inbox(once)

    await bus.publish(message(type_, exchange="headwater.in"))
    async with bus.consume("headwater.in", inbox):
        first, second = await inbox.count(2)

    assert (first.id, first.type, second.type) == (second.id, type_, type_)


async def test_many_publishes_in_flight_all_arrive(bus: Bus):
    sent = [message("page.due", str(number).encode()) for number in range(300)]
    inbox = Inbox()

    await asyncio.gather(*(bus.publish(one) for one in sent))
    async with bus.consume("headwater.page.due", inbox, prefetch=200, batch=50):
        await inbox.count(300)

    assert sorted(inbox.ids) == sorted(one.id for one in sent)


async def test_one_id_published_many_times_at_once_is_confirmed_each_time(bus: Bus):
    again = message()
    inbox = Inbox()

    await asyncio.gather(*(bus.publish(again) for _ in range(5)))
    async with bus.consume(RUN_DUE, inbox):
        await inbox.count(5)

    assert set(inbox.ids) == {again.id}


async def test_later_brings_the_message_again_and_costs_no_attempt(bus: Bus):
    async def twice(messages: Sequence[Message]) -> None:
        if len(inbox.calls) <= 2:
            raise Later(0.3)

    inbox = Inbox(twice)

    await bus.publish(message(headers={"tenant": "acme"}))
    async with bus.consume(RUN_DUE, inbox):
        got = await inbox.count(3)

    assert [one.attempt for one in got] == [0, 0, 0]
    assert [dict(one.headers) for one in got] == [{"tenant": "acme"}] * 3


async def test_later_waits_at_least_as_long_as_asked(bus: Bus):
    loop = asyncio.get_running_loop()
    seen: list[float] = []

    async def once(messages: Sequence[Message]) -> None:
        seen.append(loop.time())
        if len(seen) == 1:
            raise Later(0.9)

    inbox = Inbox(once)

    await bus.publish(message())
    async with bus.consume(RUN_DUE, inbox):
        await inbox.count(2)

    assert seen[1] - seen[0] >= 0.85


async def test_a_failure_spends_an_attempt_and_the_message_comes_again(bus: Bus):
    async def once(messages: Sequence[Message]) -> None:
        if len(inbox.calls) == 1:
            raise RuntimeError("first time")

    inbox = Inbox(once)

    await bus.publish(message())
    async with bus.consume(RUN_DUE, inbox):
        got = await inbox.count(2)

    assert [one.attempt for one in got] == [0, 1]


async def test_the_last_failure_makes_a_dead_letter_that_keeps_everything_and_says_why(bus: Bus):
    async def fail(messages: Sequence[Message]) -> None:
        raise ValueError("cannot be read")

    sent = message("run.close", b'{"a": 1}', headers={"tenant": "acme"}, attempt=MAX_ATTEMPTS - 1)
    failing, dead = Inbox(fail), Inbox()

    await bus.publish(sent)
    async with bus.consume("headwater.run.close", failing), bus.consume(DEAD, dead):
        (letter,) = await dead.count(1)

    assert len(failing.calls) == 1
    assert (letter.type, letter.id, letter.body, letter.attempt) == (
        sent.type,
        sent.id,
        sent.body,
        MAX_ATTEMPTS,
    )
    assert letter.headers["tenant"] == "acme"
    assert letter.headers[REASON_HEADER] == "ValueError: cannot be read"
    assert letter.headers[QUEUE_HEADER] == "headwater.run.close"
    assert letter.headers[DEAD_AT_HEADER].endswith("+00:00")


async def test_a_rejected_message_reaches_the_dead_letters_with_its_reason(bus: Bus):
    async def reject(messages: Sequence[Message]) -> None:
        raise Reject("no such stream: Größe")

    rejecting, dead = Inbox(reject), Inbox()

    await bus.publish(message())
    async with bus.consume(RUN_DUE, rejecting), bus.consume(DEAD, dead):
        (letter,) = await dead.count(1)

    assert len(rejecting.calls) == 1
    assert letter.attempt == 0
    assert letter.headers[REASON_HEADER] == "no such stream: Größe"


async def test_a_dead_letter_that_cannot_be_handled_now_stays_a_dead_letter(bus: Bus):
    async def reject(messages: Sequence[Message]) -> None:
        raise Reject("bad")

    async def not_now(messages: Sequence[Message]) -> None:
        if len(dead.calls) == 1:
            raise Later(0.1)

    rejecting, dead = Inbox(reject), Inbox(not_now)

    await bus.publish(message())
    async with bus.consume(RUN_DUE, rejecting):
        await rejecting.count(1)
        async with bus.consume(DEAD, dead):
            first, second = await dead.count(2)

    assert len(rejecting.calls) == 1
    assert (first.type, first.id, dict(first.headers)) == (second.type, second.id, dict(second.headers))


async def test_unavailable_spends_no_attempt_and_the_consumer_probes_until_it_goes_on(bus: Bus):
    async def away(messages: Sequence[Message]) -> None:
        if len(inbox.calls) <= 3:
            raise Unavailable("the database is away")

    inbox = Inbox(away)
    sent = [message() for _ in range(4)]
    for one in sent:
        await bus.publish(one)

    async with bus.consume(RUN_DUE, inbox, concurrency=1):
        await inbox.count(3 + 4)

    probed = inbox.messages[:4]
    assert len({one.id for one in probed}) == 1  # held in hand, not sent round
    assert {(one.attempt, one.redelivered) for one in inbox.messages} == {(0, 0)}
    assert sorted(inbox.ids[3:]) == sorted(one.id for one in sent)


async def test_a_batch_is_filled_up_to_its_size(bus: Bus):
    inbox = Inbox()
    sent = [message() for _ in range(20)]
    await asyncio.gather(*(bus.publish(one) for one in sent))

    async with bus.consume(RUN_DUE, inbox, batch=10, linger_s=0.5, concurrency=1):
        await inbox.count(20)

    assert max(len(call) for call in inbox.calls) <= 10
    assert len(inbox.calls) <= 4


async def test_a_batch_does_not_wait_longer_than_its_linger(bus: Bus):
    inbox = Inbox()
    await bus.publish(message())

    async with bus.consume(RUN_DUE, inbox, batch=10, linger_s=0.05):
        (got,) = await inbox.count(1)

    assert inbox.calls == [(got,)]


@pytest.mark.parametrize("error", [Reject("poison"), ValueError("poison")], ids=["reject", "failure"])
async def test_a_poisoned_batch_is_halved_until_the_poison_is_found_and_its_neighbours_go_through_once(
    bus: Bus, error: Exception
):
    sent = [message("page.due", attempt=MAX_ATTEMPTS - 1) for _ in range(16)]
    poison = sent[5].id
    through: list[str] = []

    async def handle(messages: Sequence[Message]) -> None:
        if any(one.id == poison for one in messages):
            raise error
        through.extend(one.id for one in messages)

    inbox, dead = Inbox(handle), Inbox()
    await asyncio.gather(*(bus.publish(one) for one in sent))

    async with (
        bus.consume("headwater.page.due", inbox, batch=16, linger_s=0.5, concurrency=1),
        bus.consume(DEAD, dead),
    ):
        (letter,) = await dead.count(1)
        await inbox.until(lambda _: len(through) == 15)

    assert letter.id == poison
    assert "poison" in letter.headers[REASON_HEADER]
    assert sorted(through) == sorted(one.id for one in sent if one.id != poison)


async def test_later_delays_the_whole_batch(bus: Bus):
    async def once(messages: Sequence[Message]) -> None:
        if len(inbox.calls) == 1:
            raise Later(0.1)

    inbox = Inbox(once)
    sent = [message() for _ in range(4)]
    await asyncio.gather(*(bus.publish(one) for one in sent))

    async with bus.consume(RUN_DUE, inbox, batch=4, linger_s=0.5, concurrency=1):
        got = await inbox.count(8)

    assert {one.attempt for one in got} == {0}
    assert sorted(one.id for one in got[4:]) == sorted(one.id for one in sent)


async def test_no_more_calls_run_at_once_than_allowed_and_no_more_messages_are_in_hand(bus: Bus):
    running = most = 0
    gate = asyncio.Event()

    async def count(messages: Sequence[Message]) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if most == 3:
            gate.set()
        await gate.wait()
        running -= 1

    inbox = Inbox(count)
    await asyncio.gather(*(bus.publish(message()) for _ in range(12)))

    async with bus.consume(RUN_DUE, inbox, prefetch=5, concurrency=3):
        await inbox.count(12)

    assert most == 3


async def test_prefetch_leaves_the_rest_to_others(bus: Bus):
    hold = asyncio.Event()

    async def wait(messages: Sequence[Message]) -> None:
        await hold.wait()

    greedy, other = Inbox(wait), Inbox()
    await asyncio.gather(*(bus.publish(message()) for _ in range(10)))

    async with bus.consume(RUN_DUE, greedy, prefetch=4):
        await greedy.count(4)
        async with bus.consume(RUN_DUE, other):
            await other.count(6)
            hold.set()

    assert len(greedy.messages) == 4
    assert not set(greedy.ids) & set(other.ids)


async def test_what_is_in_hand_has_a_bound_in_bytes_and_the_rest_goes_to_others(bus: Bus):
    """First light bodies, so that a backend that runs ahead by count runs ahead; then heavy ones."""
    hold = asyncio.Event()
    count, light, heavy = 40, b"x" * 100, b"x" * (MAX_BODY_BYTES // 2)

    async def wait(messages: Sequence[Message]) -> None:
        if messages[0].body != light:
            await hold.wait()

    greedy, other, both = Inbox(wait), Inbox(), Inbox()
    greedy.also = other.also = both
    bound = 4 * MAX_BODY_BYTES
    async with bus.consume(
        BATCH_READY, greedy, prefetch=4 * count, batch=8, linger_s=0.01, concurrency=count, held_bytes=bound
    ):
        await asyncio.gather(*(bus.publish(message("batch.ready", light)) for _ in range(4 * count)))
        await greedy.count(4 * count)
        for _ in range(count):
            await bus.publish(message("batch.ready", heavy))
        async with bus.consume(BATCH_READY, other):
            await other.count(count - 16)  # all but those within the bound, and as many again at the turn
            hold.set()
            await both.count(5 * count)

    assert len(set(both.ids)) == 5 * count


async def test_a_batch_has_a_bound_in_bytes(bus: Bus):
    heavy, inbox = b"x" * (MAX_BODY_BYTES // 2), Inbox()
    for _ in range(8):
        await bus.publish(message("batch.ready", heavy))

    async with bus.consume(
        BATCH_READY, inbox, prefetch=8, batch=8, linger_s=0.2, held_bytes=8 * MAX_BODY_BYTES
    ):
        await inbox.count(8)

    assert max(len(call) for call in inbox.calls) == 4


async def test_two_clients_share_a_queue_and_each_message_goes_to_one(lasting_backend: Backend):
    one, two = await lasting_backend.client(), await lasting_backend.client()
    busy = asyncio.Event()

    async def until_both(messages: Sequence[Message]) -> None:
        if first.calls and second.calls:
            busy.set()
        await busy.wait()

    first, second, all_messages = Inbox(until_both), Inbox(until_both), Inbox()
    first.also = second.also = all_messages
    async with one.consume(RUN_DUE, first, prefetch=5), two.consume(RUN_DUE, second, prefetch=5):
        sent = [message() for _ in range(40)]
        await asyncio.gather(*(one.publish(each) for each in sent))
        await all_messages.count(40)

    assert sorted(first.ids + second.ids) == sorted(each.id for each in sent)
    assert first.ids
    assert second.ids


async def test_a_consumer_that_leaves_finishes_what_runs_and_gives_back_the_rest(bus: Bus):
    begun, finish = asyncio.Event(), asyncio.Event()
    finished: list[str] = []

    async def slow(messages: Sequence[Message]) -> None:
        begun.set()
        await finish.wait()
        finished.extend(one.id for one in messages)

    leaving, other = Inbox(slow), Inbox()
    sent = [message() for _ in range(6)]
    await asyncio.gather(*(bus.publish(one) for one in sent))

    async with bus.consume(RUN_DUE, leaving, prefetch=6, concurrency=1):
        async with asyncio.timeout(PATIENCE_S):
            await begun.wait()
        asyncio.get_running_loop().call_later(0.2, finish.set)
    async with bus.consume(RUN_DUE, other):
        await other.count(5)

    assert len(finished) == 1
    assert sorted(finished + other.ids) == sorted(one.id for one in sent)


async def test_a_cancelled_consumer_gives_back_what_it_was_handling(bus: Bus):
    begun = asyncio.Event()

    async def stuck(messages: Sequence[Message]) -> None:
        begun.set()
        await asyncio.Event().wait()

    async def consume() -> None:
        async with bus.consume(RUN_DUE, Inbox(stuck)):
            await asyncio.Event().wait()

    sent = message()
    await bus.publish(sent)
    consumer = asyncio.create_task(consume())
    async with asyncio.timeout(PATIENCE_S):
        await begun.wait()
    consumer.cancel()  # the first signal asks: what runs gets its time
    await asyncio.sleep(0)
    consumer.cancel()  # the second one does not
    with pytest.raises(asyncio.CancelledError):
        await consumer

    inbox = Inbox()
    async with bus.consume(RUN_DUE, inbox):
        (got,) = await inbox.count(1)

    assert (got.id, got.attempt, got.body) == (sent.id, 0, sent.body)


async def test_a_handler_cancelled_from_within_gives_its_message_back(bus: Bus):
    async def cancelled_once(messages: Sequence[Message]) -> None:
        if len(inbox.calls) == 1:
            raise asyncio.CancelledError

    inbox = Inbox(cancelled_once)

    await bus.publish(message())
    async with bus.consume(RUN_DUE, inbox):
        first, second = await inbox.count(2)

    assert first.id == second.id
    assert (second.attempt, second.redelivered) == (0, 1)


async def test_a_full_queue_refuses_and_takes_again_when_there_is_room(bus: Bus):
    body = b"x" * (1024 * 1024)
    taken = 0

    with pytest.raises(BusFull) as refused:
        for _ in range(40):  # the limit of this queue is 16 MiB; a broker may be a little late to refuse
            await bus.publish(message("run.close", body))
            taken += 1
    inbox = Inbox()
    async with bus.consume("headwater.run.close", inbox):
        await inbox.count(taken)

    assert refused.value.delay_s > 0
    assert 10 <= taken < 40
    await _until_taken(bus, message("run.close", body))


async def _until_taken(bus: Bus, sent: Message) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await bus.publish(sent)
            except BusFull as full:
                await asyncio.sleep(min(full.delay_s, 0.2))


async def test_a_full_queue_does_not_hold_up_the_others(bus: Bus):
    body = b"x" * (1024 * 1024)
    with pytest.raises(BusFull):
        for _ in range(40):
            await bus.publish(message("run.close", body))

    await bus.publish(message("webhook.received", body))

    inbox = Inbox()
    async with bus.consume("headwater.webhook.received", inbox):
        await inbox.count(1)


async def test_what_was_published_survives_its_client(lasting_backend: Backend):
    publisher = await lasting_backend.client()
    sent = [message("webhook.received") for _ in range(10)]
    await asyncio.gather(*(publisher.publish(one) for one in sent))
    await publisher.close()

    later = await lasting_backend.client()
    inbox = Inbox()
    async with later.consume("headwater.webhook.received", inbox):
        await inbox.count(10)

    assert sorted(inbox.ids) == sorted(one.id for one in sent)


async def test_an_acknowledged_message_does_not_come_again(lasting_backend: Backend):
    client = await lasting_backend.client()
    inbox = Inbox()
    await asyncio.gather(*(client.publish(message()) for _ in range(10)))
    async with client.consume(RUN_DUE, inbox, batch=4):
        await inbox.count(10)
    await client.close()
    client = await lasting_backend.client()

    late, marker = Inbox(), message()
    await client.publish(marker)
    async with client.consume(RUN_DUE, late):
        await late.count(1)

    assert late.ids == [marker.id]


async def test_depth_counts_what_waits(bus: Bus):
    await asyncio.gather(*(bus.publish(message("run.finished")) for _ in range(3)))

    depth = await bus.depth()

    assert depth["headwater.run.finished"] == 3
    assert depth[RUN_DUE] == 0


async def test_check_answers_while_the_bus_works_and_refuses_after_it_was_closed(backend: Backend):
    client = await backend.client()
    await client.check()

    await client.close()

    if backend.name != "postgres":  # its pool is the caller's, and still open
        with pytest.raises(BusUnavailable):
            await client.check()
    with pytest.raises(BusUnavailable):
        await client.publish(message())
