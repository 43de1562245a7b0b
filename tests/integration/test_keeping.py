"""Servers of our own that are killed come back with what they held, without a person."""

import asyncio
import os
import signal
from pathlib import Path

import asyncpg
from tests.support.buses import message

from headwater.app.embedded import EmbeddedPostgres
from headwater.app.keeping import kept
from headwater.app.postgres_process import descendants
from headwater.app.private_rabbitmq import PrivateRabbit
from headwater.bus.rabbitmq import RabbitBus
from headwater.model.errors import ConfigError

PATIENCE_S = 90.0


async def test_a_database_that_is_killed_is_started_again_with_its_data(
    killable_postgres: EmbeddedPostgres,
) -> None:
    async with kept(killable_postgres, "the database"):
        connection = await asyncpg.connect(killable_postgres.url)
        await connection.execute("CREATE TABLE public.kept AS SELECT 1 AS n")
        _kill(killable_postgres.pid)
        async with asyncio.timeout(PATIENCE_S):
            rows = None
            while rows is None:
                rows = await _rows(killable_postgres.url)
        connection.terminate()

    assert rows == [1]


async def _rows(url: str) -> list[int] | None:
    """What the table holds; None while nobody answers."""
    try:
        connection = await asyncpg.connect(url, timeout=5)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        await asyncio.sleep(0.05)
        return None
    try:
        return [row["n"] for row in await connection.fetch("SELECT n FROM public.kept")]
    finally:
        await connection.close()


async def test_a_broker_that_is_killed_is_started_again_with_its_messages(
    killable_rabbit: PrivateRabbit,
) -> None:
    bus = RabbitBus(killable_rabbit.amqp_url)
    await bus.open(PATIENCE_S)
    await bus.publish(message())
    async with kept(killable_rabbit, "the broker"):
        _kill(killable_rabbit.pid)
        await bus.close()
        again = RabbitBus(killable_rabbit.amqp_url)
        await again.open(PATIENCE_S)
        depths = await again.depth()
        await again.close()

    assert sum(depths.values()) == 1


def _kill(pid: int | None) -> None:
    """As a crash: the server and all its children at once."""
    assert pid is not None
    for each in (pid, *descendants(pid)):
        os.kill(each, signal.SIGKILL)


class Frail:
    """A server that has ended, and comes up at the second attempt."""

    log_file = Path("frail.log")
    pid: int | None = None

    def __init__(self) -> None:
        self.attempts = 0
        self.is_up = asyncio.Event()

    async def kill(self) -> None:
        self.pid = None

    async def stop(self) -> None:
        self.pid = None

    async def start(self) -> None:
        self.attempts += 1
        if self.attempts < 2:
            raise ConfigError("it does not come up")
        self.pid = 1
        self.is_up.set()


async def test_a_server_that_does_not_come_up_is_tried_again() -> None:
    server = Frail()

    async with kept(server, "the server"), asyncio.timeout(20):
        await server.is_up.wait()

    assert server.attempts == 2
