"""The dispatcher over the memory bus, with a clock that only the test moves."""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Sequence

import pytest
from tests.support.buses import PATIENCE_S, Inbox, message
from tests.support.virtual_time import VirtualTime

from headwater.bus.chaos import Fate, SeededChaos
from headwater.bus.dispatcher import ALONE_FROM, QUIET, Delivery, Dispatcher, Options
from headwater.bus.envelope import DEAD_AT_HEADER, REASON_HEADER
from headwater.bus.memory import MemoryBus
from headwater.bus.port import MAX_ATTEMPTS, Message
from headwater.model.backoff import RETRY_DELAYS_S
from headwater.model.errors import BusUnavailable, ConfigError, Later, Reject, Unavailable

RUN_DUE, DEAD = "headwater.run.due", "headwater.dead"


@pytest.fixture
def clock() -> VirtualTime:
    return VirtualTime()


@pytest.fixture
def bus(clock: VirtualTime) -> MemoryBus:
    return MemoryBus(timer=clock, now=clock.now)


async def settled(bus: MemoryBus) -> None:
    async with asyncio.timeout(PATIENCE_S):
        await bus.idle()


async def test_failures_come_again_after_1_5_30_and_120_seconds_and_the_fifth_is_the_end(
    bus: MemoryBus, clock: VirtualTime
):
    seen: list[tuple[float, int]] = []

    async def fail(messages: Sequence[Message]) -> None:
        seen.append((clock.elapsed_s, messages[0].attempt))
        raise RuntimeError("again")

    await bus.publish(message())
    async with bus.consume(RUN_DUE, fail):
        await settled(bus)
        while clock.advance_to_next():
            await settled(bus)

    waits = [later - earlier for (earlier, _), (later, _) in zip(seen, seen[1:], strict=False)]
    assert waits == list(RETRY_DELAYS_S)
    assert [attempt for _, attempt in seen] == [0, 1, 2, 3, 4]
    assert len(seen) == MAX_ATTEMPTS
    assert (await bus.depth())[DEAD] == 1


@pytest.mark.parametrize(("asked_s", "waited_s"), [(0.5, 0.5), (30, 30), (121, 120), (86_400, 120), (-1, 0)])
async def test_later_is_clipped_to_the_longest_step(
    bus: MemoryBus, clock: VirtualTime, asked_s: float, waited_s: float
):
    seen: list[float] = []

    async def once(messages: Sequence[Message]) -> None:
        seen.append(clock.elapsed_s)
        if len(seen) == 1:
            raise Later(asked_s)

    await bus.publish(message())
    async with bus.consume(RUN_DUE, once):
        await settled(bus)
        clock.advance(waited_s)
        await settled(bus)

    assert seen == [0, waited_s]


async def test_a_pause_backs_off_from_a_fifth_of_a_second_to_ten_and_tells_its_begin_and_end_once(
    bus: MemoryBus, clock: VirtualTime, caplog: pytest.LogCaptureFixture
):
    seen: list[float] = []

    async def away(messages: Sequence[Message]) -> None:
        seen.append(clock.elapsed_s)
        if len(seen) <= 9:
            raise Unavailable("the database is away")

    await bus.publish(message())
    with caplog.at_level(logging.INFO):
        async with bus.consume(RUN_DUE, away):
            await settled(bus)
            while clock.advance_to_next():
                await settled(bus)

    waits = [round(later - earlier, 3) for earlier, later in zip(seen, seen[1:], strict=False)]
    assert waits == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10, 10]
    pause, resume = [record.getMessage() for record in caplog.records]
    assert pause.startswith(f"consumer of {RUN_DUE} pauses: the database is away")
    assert resume.startswith(f"consumer of {RUN_DUE} goes on")


