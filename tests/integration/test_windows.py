"""Runs for a window of time: what they ask for, what they load, and that the cursor stays."""

import pytest
from tests.integration.test_fetcher_incremental import SIZE, Feed, cursor, ids, moment, run_once
from tests.support.spine import open_spine, working

WINDOW = {"from": moment(5), "to": moment(9)}


@pytest.mark.parametrize("order", ["asc", "desc", "any"])
async def test_a_window_brings_what_changed_in_it_and_leaves_the_cursor(database: str, order: str) -> None:
    async with Feed(40, order="asc" if order == "any" else order) as feed, open_spine(database) as spine:
        await spine.apply(feed.manifest(order=order))
        async with working(spine):
            run = await run_once(spine, window=WINDOW)

        assert (run["state"], run["inserted"]) == ("succeeded", 4)
        assert await ids(spine) == [5, 6, 7, 8]
        assert await cursor(spine) is None
        assert feed.asked[0]["since"] == moment(5)
        assert len(feed.asked) == {"asc": 1, "desc": 4, "any": 4}[order]


async def test_a_window_does_not_go_on_where_another_run_was_cut_nor_move_a_cursor_that_is_there(
    database: str,
) -> None:
    async with Feed(3 * SIZE, order="any") as feed, open_spine(database) as spine:
        await spine.apply(feed.manifest(limits={"max_pages": 1}))
        async with working(spine):
            await run_once(spine)
            await spine.apply(feed.manifest())
            await run_once(spine)
            before = await cursor(spine)
            feed.asked.clear()
            run = await run_once(spine, window=WINDOW)

        assert feed.asked[0] == {"since": moment(5)}
        assert (run["state"], run["unchanged"]) == ("succeeded", 4)
        assert await cursor(spine) == before == moment(3 * SIZE - 1)


async def test_the_end_of_the_window_is_asked_for_where_the_api_can_be(database: str) -> None:
    async with Feed(12) as feed, open_spine(database) as spine:
        await spine.apply(feed.manifest(end_param="until", lookback_s=3600))
        async with working(spine):
            run = await run_once(spine, window=WINDOW)

        assert feed.asked[0] == {"since": moment(5), "until": moment(9)}
        assert run["inserted"] == 4


async def test_a_stream_whose_incremental_is_off_reads_everything_every_time(database: str) -> None:
    async with Feed(12) as feed, open_spine(database) as spine:
        await spine.apply(feed.manifest(enabled=False))
        async with working(spine):
            await run_once(spine)
            again = await run_once(spine)
            wrong = await run_once(spine, "incremental")

        assert not any("since" in asked for asked in feed.asked)
        assert (again["unchanged"], await cursor(spine)) == (12, None)
        assert (wrong["state"], wrong["error_kind"]) == ("failed", "config")
