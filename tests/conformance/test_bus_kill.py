"""kill -9 of the broker or the database under load: nothing that was confirmed is lost."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from tests.support.buses import open_pool
from tests.support.ledger import Ledger

from headwater.app.embedded import EmbeddedPostgres
from headwater.app.private_rabbitmq import PrivateRabbit
from headwater.bus.port import Bus
from headwater.bus.postgres import PostgresBus
from headwater.bus.rabbitmq import RabbitBus

PUBLISHERS = 16
PATIENCE_S = 60.0  # a broker restart under load on a slow machine
BEFORE = AFTER = 500
TYPE, QUEUE = "webhook.received", "headwater.webhook.received"


async def _load_and_crash(
    publishing: Bus, consuming: Bus, kill: Callable[[], Awaitable[None]], start: Callable[[], Awaitable[None]]
) -> Ledger:
    """Publish and consume, crash and restart in the midst of it, go on, and wait for what was confirmed."""
    ledger = Ledger()
    async with (
        consuming.consume(QUEUE, ledger.receive, prefetch=100, batch=20, linger_s=0.01),
        consuming.consume(QUEUE, ledger.receive, prefetch=10),
    ):
        async with ledger.publishing(publishing, TYPE, publishers=PUBLISHERS):
            await ledger.until(lambda: len(ledger.received) >= BEFORE, PATIENCE_S)

            await kill()
            await ledger.until(lambda: ledger.refused_count >= PUBLISHERS, PATIENCE_S)
            before = len(ledger.confirmed)
            await start()

            await ledger.until(lambda: len(ledger.confirmed) >= before + AFTER, PATIENCE_S)
        await ledger.until(lambda: not ledger.lost, PATIENCE_S)
    print(ledger)
    return ledger


def _assert_sound(ledger: Ledger) -> None:
    assert not ledger.lost
    assert not ledger.unexpected
    assert ledger.refused_count >= PUBLISHERS  # the crash was felt
    assert len(ledger.duplicated) < len(ledger.received) / 2


async def test_a_killed_rabbitmq_loses_nothing_that_it_confirmed(killable_rabbit: PrivateRabbit):
    publishing, consuming = RabbitBus(killable_rabbit.amqp_url), RabbitBus(killable_rabbit.amqp_url)
    async with AsyncExitStack() as stack:
        for bus in (publishing, consuming):
            stack.push_async_callback(bus.close)
            await bus.open()

        ledger = await _load_and_crash(publishing, consuming, killable_rabbit.kill, killable_rabbit.start)
        await publishing.check()

    _assert_sound(ledger)


async def test_a_killed_postgresql_loses_nothing_that_it_committed(killable_postgres: EmbeddedPostgres):
    async with AsyncExitStack() as stack:
        buses = []
        for _ in range(2):
            pool = await open_pool(killable_postgres.url)
            stack.callback(pool.terminate)
            bus = PostgresBus(pool, lease_s=3)
            stack.push_async_callback(bus.close)
            await bus.open()
            buses.append(bus)

        ledger = await _load_and_crash(buses[0], buses[1], killable_postgres.kill, killable_postgres.start)
        await buses[0].check()

    _assert_sound(ledger)