async def test_only_one_call_probes_while_the_means_are_away(bus: MemoryBus, clock: VirtualTime):
    running = most = 0
    here = asyncio.Event()

    async def away(messages: Sequence[Message]) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        if not here.is_set():
            raise Unavailable("away")

    for _ in range(8):
        await bus.publish(message())
    async with bus.consume(RUN_DUE, away, concurrency=8):
        await settled(bus)
        most = 0
        for _ in range(5):
            clock.advance_to_next()
            await settled(bus)
        probes = most
        here.set()
        clock.advance_to_next()
        await settled(bus)

    assert probes == 1
    assert (await bus.depth())[RUN_DUE] == 0


async def test_leaving_during_a_pause_is_quick_and_gives_everything_back(bus: MemoryBus):
    async def away(messages: Sequence[Message]) -> None:
        raise Unavailable("away")

    for _ in range(5):
        await bus.publish(message())
    async with bus.consume(RUN_DUE, away):
        await settled(bus)

    inbox = Inbox()
    async with bus.consume(RUN_DUE, inbox):
        got = await inbox.count(5)
    assert {one.attempt for one in got} == {0}


async def test_a_message_handed_out_three_times_goes_alone(bus: MemoryBus):
    async def cancelled(messages: Sequence[Message]) -> None:
        if any(one.redelivered < ALONE_FROM for one in messages):
            raise asyncio.CancelledError

    inbox = Inbox(cancelled)
    for _ in range(4):
        await bus.publish(message())
    async with bus.consume(RUN_DUE, inbox, batch=4, linger_s=0.2, concurrency=1):
        await inbox.until(lambda box: sum(one.redelivered == ALONE_FROM for one in box.messages) == 4)

    assert all(len(call) == 1 for call in inbox.calls if call[0].redelivered >= ALONE_FROM)
    assert any(len(call) > 1 for call in inbox.calls)


async def test_a_batch_fills_while_another_is_handled(bus: MemoryBus):
    release = asyncio.Event()

    async def held(messages: Sequence[Message]) -> None:
        await release.wait()

    async def two_more() -> None:
        await bus.publish(message())
        await asyncio.sleep(
            1.5 * linger_s
        )  # more than a batch waits for others, less than it waits for its turn
        await bus.publish(message())
        release.set()

    inbox, linger_s = Inbox(held), 0.2
    await bus.publish(message())
    async with bus.consume(RUN_DUE, inbox, batch=4, linger_s=linger_s, concurrency=2):
        await inbox.until(lambda box: len(box.calls) == 1)
        await two_more()
        await inbox.until(lambda box: len(box.messages) == 3)

    assert [len(call) for call in inbox.calls] == [1, 2]


async def test_what_comes_alone_after_a_silence_does_not_wait_for_others(clock: VirtualTime):
    inbox, tags = Inbox(), iter(range(10))
    options = Options(batch=3, linger_s=10 * PATIENCE_S)
    dispatcher = Dispatcher(RUN_DUE, inbox, Settled(), options, timer=clock)

    def offer(count: int) -> None:
        for _ in range(count):
            dispatcher.offer(Delivery(message(), next(tags)))

    async with dispatcher.running():
        offer(1)
        await inbox.count(1)
        offer(3)
        await inbox.count(4)
        clock.advance(QUIET * options.linger_s + 0.01)
        offer(1)
        await inbox.count(5)
        clock.advance(QUIET * options.linger_s + 0.01)
        offer(3)
        await inbox.count(8)

    assert [len(call) for call in inbox.calls] == [1, 3, 1, 3]


@pytest.mark.parametrize(
    ("errors", "attempt", "dead"),
    [
        ([Later(0), Reject("bad")], 0, True),
        ([Later(0), RuntimeError("x")], 1, False),
        ([Reject("bad"), RuntimeError("x")], 1, False),
    ],
    ids=["reject beats later", "failure beats later", "failure beats reject"],
)
async def test_of_a_group_of_errors_the_strongest_counts(bus: MemoryBus, clock, errors, attempt, dead):
    async def group(messages: Sequence[Message]) -> None:
        if len(inbox.calls) == 1:
            raise ExceptionGroup("both", [errors[0], ExceptionGroup("inner", [errors[1]])])

    inbox, letters = Inbox(group), Inbox()
    await bus.publish(message())
    async with bus.consume(RUN_DUE, inbox), bus.consume(DEAD, letters):
        await settled(bus)
        clock.advance(1)
        await settled(bus)

    assert bool(letters.calls) is dead
    assert [one.attempt for one in inbox.messages[1:]] == ([] if dead else [attempt])


