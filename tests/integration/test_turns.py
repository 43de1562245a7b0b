"""Pages of a walk that reach the persister in another order than they have."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from aiohttp.test_utils import TestServer
from tests.integration.test_slices import Diary
from tests.integration.test_walk_destinations import Shop, apply, row
from tests.support.spine import Spine, open_spine, working

from headwater.bus.port import Message
from headwater.bus.wire import from_message
from headwater.contracts.messages import BatchReady
from headwater.model.errors import Later
from headwater.persister import turns
from headwater.persister.definitions import Definitions
from headwater.persister.far import FarDatabases
from headwater.persister.outlets import Outlets
from headwater.persister.pages import PageLoader
from headwater.plugins.destinations import PostgresDestination
from headwater.store import runs
from headwater.store.bell import Bell
from headwater.store.runs import NewRun
from headwater.telemetry.metrics import Metrics


async def fetched(spine: Spine, count: int, of: tuple[str, str] = ("shop", "things")) -> list[Message]:
    """The batches of a run of which nothing is loaded yet, in the order of their pages."""
    messages: list[Message] = []
    are_there = asyncio.Event()

    async def keep(batch: Sequence[Message]) -> None:
        messages.extend(batch)
        if len(messages) == count:
            are_there.set()

    new = NewRun("default", *of, datetime.now(UTC), "api", priority=0)
    async with spine.worker.transaction() as connection:
        await runs.insert(connection, new)
    async with (
        spine.bus.consume("headwater.batch.ready", keep, prefetch=10, batch=1, linger_s=0.0),
        working(spine, "timer", "fetcher"),
    ):
        await are_there.wait()
    return messages


@pytest.mark.parametrize(
    ("mode", "second", "left"),
    [
        ("mode: merge, key: id, deleted_field: removed", {"removed": True}, [(2, "b", True)]),
        ("mode: scd2, key: id, order_by: at", {}, [(1, "a", False), (1, "c", True), (2, "b", True)]),
    ],
)
async def test_a_page_waits_for_those_before_it_where_its_records_could_not_be_told_from_older_ones(
    database: str, monkeypatch: pytest.MonkeyPatch, mode: str, second: dict[str, object], left: list[object]
) -> None:
    monkeypatch.setattr(turns, "WAIT_S", 0.0)
    times = [{"at": f"2024-01-0{day}T00:00:00Z"} for day in (1, 2, 3)]
    shop = Shop(
        [{**row(1, "a"), **times[0]}, {**row(2, "b"), **times[1]}, {**row(1, "c"), **times[2], **second}]
    )
    async with TestServer(shop.app()) as server, open_spine(database) as spine:
        await apply(spine, server, f"{{table: things, {mode}}}")
        first, other, *_ = await fetched(spine, 2)
        async with Bell(spine.worker).running() as bell:
            worker = spine.worker
            loader = PageLoader(
                worker, PostgresDestination(), Definitions(worker), bell, Metrics(), Outlets(worker), FarDatabases(worker)
            )  # fmt: skip
            with pytest.raises(Later, match="pages before these"):
                await loader.handle([other])
            await loader.handle([other, first])
        found = await spine.rows_of("things", "id, at")

    assert [(one["id"], one["name"], one.get("_valid_to") is None) for one in found] == left


async def test_a_page_of_a_slice_waits_for_those_before_it_where_slices_share_a_limit(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "WAIT_S", 0.0)
    async with Diary() as diary, open_spine(database) as spine:
        limits, pagination = {"max_records": 3}, {"parallel": 2}
        await spine.apply(diary.manifest(days=2, mode="append", limits=limits, pagination=pagination))
        found = {}
        for message in await fetched(spine, 6, ("api", "diary")):
            batch = from_message(BatchReady, message)
            found[batch.walk, batch.number] = message
        async with Bell(spine.worker).running() as bell:
            worker = spine.worker
            loader = PageLoader(
                worker, PostgresDestination(), Definitions(worker), bell, Metrics(), Outlets(worker), FarDatabases(worker)
            )  # fmt: skip
            await loader.handle([found[0, 1], found[0, 2]])
            with pytest.raises(Later, match="pages before these"):
                await loader.handle([found[1, 2]])
            await loader.handle([found[1, 1]])
            await loader.handle([found[1, 2]])
        rows = await spine.rows_of("diary", "id")

    assert [one["id"] for one in rows] == [0, 1, 2]
