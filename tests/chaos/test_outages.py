"""The long forms: a minute without the broker, under steady webhooks."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from tests.support.flights import datasette, make_flights
from tests.support.kills import Ground, is_sound, open_ground, webhooks_under_kills
from tests.support.ledgers import keep

pytestmark = pytest.mark.long

OUTAGE_S = 60.0
PATIENCE_S = 300.0
LONGEST_GAP_S = 5.0  # of a sender that waits for each answer: two budgets, and a slow machine


@pytest.fixture(scope="module")
def ground(migrated_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    flights = make_flights(tmp_path_factory.mktemp("few-flights"), 100)
    with datasette(flights) as url, open_ground(migrated_folder, url, ["none"], 100) as ground:
        yield ground


async def test_a_minute_without_the_broker_loses_no_webhook_and_holds_none_up(ground: Ground):
    outage = ground.crash_of("rabbitmq", pause_s=OUTAGE_S)

    books, ledger = await webhooks_under_kills(
        ground.fleet, ground.secret, "long-outage", outage, timeout_s=PATIENCE_S
    )
    moments = sorted(books.acknowledged_at_s)
    gap_s = max(after - before for before, after in pairwise(moments))
    ledger |= {"outage_s": OUTAGE_S, "longest_gap_s": round(gap_s, 2)}
    keep("webhooks-outage", ledger)

    assert is_sound(ledger), ledger
    assert moments[-1] - moments[0] > OUTAGE_S
    assert gap_s < LONGEST_GAP_S, ledger
