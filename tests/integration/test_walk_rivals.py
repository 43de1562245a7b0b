"""A page that is fetched twice may name two successors: APIs give other cursors and other page sizes each time.

The answer that settles decides how the walk goes on, and nothing of the other one reaches the table.
"""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.support.pages import begin_page
from tests.support.spine import Spine, open_spine, working

from headwater.bus.wire import to_message
from headwater.contracts.messages import BatchReady
from headwater.fetcher.ahead import Ahead
from headwater.fetcher.beginnings import Beginnings
from headwater.model.ids import derive_id, derive_key_id, time_of
from headwater.model.run import RunState
from headwater.plugins.walk.token import token_digest
from headwater.store import admission, completion, ledger, payloads, runs
from headwater.store.ledger import Beginning, Begun, PageKey
from headwater.store.runs import NewRun, Outcome

MANIFEST = """
version: 1
sources:
  - name: shop
    base_url: http://api.test
    streams:
      - name: things
        request: {path: /things}
        pagination: {type: offset, size: 4}
        records: {path: items}
        destination: {table: things, mode: append}
"""


def token(offset: int) -> dict[str, Any]:
    return {"place": {"offset": offset}}


class Walk:
    """A running run whose pages the test begins and settles by hand."""

    def __init__(self, spine: Spine, run_id: UUID, version: UUID) -> None:
        self.spine = spine
        self.run_id = run_id
        self.version = version

    @classmethod
    async def of(cls, spine: Spine) -> "Walk":
        await spine.apply(MANIFEST)
        async with spine.worker.transaction() as connection:
            run_id = await runs.insert(
                connection, NewRun("default", "shop", "things", datetime.now(UTC), "api")
            )
            await admission.admit(connection, 10)
            await runs.begin(connection, run_id, 1)
            await runs.open_walk(connection, run_id, 1, 0, "default", token(0))
        row = await spine.row("SELECT stream_version FROM run WHERE id = $1", run_id)
        return cls(spine, run_id, row["stream_version"])

    async def begin(self, number: int, offset: int) -> Begun:
        async with self.spine.worker.connection() as connection:
            begun = await begin_page(
                connection,
                PageKey(self.run_id, 1, 0, number),
                "default",
                token_digest(token(offset)),
                uuid4(),
            )
        assert begun is not None
        return begun

    async def batch(
        self, number: int, offset: int, following: int | None, ids: list[int], payload_id: UUID | None = None
    ) -> None:
        """Hand a fetched page to the persister."""
        records = [{"id": identifier} for identifier in ids]
        document = BatchReady(
            run_id=self.run_id, attempt=1, tenant="default", stream_version=self.version, number=number,
            token=token(offset), next_token=None if following is None else token(following),
            stop_reason="empty_page" if following is None else None, received=len(ids),
            fetched_at=datetime.now(UTC), started_at=datetime.now(UTC),
            records=records if payload_id is None else None, payload_id=payload_id,
        )  # fmt: skip
        identifier = derive_id(time_of(self.run_id), "batch", number, offset, following)
        await self.spine.bus.publish(to_message(document, identifier, "default"))

    async def taken(self) -> None:
        """Returns when the persister has answered for every page."""
        async with asyncio.timeout(20):
            while (await self.spine.bus.depth())["headwater.batch.ready"]:
                await self.spine.bus._change()  # type: ignore[attr-defined]  # of the memory bus

    async def ids(self) -> list[int]:
        return [row["id"] for row in await self.spine.rows_of("things", "id")]

    async def state(self) -> tuple[str, str | None]:
        row = await self.spine.until(
            "SELECT state, error_kind FROM run WHERE id = $1 AND finished_at IS NOT NULL", self.run_id
        )
        return row["state"], row["error_kind"]