async def test_unavailable_within_a_group_spends_no_attempt(bus: MemoryBus, clock: VirtualTime):
    async def group(messages: Sequence[Message]) -> None:
        if len(inbox.calls) == 1:
            raise ExceptionGroup("both", [RuntimeError("x"), BusUnavailable("away")])

    inbox = Inbox(group)
    await bus.publish(message())
    async with bus.consume(RUN_DUE, inbox):
        await settled(bus)
        clock.advance(0.2)
        await settled(bus)

    assert [one.attempt for one in inbox.messages] == [0, 0]


async def test_a_dead_letter_that_always_fails_is_tried_for_ever_and_never_dropped(
    bus: MemoryBus, clock: VirtualTime
):
    async def reject(messages: Sequence[Message]) -> None:
        raise Reject("no")

    async def fail(messages: Sequence[Message]) -> None:
        raise Reject("cannot store it") if len(letters.calls) % 2 else RuntimeError("nor now")

    rejecting, letters = Inbox(reject), Inbox(fail)
    sent = message(attempt=2)
    await bus.publish(sent)
    async with bus.consume(RUN_DUE, rejecting), bus.consume(DEAD, letters):
        await settled(bus)
        for _ in range(9):
            clock.advance(120)
            await settled(bus)

    assert len(rejecting.calls) == 1
    assert len(letters.calls) == 10
    assert {(one.id, one.attempt, one.headers[REASON_HEADER]) for one in letters.messages} == {
        (sent.id, 2, "no")
    }
    assert letters.messages[0].headers[DEAD_AT_HEADER] == "2026-01-01T00:00:00+00:00"


async def test_dead_letters_that_are_full_stop_the_consumer_instead_of_losing_anything(
    bus: MemoryBus, clock: VirtualTime
):
    async def reject(messages: Sequence[Message]) -> None:
        raise Reject("no")

    bus._queues[DEAD].stored_bytes = 1024**3
    await bus.publish(message(body=b"x"))
    async with bus.consume(RUN_DUE, reject):
        await settled(bus)
        clock.advance(100)
        await settled(bus)
        blocked = await bus.depth()
        bus._queues[DEAD].stored_bytes = 0
        clock.advance(100)
        await settled(bus)

    assert (blocked[RUN_DUE], blocked[DEAD]) == (1, 0)
    assert ((await bus.depth())[RUN_DUE], (await bus.depth())[DEAD]) == (0, 1)


@pytest.mark.parametrize("reason", ["", "x" * 5000, "half \ud800", "nul \0"])
async def test_any_reason_makes_a_dead_letter_that_can_be_carried(bus: MemoryBus, reason: str):
    async def reject(messages: Sequence[Message]) -> None:
        raise Reject(reason)

    letters = Inbox()
    await bus.publish(message())
    async with bus.consume(RUN_DUE, reject), bus.consume(DEAD, letters):
        (letter,) = await letters.count(1)

    text = letter.headers[REASON_HEADER]
    assert 0 < len(text) <= 1000
    assert text.encode()
    assert "\0" not in text


@pytest.mark.parametrize(
    "wrong",
    [{"prefetch": 0}, {"batch": 0}, {"concurrency": 0}, {"linger_s": -1}, {"held_bytes": 0}],
    ids=str,
)
async def test_senseless_options_are_refused(bus: MemoryBus, wrong):
    with pytest.raises(ConfigError):
        bus.consume(RUN_DUE, Inbox(), **wrong)


