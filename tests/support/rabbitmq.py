"""A real RabbitMQ for tests: one private node for the session, emptied between tests, and one to kill on
demand.

`HEADWATER_TEST_AMQP_URL` (and `HEADWATER_TEST_MANAGEMENT_URL`) name another broker to be used instead; the topology
is applied to it. Tests that kill a node always start one of their own.
"""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pika
import pytest
from tests.support.places import new_folder

from headwater.app.private_rabbitmq import PrivateRabbit, find_programs
from headwater.bus.rabbitmq import apply_topology
from headwater.bus.topology import load_topology
from headwater.model.errors import ConfigError

START_S = 240.0  # of a node, where others take the machine's cores: an Erlang machine starts with 6 s of work
SETTLING_S = 2.0  # a quorum queue younger than this may lose confirmed messages when its broker is killed


def require_binaries() -> None:
    try:
        find_programs()
    except ConfigError as error:
        pytest.skip(f"{error} (for the tests: HEADWATER_TEST_AMQP_URL)")


def private_node(folder: Path) -> PrivateRabbit:
    """A node that has more time to start than a person would give it."""
    return PrivateRabbit(folder, start_timeout_s=START_S)


async def end_at_once(node: PrivateRabbit) -> None:
    """An orderly stop takes seconds, and nobody needs the data."""
    await node.kill()
    await node.stop()


def purge(amqp_url: str) -> None:
    """Empty every queue of the topology."""
    connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
    try:
        channel = connection.channel()
        for name in load_topology().queues:
            channel.queue_purge(name)
    finally:
        connection.close()


@dataclass(frozen=True)
class Broker:
    """The session's broker; `management_url` is None where nobody told it."""

    amqp_url: str
    management_url: str | None


@pytest.fixture(scope="session")
def rabbit_node() -> Iterator[PrivateRabbit]:
    """The session's own node. Never kill it: ask for `killable_rabbit`."""
    require_binaries()
    folder = new_folder("rabbit")
    node = private_node(folder)
    try:
        asyncio.run(node.start())
        yield node
    finally:
        asyncio.run(end_at_once(node))
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def rabbit_url(request: pytest.FixtureRequest) -> str:
    """The AMQP address of the session's broker, with the topology on it."""
    given = os.environ.get("HEADWATER_TEST_AMQP_URL")
    if given:
        asyncio.run(apply_topology(given))
        return given
    node: PrivateRabbit = request.getfixturevalue("rabbit_node")
    return node.amqp_url


@pytest.fixture(scope="session")
def rabbit_broker(request: pytest.FixtureRequest, rabbit_url: str) -> Broker:
    """The session's broker with its management API."""
    if os.environ.get("HEADWATER_TEST_AMQP_URL"):
        return Broker(rabbit_url, os.environ.get("HEADWATER_TEST_MANAGEMENT_URL"))
    node: PrivateRabbit = request.getfixturevalue("rabbit_node")
    return Broker(rabbit_url, node.management_url)


@pytest.fixture
def rabbit(rabbit_url: str) -> str:
    """The AMQP address of the session's broker, its queues empty."""
    purge(rabbit_url)
    return rabbit_url


@pytest.fixture
async def killable_rabbit() -> AsyncIterator[PrivateRabbit]:
    """A node for this test alone, to `kill()` and `start()` again; its queues are old enough to be killed."""
    require_binaries()
    folder = new_folder("rabbit")
    node = private_node(folder)
    try:
        await node.start()
        await asyncio.sleep(SETTLING_S)
        yield node
    finally:
        await end_at_once(node)
        shutil.rmtree(folder, ignore_errors=True)