async def test_a_page_goes_on_from_the_answer_of_its_predecessor_that_settled(database: str) -> None:
    async with open_spine(database) as spine:
        walk = await Walk.of(spine)
        async with working(spine, "persister", "timer"):
            await walk.begin(1, 0)
            assert (await walk.begin(2, 4)).is_wanted  # the first answer gave four records
            assert (await walk.begin(3, 8)).is_wanted  # and its lineage ran ahead
            undecided = await walk.begin(2, 3)  # the second answer gave three

            await walk.batch(1, 0, 3, [1, 2, 3])
            await walk.taken()

            assert (undecided.is_wanted, undecided.is_undecided) == (False, True)
            assert (await walk.begin(2, 3)).is_wanted
            assert not (await walk.begin(2, 4)).is_wanted
            await walk.batch(2, 4, 8, [5, 6, 7, 8])  # what the lost lineage had under way
            await walk.batch(3, 8, None, [9])
            await walk.taken()
            assert (await walk.begin(3, 7)).is_undecided
            await walk.batch(2, 3, 7, [4, 5, 6, 7])
            await walk.taken()
            assert (await walk.begin(3, 7)).is_wanted
            await walk.batch(3, 7, None, [8])
            assert await walk.state() == ("succeeded", None)
        assert await walk.ids() == [1, 2, 3, 4, 5, 6, 7, 8]


async def test_two_answers_for_one_page_in_one_hand_load_the_one_that_the_ledger_knows(database: str) -> None:
    async with open_spine(database) as spine:
        walk = await Walk.of(spine)
        await walk.begin(1, 0)
        await walk.begin(2, 4)
        for number, offset, following, ids in [
            (2, 3, None, [4]),
            (1, 0, 4, [1, 2, 3, 4]),
            (2, 4, None, [5]),
            (2, 3, None, [4]),
        ]:
            await walk.batch(number, offset, following, ids)

        async with working(spine, "persister", "timer"):
            state = await walk.state()

        assert state == ("succeeded", None)
        assert await walk.ids() == [1, 2, 3, 4, 5]


async def test_a_page_beyond_the_end_is_not_loaded(database: str) -> None:
    async with open_spine(database) as spine, working(spine, "persister"):
        walk = await Walk.of(spine)
        for number in (1, 2):
            await walk.begin(number, 4 * (number - 1))
        await walk.batch(1, 0, None, [1, 2])  # the second look at page 1 found the end
        await walk.taken()

        await walk.batch(2, 4, None, [3])
        await walk.taken()

        assert await walk.ids() == [1, 2]


async def test_records_that_settled_beyond_an_end_found_later_fail_the_attempt(database: str) -> None:
    async with open_spine(database) as spine:
        walk = await Walk.of(spine)
        async with working(spine, "persister", "timer"):
            for number in (1, 2):
                await walk.begin(number, 4 * (number - 1))
            await walk.batch(2, 4, None, [3])
            await walk.taken()

            await walk.batch(1, 0, None, [1, 2])

            assert await walk.state() == ("failed", "page_changed")


async def test_a_walk_does_not_end_before_a_page_that_settled(database: str) -> None:
    async with open_spine(database) as spine, working(spine, "persister"):
        walk = await Walk.of(spine)
        await walk.begin(1, 0)
        await walk.begin(2, 4)
        await walk.batch(1, 0, 4, [1])
        await walk.batch(2, 4, 8, [2])
        await walk.taken()

        async with spine.worker.transaction() as connection:
            ended = await completion.end_walk(
                connection, PageKey(walk.run_id, 1, 0, 2), "default", "limit", ["limit_reached"]
            )

        assert not ended
        assert (await spine.row("SELECT last_number FROM walk"))["last_number"] is None


