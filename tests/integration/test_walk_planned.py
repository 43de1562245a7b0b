"""Pages asked for in any order, once the first has told how many there are."""

import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support.walk_driver import SettableClock, definition, walk_all, walk_planned

from headwater.app.hostile import Behaviour, HostileApi
from headwater.http.client import HttpClient
from headwater.plugins.walk.page import Page
from headwater.plugins.walk.token import token_digest

OFFSET = {"type": "offset", "total": "total", "parallel": 8, "size": 20}
PAGE = {"type": "page", "size": 20, "size_param": "limit", "total": "total", "parallel": 8}


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    async with HttpClient(SettableClock()) as made:
        yield made


def _shuffled(numbers: list[int]) -> list[int]:
    random.Random(7).shuffle(numbers)
    return numbers


def _ids(pages: dict[int, Page]) -> list[int]:
    return [record["id"] for number in sorted(pages) for record in pages[number].records]


async def _walked(
    client: HttpClient, behaviour: Behaviour, pagination: dict[str, Any], **parts: Any
) -> dict[int, Page]:
    async with HostileApi({"api": behaviour}) as api:
        return await walk_planned(
            client, definition(api.url("api"), pagination=pagination, **parts), _shuffled
        )


@pytest.mark.parametrize(
    ("behaviour", "pagination"),
    [
        (Behaviour(total="number"), OFFSET),
        (Behaviour(total="text", count=200), OFFSET),
        (Behaviour(total="number", cap=7), OFFSET),
        (Behaviour(total="first_page"), OFFSET),
        (Behaviour(total="grows", count=100), OFFSET),
        (Behaviour(total="number"), OFFSET | {"size": 30}),
        (Behaviour(style="page", total="number"), PAGE),
        (Behaviour(style="page", total="number", cap=7), PAGE),
        (Behaviour(style="page", total_pages="text"), PAGE | {"total": None, "total_pages": "pages"}),
        (Behaviour(style="page", total="number", has_more="text"), PAGE | {"has_more": "has_more"}),
    ],
)
async def test_the_order_of_arrival_does_not_matter(
    client: HttpClient, behaviour: Behaviour, pagination: dict[str, Any]
) -> None:
    pages = await _walked(client, behaviour, pagination)

    assert len(pages) > 3
    assert _ids(pages) == list(range(behaviour.count))
    last = max(pages)
    assert [number for number, page in pages.items() if page.stop_reason is not None] == [last]
    assert pages[last].stop_reason in {"total_reached", "has_more_false"}


async def test_each_page_names_the_token_of_its_successor(client: HttpClient) -> None:
    async with HostileApi({"api": Behaviour(total="number")}) as api:
        stream = definition(api.url("api"), pagination=OFFSET)
        asked: dict[int, dict[str, Any]] = {}
        pages = await walk_planned(client, stream, lambda numbers: numbers[::-1])

        from headwater.plugins.walk.walk import Walk

        walk = Walk(stream)
        planned = pages[1].next_token
        assert planned is not None
        asked = {number: walk.token_at(planned, number) for number in range(2, planned["planned"] + 1)}

    assert planned["planned"] == 12
    for number, token in asked.items():
        assert pages[number - 1].next_token == token
    assert len({token_digest(token) for token in asked.values()}) == 11
    with pytest.raises(ValueError, match="13"):
        walk.token_at(planned, 13)


async def test_a_planned_walk_gives_what_the_plain_one_gives(client: HttpClient) -> None:
    behaviour = Behaviour(style="page", total="number", thin=(3, 5), holes=(7,))
    pages = await _walked(client, behaviour, PAGE)
    async with HostileApi({"api": behaviour}) as api:
        plain = await walk_all(client, definition(api.url("api"), pagination=PAGE | {"parallel": 1}))

    assert _ids(pages) == plain.ids
    assert len(plain.ids) == 190


async def test_pages_that_are_all_the_first_end_the_walk_as_a_loop(client: HttpClient) -> None:
    pages = await _walked(client, Behaviour(total="number", same_page=True, cap=20), OFFSET)

    assert _ids(pages) == list(range(20))
    assert {page.stop_reason for number, page in pages.items() if number > 1} == {"loop"}


async def test_limits_hold_for_planned_pages(client: HttpClient) -> None:
    few = await _walked(client, Behaviour(total="number"), OFFSET, limits={"max_pages": 5})
    cut = await _walked(client, Behaviour(total="number"), OFFSET, limits={"max_records": 90})

    assert _ids(few) == list(range(100))
    assert (max(few), few[5].stop_reason) == (5, "limit")
    assert _ids(cut) == list(range(90))
    assert (max(cut), cut[5].stop_reason) == (5, "limit")


@pytest.mark.parametrize(
    ("behaviour", "pagination"),
    [
        (Behaviour(), OFFSET),
        (Behaviour(total="zero"), OFFSET),
        (Behaviour(total="number", count=40), OFFSET),
        (Behaviour(total="number"), OFFSET | {"parallel": 1}),
        (Behaviour(style="cursor", total="number"),
         {"type": "cursor", "cursor_path": "next", "total": "total", "parallel": 8}),
    ],
)  # fmt: skip
async def test_without_a_total_or_the_wish_nothing_is_planned(
    client: HttpClient, behaviour: Behaviour, pagination: dict[str, Any]
) -> None:
    pages = await _walked(client, behaviour, pagination)

    assert len(pages) == 1
    assert pages[1].next_token is not None
    assert pages[1].next_token["planned"] == 0
