"""Pages whose bodies travel by reference: they are in memory a few at a time."""

import uuid
from typing import Any

import pytest
from tests.integration.test_fetcher_incremental import Feed, ids, run_once
from tests.support.spine import Spine, open_spine, working

from headwater.contracts.messages import BatchReady
from headwater.fetcher import pages as fetcher_pages
from headwater.persister import bodies
from headwater.store import payloads


async def page(spine: Spine, number: int, size: int | None) -> Any:
    """A page with a body of `size` bytes in table `payload`, or in its message."""
    identifier = None if size is None else uuid.uuid4()
    if identifier is not None and size is not None:
        async with spine.worker.transaction() as connection:
            await payloads.put(connection, identifier, "default", b"x" * size)
    return (number, BatchReady.model_construct(payload_id=identifier), None)


async def test_bodies_that_pages_only_name_are_loaded_a_few_at_a_time(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "HAND_BYTES", 3000)
    async with open_spine(database) as spine:
        sizes = (1000, 1000, None, 1000, 500, 2500, 9000, None, 10)
        work = [await page(spine, number, size) for number, size in enumerate(sizes)]

        parts = await bodies.in_parts(spine.worker, work)

    assert [[number for number, _, _ in part] for part in parts] == [[0, 1, 2, 3], [4, 5], [6], [7, 8]]


async def test_a_walk_whose_pages_go_by_reference_loads_each_of_them_once(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetcher_pages, "MAX_INLINE_BYTES", 1)
    monkeypatch.setattr(bodies, "HAND_BYTES", 1000)
    async with Feed(95) as feed, open_spine(database) as spine:
        await spine.apply(feed.manifest())
        async with working(spine):
            run = await run_once(spine)

        assert (run["state"], run["inserted"]) == ("succeeded", 95)
        assert await ids(spine) == list(range(95))
        assert await spine.fetch("SELECT 1 FROM payload") == []
