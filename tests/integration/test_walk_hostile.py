"""Every case of the catalogue, walked over real HTTP by the client and the pure core."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from tests.support.walk_driver import LOOPBACK, SettableClock, Walked, walk_all

from headwater.app.hostile import CASES, Case, HostileApi
from headwater.app.hostile.server import ELSEWHERE
from headwater.contracts.source import StreamDefinition
from headwater.http.client import HttpClient


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    async with HttpClient(SettableClock()) as made:
        yield made


def pinned(base: str, case: Case) -> StreamDefinition:
    """The case's stream as `apply` would pin it."""
    return StreamDefinition.model_validate(
        {
            "tenant": "default",
            "source": "api",
            "base_url": base,
            "network": {"allow": LOOPBACK},
            **case.source_options(base),
            "stream": {"name": "items", "destination": {"table": "items"}, **case.stream()},
        }
    )


async def _walked(client: HttpClient, name: str, case: Case) -> Walked:
    async with HostileApi({name: case.behaviour}) as api:
        clock = SettableClock(datetime.now(UTC))
        walked = await walk_all(client, pinned(api.url(name), case), clock=clock)
        assert all("Authorization" not in headers for headers in api.asked_of(ELSEWHERE))
        return walked


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.whole])
async def test_each_hostile_behaviour_has_its_one_right_outcome(client: HttpClient, name: str) -> None:
    case = CASES[name]

    walked = await _walked(client, name, case)

    ended = walked.stop_reason if walked.error is None else f"error:{walked.error.kind}"
    assert ended == case.ends
    assert walked.ids == case.wanted_ids
    assert walked.warnings == case.warnings
    assert walked.is_complete == (case.ends not in {"loop", "limit", "error"} and walked.error is None)
    assert walked.rejected_count == case.rejected
    assert tuple(walked.waits_s) == case.waits_s
    if case.requests is not None:
        assert walked.request_count == case.requests
    if case.received is not None:
        assert sum(page.received_count for page in walked.pages) == case.received


async def test_big_integers_and_long_decimals_arrive_exactly(client: HttpClient) -> None:
    case = CASES["body_big_numbers"]

    walked = await _walked(client, "big", case)

    assert [record["big"] for record in walked.records] == [2**63 + n for n in range(230)]
    assert walked.records[3]["price"] in {Decimal("3.25"), 3.25}


async def test_letters_survive_a_wrong_charset_label(client: HttpClient) -> None:
    for name in ("body_latin1", "body_utf8_labelled_latin1", "body_utf16", "body_byte_order_mark"):
        walked = await _walked(client, name, CASES[name])
        assert walked.records[0]["name"] == "Zoë 0"
