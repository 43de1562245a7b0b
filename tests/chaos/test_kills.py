"""The long forms: every part killed many times, over all flights of the year and under steady webhooks."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.fleet import SERVICES
from tests.support.flights import ALL, Flights, datasette, make_flights
from tests.support.kills import (
    Ground,
    is_sound,
    open_ground,
    walk_under_kills,
    walks_under_kills,
    webhooks_under_kills,
)
from tests.support.ledgers import keep

pytestmark = pytest.mark.long

KILLS = int(os.environ.get("HEADWATER_CHAOS_KILLS", "20"))
PAGE_SIZE = 500  # 674 pages
DELAY_S = 0.1  # between two pages, so that a walk lasts for all its kills
FIRST_PAGE = 10
PAGES_BETWEEN = 600 // KILLS
PARTS = (*SERVICES, "postgresql", "rabbitmq")
PATIENCE_S = 900.0


@pytest.fixture(scope="module")
def all_flights(tmp_path_factory: pytest.TempPathFactory) -> Flights:
    flights = make_flights(tmp_path_factory.mktemp("all-flights"))
    assert flights.truth.count == ALL
    return flights


@pytest.fixture(scope="module")
def ground(migrated_folder: Path, all_flights: Flights) -> Iterator[Ground]:
    streams = ["undisturbed", *PARTS]
    with (
        datasette(all_flights) as url,
        open_ground(migrated_folder, url, streams, PAGE_SIZE, DELAY_S) as ground,
    ):
        yield ground


async def _nothing() -> None:
    return None


async def test_all_flights_arrive_exactly(ground: Ground, all_flights: Flights):
    ledger = await walk_under_kills(
        ground.fleet,
        "undisturbed",
        all_flights,
        _nothing,
        kills=0,
        first_page=0,
        pages_between=0,
        timeout_s=PATIENCE_S,
    )
    keep("walk-undisturbed", ledger)

    assert ledger["state"] == "succeeded", ledger
    assert is_sound(ledger), ledger


@pytest.mark.parametrize("part", PARTS)
async def test_all_flights_arrive_exactly_although_a_part_is_killed_again_and_again(
    ground: Ground, all_flights: Flights, part: str
):
    ledger = await walks_under_kills(
        ground.fleet,
        part,
        all_flights,
        ground.crash_of(part),
        kills=KILLS,
        first_page=FIRST_PAGE,
        pages_between=PAGES_BETWEEN,
        timeout_s=PATIENCE_S,
    )
    keep(f"walk-{part}", ledger)

    assert (ledger["kills"], ledger["state"]) == (KILLS, "succeeded"), ledger
    assert is_sound(ledger), ledger


@pytest.mark.parametrize("part", ["receiver", "timer", "persister", "postgresql", "rabbitmq"])
async def test_every_202_is_a_delivery_once_although_a_part_is_killed_again_and_again(
    ground: Ground, part: str
):
    _, ledger = await webhooks_under_kills(
        ground.fleet,
        ground.secret,
        f"long-{part}",
        ground.crash_of(part, pause_s=1.0),
        kills=KILLS,
        timeout_s=PATIENCE_S,
    )
    keep(f"webhooks-{part}", ledger)

    assert is_sound(ledger), ledger