@pytest.mark.parametrize("why", ["settled", "late", "rival"])
async def test_the_body_of_a_page_that_is_passed_over_is_removed(database: str, why: str) -> None:
    async with open_spine(database) as spine, working(spine, "persister"):
        walk = await Walk.of(spine)
        await walk.begin(1, 0)
        if why == "settled":
            await walk.batch(1, 0, 4, [1])
            await walk.taken()
        async with spine.worker.transaction() as connection:
            payload_id = derive_key_id("payload", why)
            await payloads.put(connection, payload_id, "default", b'[{"id": 1}]')
            if why == "late":
                await runs.finish(connection, walk.run_id, Outcome(RunState.CANCELLED))

        await walk.batch(1, 9 if why == "rival" else 0, 8, [1], payload_id)
        await walk.taken()

        assert await spine.fetch("SELECT id FROM payload") == []
        late = (await spine.row("SELECT late FROM run"))["late"]
        assert late == (1 if why == "late" else 0)


async def test_pages_that_the_database_forgot_begin_again_when_their_records_come(database: str) -> None:
    async with open_spine(database) as spine:
        walk = await Walk.of(spine)
        await walk.begin(1, 0)
        await walk.begin(2, 4)
        await spine.worker.execute("DELETE FROM page WHERE number = 2")  # as if it had not reached the disk
        await walk.batch(1, 0, 4, [1, 2, 3, 4])
        await walk.batch(2, 4, None, [5])

        async with working(spine, "persister", "timer"):
            state = await walk.state()

        assert state == ("succeeded", None)
        assert await walk.ids() == [1, 2, 3, 4, 5]


async def test_a_hand_whose_page_the_database_forgot_goes_on(database: str) -> None:
    async with open_spine(database) as spine:
        walk, holder = await Walk.of(spine), uuid4()

        def page(number: int, after: int | None = None) -> Beginning:
            digest = token_digest(token(4 * number))
            return Beginning(PageKey(walk.run_id, 1, 0, number), "default", digest, holder, after)

        async with spine.worker.connection() as connection:
            await ledger.begin_pages(connection, [page(1)])
            await connection.execute("DELETE FROM page")
            (begun,) = await ledger.begin_pages(connection, [page(2, after=1)])

        assert begun is not None
        assert (begun.is_lost, begun.is_new) == (False, True)


async def test_pages_begin_together_as_they_would_alone(database: str) -> None:
    async with open_spine(database) as spine:
        walk = await Walk.of(spine)
        await walk.begin(3, 8)
        beginnings = Beginnings(spine.worker)

        def page(number: int, offset: int, run_id: UUID = walk.run_id) -> Beginning:
            return Beginning(PageKey(run_id, 1, 0, number), "default", token_digest(token(offset)), uuid4())

        async with beginnings.running(), asyncio.timeout(20):
            first, same, third, loop, nowhere = await asyncio.gather(
                *map(
                    beginnings.begin,
                    [page(1, 0), page(1, 0), page(3, 8), page(4, 8), page(1, 0, derive_key_id("no run"))],
                )
            )

        assert first is not None
        assert same is not None
        assert third is not None
        assert loop is not None
        assert (first.is_new, first.is_wanted, same.is_new, same.is_wanted) == (True, True, False, True)
        assert (third.is_new, third.is_wanted, third.ahead_count) == (False, True, 2)
        assert (loop.is_wanted, loop.is_undecided) == (False, True)  # a loop, if page 3 names it
        assert nowhere is None


async def test_a_page_that_cannot_begin_takes_no_other_down(database: str) -> None:
    async with open_spine(database) as spine:
        walk = await Walk.of(spine)
        beginnings = Beginnings(spine.worker)
        numbers = [1, 2**40, 2]  # no page has the second number

        async with beginnings.running(), asyncio.timeout(20):
            found = await asyncio.gather(
                *(
                    beginnings.begin(
                        Beginning(PageKey(walk.run_id, 1, 0, number), "default", bytes([at]) * 32, uuid4())
                    )
                    for at, number in enumerate(numbers)
                ),
                return_exceptions=True,
            )

        assert [isinstance(one, Begun) and one.is_new for one in found] == [True, False, True]
        assert isinstance(found[1], Exception)