class Settled:
    """A settler that keeps the books."""

    def __init__(self) -> None:
        self.ended: Counter[int] = Counter()
        self.released: Counter[int] = Counter()

    async def ack(self, deliveries) -> None:
        await asyncio.sleep(0)
        self.ended.update(delivery.tag for delivery in deliveries)

    async def again(self, pairs, delay_s) -> None:
        await self.ack([delivery for delivery, _ in pairs])

    async def dead(self, delivery, letter) -> None:
        await self.ack([delivery])

    async def release(self, deliveries) -> None:
        self.released.update(delivery.tag for delivery in deliveries)


@pytest.mark.parametrize("seed", range(30))
async def test_every_delivery_is_settled_once_or_released_once_whatever_happens(seed: int):
    drawn = random.Random(seed)
    settler = Settled()

    async def handle(messages: Sequence[Message]) -> None:
        await asyncio.sleep(drawn.choice([0, 0, 0.001]))
        if drawn.random() < 0.4:
            raise drawn.choice([Later(1), Reject("no"), RuntimeError("x"), asyncio.CancelledError()])

    options = Options(
        prefetch=50, batch=drawn.choice([1, 3, 10]), linger_s=0.001, grace_s=drawn.choice([0, 5])
    )
    dispatcher = Dispatcher(RUN_DUE, handle, settler, options)
    count = drawn.randrange(1, 50)
    async with dispatcher.running():
        for tag in range(count):
            dispatcher.offer(Delivery(message(), tag))
            if drawn.random() < 0.3:
                await asyncio.sleep(0)
        for _ in range(drawn.randrange(30)):
            await asyncio.sleep(0)

    both = settler.ended + settler.released
    assert both == Counter(range(count))
    assert dispatcher.held == ()


async def test_what_waits_from_a_lost_session_is_forgotten():
    settler, blocked = Settled(), asyncio.Event()
    seen: list[str] = []

    async def handle(messages: Sequence[Message]) -> None:
        seen.append(messages[0].id)
        await blocked.wait()

    dispatcher = Dispatcher(RUN_DUE, handle, settler, Options(prefetch=10, concurrency=1))
    old, new = object(), object()
    async with dispatcher.running():
        for tag, session in enumerate([old, old, old, new]):
            dispatcher.offer(Delivery(message(id=str(tag)), tag, session))
        while not seen:
            await asyncio.sleep(0)
        dispatcher.forget(old)
        room = dispatcher.room
        blocked.set()
        while len(settler.ended) < 2:
            await asyncio.sleep(0)

    assert room == 8
    assert seen == ["0", "3"]


@pytest.mark.parametrize("seed", range(40))
async def test_under_chaos_every_published_message_is_handled_and_nothing_waits_for_ever(seed: int):
    clock = VirtualTime()
    bus = MemoryBus(timer=clock, now=clock.now, chaos=SeededChaos(random.Random(seed)))
    drawn = random.Random(seed + 1)
    taken, handled = set(), Counter()

    async def handle(messages: Sequence[Message]) -> None:
        if drawn.random() < 0.2:
            raise drawn.choice([Later(drawn.uniform(0, 200)), Unavailable("away"), asyncio.CancelledError()])
        handled.update(one.id for one in messages)

    async with bus.consume(RUN_DUE, handle, batch=3, linger_s=0, concurrency=2):
        for _ in range(60):
            sent = message()
            try:
                await bus.publish(sent)
                taken.add(sent.id)
            except BusUnavailable as error:
                if "it was taken" in str(error):
                    taken.add(sent.id)
        await settled(bus)
        while clock.advance_to_next():
            await settled(bus)
        async with asyncio.timeout(PATIENCE_S):
            await bus.drain()

    assert set(handled) == taken
    assert not any((await bus.depth()).values())


def test_the_same_seed_brings_the_same_chaos():
    def draw(seed: int) -> list[object]:
        chaos = SeededChaos(random.Random(seed))
        one = message()
        return [
            (
                chaos.fate(one),
                chaos.copies(one),
                chaos.delay_s(one),
                chaos.position(9),
                chaos.keeps_acknowledgement(one),
            )
            for _ in range(50)
        ]

    assert draw(7) == draw(7)
    assert draw(7) != draw(8)
    assert {fate for fate, *_ in draw(7)} <= set(Fate)
