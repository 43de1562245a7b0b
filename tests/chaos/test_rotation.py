"""The long form of rotation: one secret after another under steady webhooks, and not one 401."""

import asyncio
import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

import aiohttp
import pytest
from tests.support.fleet import Fleet, running_fleet
from tests.support.ledgers import keep
from tests.support.postgres import SessionServer, new_database
from tests.support.rabbitmq import Broker, purge
from tests.support.senders import Books, Sender, standard_secret, until_stored

pytestmark = pytest.mark.long

ROTATIONS = 10
BETWEEN = 60  # webhooks accepted after each step: several by each worker
WORKERS = 4
PATIENCE_S = 60.0
ENDPOINT = "rotated"


@dataclass
class Rotating:
    """A provider whose secret is changed while it sends."""

    url: str
    secret: str

    async def send_until(self, books: Books, numbers: "itertools.count[int]", stop: asyncio.Event) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
            while not stop.is_set():
                number = next(numbers)
                sender = Sender(self.url, self.secret)
                await sender.send(session, books, f"m-{number}", json.dumps({"id": number}).encode())


def manifest(*secrets: str) -> str:
    endpoint = {"name": ENDPOINT, "scheme": "standard_webhooks", "secrets": secrets}
    return json.dumps({"version": 1, "endpoints": [endpoint]})


async def accepted(books: Books, more: int) -> None:
    """Returns when so many more were accepted."""
    wanted, deadline = len(books.acknowledged) + more, time.monotonic() + PATIENCE_S
    while len(books.acknowledged) < wanted:
        assert time.monotonic() < deadline, books.answers
        await asyncio.sleep(0.01)


@pytest.fixture
def fleet(
    tmp_path_factory: pytest.TempPathFactory,
    postgres_server: SessionServer,
    migrated_template: str,
    rabbit_broker: Broker,
) -> Iterator[Fleet]:
    purge(rabbit_broker.amqp_url)
    folder, services = tmp_path_factory.mktemp("rotation"), ("receiver", "timer+persister")
    with (
        new_database(postgres_server, migrated_template) as url,
        running_fleet(folder, url, rabbit_broker.amqp_url, services=services) as fleet,
    ):
        yield fleet


async def test_secret_after_secret_is_rotated_under_load_without_one_401(fleet: Fleet):
    books, old, rotations = Books(), standard_secret(), 0
    await asyncio.to_thread(fleet.apply, manifest(old))
    first = old
    provider = Rotating(f"{fleet.address('receiver')}/in/default/{ENDPOINT}", old)
    stop, numbers = asyncio.Event(), itertools.count()
    async with asyncio.TaskGroup() as group:
        for _ in range(WORKERS):
            group.create_task(provider.send_until(books, numbers, stop))
        try:
            await accepted(books, BETWEEN)
            for _ in range(ROTATIONS):
                new = standard_secret()
                await asyncio.to_thread(fleet.apply, manifest(new, old))
                provider.secret = new  # at once, as soon as the operator has applied it
                await accepted(books, BETWEEN)
                await asyncio.to_thread(fleet.apply, manifest(new))
                await accepted(books, BETWEEN)
                old, rotations = new, rotations + 1
        finally:
            stop.set()
    async with aiohttp.ClientSession() as session:
        retired = await Sender(provider.url, first).send(session, Books(), "retired", b"{}")
    await until_stored(books, fleet.database_url, ENDPOINT, "m", PATIENCE_S)
    answers = {str(status): count for status, count in sorted(books.answers.items())}
    ledger = {"rotations": rotations, "answers": answers, "retired": retired} | books.ledger()
    keep("webhooks-rotation", ledger)

    assert set(answers) == {"202"}, ledger
    assert retired == 401, ledger
    assert (ledger["lost"], ledger["duplicated"], ledger["unexpected"], ledger["altered"]) == (0, 0, 0, 0)