async def test_a_page_that_begins_ahead_is_taken_up_only_while_what_was_said_of_it_is_fresh(
    database: str,
) -> None:
    async with open_spine(database) as spine, asyncio.timeout(20):
        walk = await Walk.of(spine)
        beginnings = Beginnings(spine.worker)

        def page(number: int) -> Beginning:
            return Beginning(
                PageKey(walk.run_id, 1, 0, number), "default", token_digest(token(number)), uuid4()
            )

        async def taken(
            number: int, *, request_s: float, after_s: float = 0.1, quiet: int = 0
        ) -> Begun | None:
            """What a hand is told that began page `number` at 100.0 and comes to it later."""
            ahead = Ahead(beginnings, last_request_s=request_s)
            ahead.begin(page(number), 100.0, 0)
            return await ahead.begun(number, 100.0 + after_s, quiet)

        async with beginnings.running():
            fresh = await taken(3, request_s=0.05)
            slow = await taken(4, request_s=3.0)
            old = await taken(5, request_s=0.05, after_s=0.6)
            quiet = await taken(6, request_s=0.05, quiet=1)
            of_another = Ahead(beginnings, last_request_s=0.05)
            of_another.begin(page(7), 100.0, 0)
            other = await of_another.begun(8, 100.1, 0)
            again = await beginnings.begin(page(3))

        assert fresh is not None
        assert (fresh.is_new, fresh.is_wanted) == (True, True)
        assert (slow, old, quiet, other) == (None, None, None, None)
        assert again is not None
        assert (again.is_new, again.is_wanted) == (False, True)
        assert await spine.worker.fetchval("SELECT count(*) FROM page WHERE number = 4") == 0


async def test_a_page_that_nobody_needs_yet_begins_with_one_that_is_needed_or_when_its_time_is_over(
    database: str,
) -> None:
    async with open_spine(database) as spine, asyncio.timeout(20):
        walk = await Walk.of(spine)
        beginnings = Beginnings(spine.worker)

        def page(number: int) -> Beginning:
            return Beginning(
                PageKey(walk.run_id, 1, 0, number), "default", token_digest(token(number)), uuid4()
            )

        async with beginnings.running(), asyncio.TaskGroup() as group:
            waiting = group.create_task(beginnings.begin(page(3), within_s=3600))
            alone = await group.create_task(beginnings.begin(page(4), within_s=0.01))
            company = await waiting  # the earlier time counts for both
            left = group.create_task(beginnings.begin(page(5), within_s=3600))
            needed = await beginnings.begin(page(6))
            begun = [alone, company, needed, await left]

        assert [one is not None and one.is_new for one in begun] == [True] * 4


async def test_a_token_that_only_an_answer_that_does_not_count_names_again_is_no_loop(database: str) -> None:
    async with open_spine(database) as spine:
        walk = await Walk.of(spine)
        async with working(spine, "persister", "timer"):
            await walk.begin(1, 0)
            assert (
                await walk.begin(2, 4)
            ).is_wanted  # the first answer gave four records, the second one two
            early = await walk.begin(3, 4)  # which were followed by two more
            await walk.batch(1, 0, 4, [1, 2, 3, 4])
            await walk.batch(2, 4, 6, [5, 6])
            await walk.taken()
            late = await walk.begin(3, 4)

            assert (early.is_undecided, early.same_token_as, early.is_wanted) == (True, None, False)
            assert (late.is_undecided, late.same_token_as, late.is_wanted) == (False, None, False)
            assert (await walk.begin(3, 6)).is_wanted


async def test_a_token_that_the_page_before_names_again_is_a_loop(database: str) -> None:
    async with open_spine(database) as spine:
        walk = await Walk.of(spine)
        async with working(spine, "persister", "timer"):
            await walk.begin(1, 0)
            await walk.begin(2, 4)
            await walk.batch(1, 0, 4, [1, 2, 3, 4])
            await walk.batch(2, 4, 0, [5, 6])
            await walk.taken()

            loop = await walk.begin(3, 0)

            assert (loop.is_wanted, loop.is_undecided, loop.same_token_as) == (False, False, 1)
