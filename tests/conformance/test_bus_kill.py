"""kill -9 of the broker or the database under load: nothing that was confirmed is lost."""

import os
from contextlib import AsyncExitStack
from typing import Protocol

import pytest
from tests.support.buses import open_pool
from tests.support.ledger import Ledger
from tests.support.ledgers import keep

from headwater.app.embedded import EmbeddedPostgres
from headwater.app.private_rabbitmq import PrivateRabbit
from headwater.bus.port import Bus
from headwater.bus.postgres import PostgresBus
from headwater.bus.rabbitmq import RabbitBus

PUBLISHERS = 16
PATIENCE_S = 60.0  # a broker restart under load on a slow machine
STRIDE = 500  # messages that pass before a kill and after a restart
TYPE, QUEUE = "webhook.received", "headwater.webhook.received"
MANY = int(os.environ.get("HEADWATER_CHAOS_KILLS", "20"))

once_or_often = pytest.mark.parametrize("kills", [1, pytest.param(MANY, marks=pytest.mark.long)])


class Victim(Protocol):
    """What is killed, and started again on the same data."""

    async def kill(self) -> None: ...

    async def start(self) -> None: ...


async def load_and_kill(publishing: Bus, consuming: Bus, victim: Victim, kills: int) -> Ledger:
    """Publish and consume; kill and restart in the midst of it; wait for everything that was confirmed."""
    ledger = Ledger()
    async with (
        consuming.consume(QUEUE, ledger.receive, prefetch=100, batch=20, linger_s=0.01),
        consuming.consume(QUEUE, ledger.receive, prefetch=10),
    ):
        async with ledger.publishing(publishing, TYPE, publishers=PUBLISHERS):
            for _ in range(kills):
                await _pass(ledger)
                await victim.kill()
                refused = ledger.refused_count
                await ledger.until(lambda refused=refused: ledger.refused_count > refused, PATIENCE_S)
                await victim.start()
            await _pass(ledger)
        await ledger.until(lambda: not ledger.lost, PATIENCE_S)
    return ledger


async def _pass(ledger: Ledger) -> None:
    received, confirmed = len(ledger.received), len(ledger.confirmed)
    await ledger.until(lambda: len(ledger.received) >= received + STRIDE, PATIENCE_S)
    await ledger.until(lambda: len(ledger.confirmed) >= confirmed + STRIDE, PATIENCE_S)


def assert_sound(name: str, ledger: Ledger, kills: int) -> None:
    print(ledger)
    keep(f"bus-{name}-{kills}", {"kills": kills, **ledger.summary()})
    assert not ledger.lost
    assert not ledger.unexpected
    assert ledger.refused_count >= kills  # each crash was felt
    assert len(ledger.duplicated) < len(ledger.received) / 2


@once_or_often
async def test_a_killed_rabbitmq_loses_nothing_that_it_confirmed(killable_rabbit: PrivateRabbit, kills: int):
    publishing, consuming = RabbitBus(killable_rabbit.amqp_url), RabbitBus(killable_rabbit.amqp_url)
    async with AsyncExitStack() as stack:
        for bus in (publishing, consuming):
            stack.push_async_callback(bus.close)
            await bus.open()

        ledger = await load_and_kill(publishing, consuming, killable_rabbit, kills)
        await publishing.check()

    assert_sound("rabbitmq", ledger, kills)


@once_or_often
async def test_a_killed_postgresql_loses_nothing_that_it_committed(
    killable_postgres: EmbeddedPostgres, kills: int
):
    async with AsyncExitStack() as stack:
        buses = []
        for _ in range(2):
            pool = await open_pool(killable_postgres.url)
            stack.callback(pool.terminate)
            bus = PostgresBus(pool, lease_s=3)
            stack.push_async_callback(bus.close)
            await bus.open()
            buses.append(bus)

        ledger = await load_and_kill(buses[0], buses[1], killable_postgres, kills)
        await buses[0].check()

    assert_sound("postgres", ledger, kills)
