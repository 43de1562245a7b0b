"""kill -9 of each service in mid-walk, and of broker, database and receiver under webhook load.

Afterwards the tables are exact, and every 202 is a delivery, once. `make chaos` runs the long forms.
"""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from tests.support.fleet import SERVICES
from tests.support.flights import Flights, datasette, make_flights
from tests.support.kills import Ground, is_sound, open_ground, walk_under_kills, webhooks_under_kills
from tests.support.senders import Books, standard_headers

PAGE_SIZE = 100  # 68 pages
SPOOLED = 20  # webhooks without a broker, before the database goes too
WALKS = (*SERVICES, "postgresql")


@pytest.fixture(scope="module")
def flights(tmp_path_factory: pytest.TempPathFactory) -> Flights:
    return make_flights(tmp_path_factory.mktemp("few-flights"), every=50)


@pytest.fixture(scope="module")
def ground(migrated_folder: Path, flights: Flights) -> Iterator[Ground]:
    with datasette(flights) as url, open_ground(migrated_folder, url, list(WALKS), PAGE_SIZE) as ground:
        yield ground


@pytest.mark.parametrize("name", WALKS)
async def test_a_walk_is_exact_although_a_part_was_killed_in_its_midst(
    ground: Ground, flights: Flights, name: str
):
    ledger = await walk_under_kills(
        ground.fleet, name, flights, ground.crash_of(name), kills=1, first_page=8, pages_between=0
    )

    assert (ledger["kills"], ledger["state"], ledger["error"]) == (1, "succeeded", None), ledger
    assert is_sound(ledger), ledger


@pytest.mark.parametrize("name", ["receiver", "persister", "postgresql"])
async def test_every_202_is_a_delivery_once_although_a_part_was_killed_under_load(ground: Ground, name: str):
    _, ledger = await webhooks_under_kills(ground.fleet, ground.secret, name, ground.crash_of(name))

    assert is_sound(ledger), ledger
    assert ledger["acknowledged"] >= 200


async def test_without_the_broker_webhooks_are_spooled_and_without_the_database_too_they_are_refused(
    ground: Ground,
):
    """The broker is killed under load, then the database; a service that is started meanwhile waits."""
    books, taken_while_away, refusal = Books(), 0, Refusal(0, None, 0.0)

    async def crash() -> None:
        nonlocal taken_while_away, refusal
        await ground.rabbit.kill()
        killed_at_s = time.monotonic()
        late = await asyncio.to_thread(ground.fleet.children.start, "run", "notifier")
        line = await asyncio.to_thread(late.line, "the broker is not there yet")
        assert "trying for another" in line
        async with asyncio.timeout(20):
            while taken_while_away < SPOOLED:
                await asyncio.sleep(0.05)
                taken_while_away = books.acknowledged_since(killed_at_s + 0.5)
        await ground.postgres.kill()
        refusal = await _refused(ground)
        await ground.postgres.start()
        await ground.rabbit.start()
        await asyncio.to_thread(late.ready)
        assert await asyncio.to_thread(late.end) == 0

    _, ledger = await webhooks_under_kills(
        ground.fleet, ground.secret, "rabbitmq", crash, books=books, timeout_s=120
    )

    assert taken_while_away >= SPOOLED
    assert refusal.status == 503
    assert refusal.retry_after is not None
    assert int(refusal.retry_after) >= 1
    assert refusal.took_s < 4  # its budget is 2 s
    assert is_sound(ledger), ledger
    assert await ground.fleet.fetch("SELECT 1 FROM outbox WHERE type = 'webhook.received'") == []


@dataclass
class Refusal:
    status: int
    retry_after: str | None
    took_s: float


async def _refused(ground: Ground) -> Refusal:
    url, body = f"{ground.fleet.address('receiver')}/in/default/load", b'{"id": 1, "by": "nowhere"}'
    started = time.monotonic()
    headers = standard_headers(ground.secret, "nowhere-1", body)
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as answer:
        return Refusal(answer.status, answer.headers.get("Retry-After"), time.monotonic() - started)


async def test_every_service_is_ready_again_in_the_end(ground: Ground):
    for name in SERVICES:
        await asyncio.to_thread(ground.fleet.services[name].ready)
