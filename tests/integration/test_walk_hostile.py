"""Every case of the catalogue, walked over real HTTP by the client and the pure core."""

from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
from tests.support.fake_api import Behaviour, FakeApi
from tests.support.hostile_cases import CASES, NEXT_URL, Case
from tests.support.walk_driver import SettableClock, Walked, definition, walk_all

from headwater.http.client import HttpClient


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    async with HttpClient(SettableClock()) as made:
        yield made


async def _walked(client: HttpClient, name: str, case: Case) -> Walked:
    async with FakeApi({name: case.behaviour}) as api:
        stream = definition(
            api.url(name),
            pagination=case.pagination,
            records=case.records,
            limits=case.limits,
            request=case.request,
            errors=case.errors,
        )
        return await walk_all(client, stream)


@pytest.mark.parametrize("name", CASES)
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


async def test_a_cycle_of_next_links_is_ended_by_the_ledger_of_tokens(client: HttpClient) -> None:
    case = Case(Behaviour(style="next_url", count=500, next="cycle"), NEXT_URL, "loop")

    walked = await _walked(client, "cycle", case)

    assert walked.stop_reason == "loop"
    assert not walked.is_complete
    assert walked.ids == list(range(300))


async def test_big_integers_and_long_decimals_arrive_exactly(client: HttpClient) -> None:
    case = CASES["body_big_numbers"]

    walked = await _walked(client, "big", case)

    assert [record["big"] for record in walked.records] == [2**63 + n for n in range(230)]
    assert walked.records[3]["price"] in {Decimal("3.25"), 3.25}


async def test_letters_survive_a_wrong_charset_label(client: HttpClient) -> None:
    for name in ("body_latin1", "body_utf8_labelled_latin1", "body_utf16", "body_byte_order_mark"):
        walked = await _walked(client, name, CASES[name])
        assert walked.records[0]["name"] == "Zoë 0"
