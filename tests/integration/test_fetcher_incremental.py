"""How far a stream has been read: what each mode asks for, and where the cursor stands after each end of a walk."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.support.spine import Spine, open_spine, working

from headwater.model.run import RunState
from headwater.store import cursors, runs
from headwater.store.runs import NewRun, Outcome

SIZE = 10
OF = ("default", "feed", "events")


def moment(number: int) -> str:
    return (datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=number)).strftime("%Y-%m-%dT%H:%M:%SZ")


class Feed:
    """Events with ids and times of change, asked for by `since` (inclusive), in the order of `order`."""

    def __init__(self, count: int, *, order: str = "asc") -> None:
        self.events = [{"id": number, "at": moment(number)} for number in range(count)]
        self.order = order
        self.asked: list[dict[str, str]] = []
        self.since: Callable[[str], str] = lambda text: text  # how it reads what it is asked for
        self.fail_on: int | None = None  # the position that is answered with 404
        self.circle_at: int | None = None  # the position whose answer leads to itself

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/events", self._events)
        self.server = TestServer(app)
        await self.server.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.server.close()

    async def _events(self, request: web.Request) -> web.Response:
        self.asked.append(dict(request.query))
        at = int(request.query.get("cursor") or 0)
        if at == self.fail_on:
            return web.json_response({}, status=404)
        since = self.since(request.query.get("since", ""))
        found = [event for event in self.events if event["at"] >= since]
        if self.order == "asc":
            found.sort(key=lambda event: (event["at"], event["id"]))
        elif self.order == "desc":
            found.sort(key=lambda event: (event["at"], event["id"]), reverse=True)
        following = str(at + SIZE) if at + SIZE < len(found) else None
        following = str(at) if at == self.circle_at else following
        return web.json_response({"items": found[at : at + SIZE], "next": following})

    def manifest(
        self,
        *,
        limits: dict[str, Any] | None = None,
        mode: str = "merge",
        table: dict[str, Any] | None = None,
        **incremental: Any,
    ) -> str:
        stream = {
            "name": "events",
            "request": {"path": "events"},
            "pagination": {"type": "cursor", "cursor_path": "next"},
            "records": {"path": "items"},
            "limits": limits or {},
            "incremental": {"field": "at", "param": "since"} | incremental,
            "destination": {"table": "events", "mode": mode, "key": "id"} | (table or {}),
        }
        source = {
            "name": "feed",
            "base_url": str(self.server.make_url("/")),
            "network": {"allow": ["127.0.0.0/8"]},
            "streams": [stream],
        }
        return json.dumps({"version": 1, "sources": [source]})


_number = iter(range(10**6))


async def run_once(spine: Spine, mode: str = "auto", *, of: tuple[str, str, str] = OF, **parts: Any) -> Any:
    """One run from beginning to end."""
    made = NewRun(*of, datetime.now(UTC), "api", key=str(next(_number)), mode=mode, **parts)
    async with spine.worker.transaction() as connection:
        run_id = await runs.insert(connection, made)
    return await spine.until("SELECT * FROM run WHERE id = $1 AND finished_at IS NOT NULL", run_id)


async def cursor(spine: Spine) -> Any:
    row = await spine.row("SELECT value FROM stream_cursor")
    return None if row is None else row["value"]


async def ids(spine: Spine) -> list[int]:
    return [row["id"] for row in await spine.rows_of("events", "id")]


async def test_the_next_run_asks_for_what_is_newer_and_the_cursor_follows(database: str) -> None:
    async with Feed(25) as feed, open_spine(database) as spine:
        await spine.apply(feed.manifest())
        async with working(spine):
            first = await run_once(spine)
            assert (first["state"], first["inserted"], await cursor(spine)) == ("succeeded", 25, moment(24))
            feed.events += [{"id": number, "at": moment(number)} for number in range(25, 28)]
            feed.asked.clear()

            second = await run_once(spine)

        assert feed.asked == [{"since": moment(24)}]
        assert (second["inserted"], second["unchanged"], await cursor(spine)) == (3, 1, moment(27))
        assert await ids(spine) == list(range(28))


async def test_a_full_run_asks_for_everything_and_a_dry_one_leaves_no_trace(database: str) -> None:
    async with Feed(12) as feed, open_spine(database) as spine:
        await spine.apply(feed.manifest())
        async with working(spine):
            dry = await run_once(spine, "dry_run")
            assert (dry["state"], dry["received"], dry["inserted"], await cursor(spine)) == (
                "succeeded",
                12,
                0,
                None,
            )
            assert await spine.row("SELECT 1 FROM pg_tables WHERE tablename = 'events'") is None
            await run_once(spine)
            feed.asked.clear()

            full = await run_once(spine, "full")

        assert all("since" not in asked for asked in feed.asked)
        assert (full["state"], full["unchanged"], await cursor(spine)) == ("succeeded", 12, moment(11))


async def test_an_incremental_run_of_a_stream_without_a_cursor_says_what_is_missing(database: str) -> None:
    async with Feed(3) as feed, open_spine(database) as spine:
        manifest = json.loads(feed.manifest())
        del manifest["sources"][0]["streams"][0]["incremental"]
        await spine.apply(json.dumps(manifest))
        async with working(spine):
            run = await run_once(spine, "incremental")

        assert (run["state"], run["error_kind"]) == ("failed", "config")
        assert "`incremental`" in run["error_message"]


async def test_a_forced_full_run_rebuilds_the_table_and_sets_the_cursor_anew(database: str) -> None:
    async with Feed(12) as feed, open_spine(database) as spine:
        await spine.apply(feed.manifest())
        async with working(spine):
            await run_once(spine)
            feed.events = feed.events[:5]

            run = await run_once(spine, "full", force=True)

        assert run["state"] == "succeeded"
        assert await ids(spine) == list(range(5))
        assert await cursor(spine) == moment(4)


@pytest.mark.parametrize("order", ["any", "desc"])
async def test_a_walk_that_fails_moves_nothing(database: str, order: str) -> None:
    async with Feed(35, order=order) as feed, open_spine(database) as spine:
        await spine.apply(feed.manifest(order=order))
        feed.fail_on = 20
        async with working(spine):
            run = await run_once(spine)

        assert run["state"] == "failed"
        assert await cursor(spine) is None


async def test_where_records_ascend_a_limit_moves_the_cursor_below_what_may_have_been_cut(
    database: str,
) -> None:
    async with Feed(0) as feed, open_spine(database) as spine:
        feed.events = [
            {"id": number, "at": moment(number // 4)} for number in range(50)
        ]  # four of each moment
        await spine.apply(feed.manifest(order="asc", limits={"max_pages": 2}))
        async with working(spine):
            states = []
            for _ in range(8):
                run = await run_once(spine)
                states.append(run["state"])
                if run["state"] == "succeeded":
                    break
                assert (run["stop_reason"], run["warnings"]) == ("limit", ["limit_reached"])

        assert states[0] == "partial"
        assert states[-1] == "succeeded"
        assert len(states) <= 5
        assert await ids(spine) == list(range(50))
        assert await cursor(spine) == moment(12)


@pytest.mark.parametrize("limits", [{"max_pages": 2}, {"max_records": 20}, {"max_records": 17}])
async def test_elsewhere_the_next_run_goes_on_where_a_limit_ended_the_last(
    database: str, limits: dict[str, Any]
) -> None:
    async with Feed(0, order="any") as feed, open_spine(database) as spine:
        feed.events = [{"id": number, "at": moment(99 - number)} for number in range(55)]
        await spine.apply(feed.manifest(limits=limits))
        async with working(spine):
            found = [await run_once(spine) for _ in range(2)]
            assert [run["state"] for run in found] == ["partial"] * 2
            assert await cursor(spine) is None
            for _ in range(4):
                found.append(await run_once(spine))
                if found[-1]["state"] == "succeeded":
                    break
            assert await ids(spine) == list(range(55))
            assert await cursor(spine) == moment(99)
            assert (await spine.row("SELECT resume FROM stream_cursor"))["resume"] is None
            feed.asked.clear()
            await run_once(spine)

        assert feed.asked == [{"since": moment(99)}]


@pytest.mark.parametrize("most", [6, 15])
async def test_a_page_that_a_limit_cut_is_loaded_once_and_the_next_runs_come_to_its_end(
    database: str, most: int
) -> None:
    async with Feed(0, order="any") as feed, open_spine(database) as spine:
        feed.events = [{"id": number, "at": moment(99 - number)} for number in range(25)]
        await spine.apply(feed.manifest(limits={"max_records": most}, mode="append"))
        async with working(spine):
            ended = []
            while not ended or (ended[-1]["state"] == "partial" and len(ended) < 20):
                ended.append(await run_once(spine))

        assert ended[-1]["state"] == "succeeded"
        assert all(run["inserted"] <= most for run in ended)
        assert await ids(spine) == list(range(25))


async def test_what_the_run_before_took_of_a_page_that_a_limit_cut_is_not_taken_for_missing(
    database: str,
) -> None:
    async with Feed(0, order="any") as feed, open_spine(database) as spine:
        feed.events = [{"id": number, "at": moment(99 - number)} for number in range(SIZE - 1)]
        await spine.apply(feed.manifest(limits={"max_records": 6}, table={"delete_missing": 1.0}))
        async with working(spine):
            ended = [await run_once(spine) for _ in range(2)]

        assert [run["state"] for run in ended] == ["partial", "succeeded"]
        assert [run["deleted"] for run in ended] == [0, 0]
        assert await ids(spine) == list(range(SIZE - 1))


async def test_a_walk_that_goes_on_and_does_not_come_to_an_end_is_begun_anew_by_the_next_run(
    database: str,
) -> None:
    async with Feed(0, order="any") as feed, open_spine(database) as spine:
        feed.events = [{"id": number, "at": moment(99 - number)} for number in range(25)]
        feed.circle_at = SIZE
        await spine.apply(feed.manifest(limits={"max_pages": 1}))
        async with working(spine):
            reasons = [(await run_once(spine))["stop_reason"] for _ in range(2)]
            feed.asked.clear()
            feed.events[3]["note"] = "changed"
            again = await run_once(spine)

        assert reasons == ["limit", "loop"]
        assert feed.asked == [{}]
        assert (again["updated"], again["unchanged"]) == (1, SIZE - 1)


async def test_what_partial_runs_appended_is_there_once_when_the_next_ones_bring_it_again(
    database: str,
) -> None:
    async with Feed(0, order="any") as feed, open_spine(database) as spine:
        feed.events = [{"id": number, "at": moment(99 - number)} for number in range(25)]
        feed.circle_at = SIZE
        await spine.apply(feed.manifest(mode="append"))
        async with working(spine):
            partial = [await run_once(spine) for _ in range(2)]
            there = await ids(spine)
            feed.circle_at = None
            whole = [await run_once(spine) for _ in range(2)]

        assert [run["state"] for run in partial] == ["partial"] * 2
        assert there == list(range(2 * SIZE))
        assert [(run["state"], run["inserted"]) for run in whole] == [("succeeded", 25), ("succeeded", 0)]
        assert await ids(spine) == list(range(25))


async def test_what_was_appended_up_to_a_limit_is_there_once_whether_the_next_run_goes_on_or_begins_anew(
    database: str,
) -> None:
    async with Feed(0, order="any") as feed, open_spine(database) as spine:
        feed.events = [{"id": number, "at": moment(99 - number)} for number in range(35)]
        feed.circle_at = 2 * SIZE
        await spine.apply(feed.manifest(mode="append", limits={"max_pages": 1}))
        async with working(spine):
            reasons = [(await run_once(spine))["stop_reason"] for _ in range(4)]
            began_anew = await ids(spine)
            await spine.apply(feed.manifest(mode="append", limits={"max_pages": 2}))
            feed.circle_at = None
            while (await run_once(spine))["state"] == "partial":
                pass

        assert reasons == ["limit", "limit", "loop", "limit"]
        assert began_anew == list(range(SIZE))
        assert await ids(spine) == list(range(35))


async def test_what_a_partial_run_appended_stays_where_somebody_sets_the_cursor_or_a_window_is_asked_for(
    database: str,
) -> None:
    async with Feed(0, order="any") as feed, open_spine(database) as spine:
        feed.events = [{"id": number, "at": moment(99 - number)} for number in range(25)]
        feed.circle_at = SIZE
        await spine.apply(feed.manifest(mode="append"))
        async with working(spine):
            await run_once(spine)
            feed.circle_at = None
            window = {"from": moment(75), "to": moment(76)}
            asked_for = await run_once(spine, window=window)
            between = await ids(spine)
            async with spine.worker.transaction() as connection:
                await cursors.put(connection, *OF, moment(99))
            await run_once(spine)

        assert asked_for["inserted"] == 1
        assert between == [*range(2 * SIZE), 24]
        assert sorted(set(await ids(spine))) == between


async def test_a_limit_does_not_count_what_lies_behind_the_known(database: str) -> None:
    async with Feed(8, order="desc") as feed, open_spine(database) as spine:
        await spine.apply(feed.manifest(mode="append", order="desc", param=None, limits={"max_records": 4}))
        async with working(spine):
            while (await run_once(spine))["state"] == "partial":
                pass
            feed.events += [{"id": number, "at": moment(number)} for number in range(8, 11)]
            again = await run_once(spine)

        assert (again["state"], again["stop_reason"], again["inserted"]) == ("succeeded", "watermark", 3)
        assert await ids(spine) == list(range(11))


async def test_what_a_limit_left_over_is_forgotten_by_a_new_version_and_by_a_reset(database: str) -> None:
    async with Feed(45, order="any") as feed, open_spine(database) as spine:
        await spine.apply(feed.manifest(limits={"max_pages": 2}))
        async with working(spine):
            await run_once(spine)
            await spine.apply(feed.manifest(limits={"max_pages": 3}))
            feed.asked.clear()
            await run_once(spine)
            assert "cursor" not in feed.asked[0]

            async with spine.worker.transaction() as connection:
                await cursors.reset(connection, *OF)
            feed.asked.clear()
            await run_once(spine)

        assert "cursor" not in feed.asked[0]


async def test_a_cursor_that_was_set_meanwhile_stays(database: str) -> None:
    async with Feed(25) as feed, open_spine(database) as spine:
        await spine.apply(feed.manifest())
        async with working(spine, "timer", "fetcher"):
            made = NewRun(*OF, datetime.now(UTC), "api")
            async with spine.worker.transaction() as connection:
                run_id = await runs.insert(connection, made)
            await spine.until("SELECT 1 FROM run WHERE id = $1 AND state = 'running'", run_id)
            async with spine.worker.transaction() as connection:
                await cursors.put(connection, *OF, moment(3))

            async with working(spine, "persister"):
                run = await spine.until("SELECT * FROM run WHERE id = $1 AND finished_at IS NOT NULL", run_id)

        assert run["state"] == "succeeded"
        assert await cursor(spine) == moment(3)


async def test_values_of_the_future_and_the_look_back_do_not_lead_astray(database: str) -> None:
    async with Feed(6) as feed, open_spine(database) as spine:
        ahead = (datetime.now(UTC) + timedelta(days=400)).isoformat()
        feed.events.append({"id": 99, "at": ahead})
        await spine.apply(feed.manifest(lookback_s=120, format="iso"))
        async with working(spine):
            await run_once(spine)
            assert await cursor(spine) == moment(5)
            feed.asked.clear()
            await run_once(spine)

        assert datetime.fromisoformat(feed.asked[0]["since"]) == datetime.fromisoformat(moment(3))
        assert await ids(spine) == [*range(6), 99]


async def test_a_run_for_a_window_leaves_the_cursor_alone(database: str) -> None:
    async with Feed(6) as feed, open_spine(database) as spine:
        await spine.apply(feed.manifest())
        async with working(spine):
            run = await run_once(spine, window={"from": moment(0), "to": moment(3)})

        assert run["state"] == "succeeded"
        assert await cursor(spine) is None


async def test_a_run_that_was_cancelled_moves_nothing(database: str) -> None:
    async with Feed(25) as feed, open_spine(database) as spine:
        await spine.apply(feed.manifest())
        async with working(spine, "timer", "fetcher"):
            async with spine.worker.transaction() as connection:
                run_id = await runs.insert(connection, NewRun(*OF, datetime.now(UTC), "api"))
            await spine.until("SELECT 1 FROM page WHERE run_id = $1 AND number = 3", run_id)
            async with spine.worker.transaction() as connection:
                await runs.finish(connection, run_id, Outcome(RunState.CANCELLED))
            async with working(spine, "persister"):
                run = await spine.until("SELECT * FROM run WHERE id = $1 AND late >= 20", run_id)

        assert (run["state"], run["inserted"]) == ("cancelled", 0)
        assert await cursor(spine) is None


async def test_records_at_the_bound_that_come_again_are_not_loaded_again(database: str) -> None:
    async with Feed(5) as feed, open_spine(database) as spine:
        await spine.apply(feed.manifest(mode="append", id="id"))
        async with working(spine):
            await run_once(spine)
            feed.events += [{"id": 50, "at": moment(4)}, {"id": 51, "at": moment(4)}]
            second = await run_once(spine)
            quiet = await run_once(spine)
            feed.events.append({"id": 52, "at": moment(4)})
            fourth = await run_once(spine)

        kept = await spine.row("SELECT value, record_id FROM stream_cursor")
        assert (second["received"], second["inserted"]) == (3, 2)
        assert (quiet["received"], quiet["inserted"]) == (3, 0)
        assert (fourth["received"], fourth["inserted"]) == (4, 1)
        assert await ids(spine) == [0, 1, 2, 3, 4, 50, 51, 52]
        assert (kept["value"], kept["record_id"]) == (moment(4), "52")


async def test_a_record_at_the_bound_that_changed_is_loaded_again(database: str) -> None:
    async with Feed(3) as feed, open_spine(database) as spine:
        await spine.apply(feed.manifest(mode="append"))
        async with working(spine):
            await run_once(spine)
            feed.events[2]["note"] = "changed"
            again = await run_once(spine)

        assert (again["received"], again["inserted"]) == (1, 1)


async def test_what_a_cut_walk_saw_beyond_its_cursor_is_not_loaded_again(database: str) -> None:
    async with Feed(3 * SIZE) as feed, open_spine(database) as spine:
        await spine.apply(feed.manifest(mode="append", order="asc", limits={"max_pages": 1}))
        async with working(spine):
            states = [(await run_once(spine))["state"] for _ in range(4)]

        assert await ids(spine) == list(range(len(await ids(spine))))
        assert set(states[:2]) == {"partial"}


async def test_more_records_of_one_moment_than_a_limit_takes_are_all_read_and_none_twice(
    database: str,
) -> None:
    async with Feed(0) as feed, open_spine(database) as spine:
        feed.events = [{"id": number, "at": moment(number // 45)} for number in range(120)]
        await spine.apply(feed.manifest(mode="append", order="asc", limits={"max_pages": 2}))
        async with working(spine):
            states = []
            while "succeeded" not in states and len(states) < 20:
                states.append((await run_once(spine))["state"])

        assert await ids(spine) == list(range(120))
        assert states[-1] == "succeeded"
        assert await cursor(spine) == moment(2)


async def test_records_at_the_cursor_that_are_too_many_to_be_known_again_are_told(database: str) -> None:
    async with Feed(0) as feed, open_spine(database) as spine:
        feed.events = [{"id": number, "at": moment(number // 201)} for number in range(202)]
        await spine.apply(feed.manifest(mode="append"))
        async with working(spine):
            few = await run_once(spine)
            feed.events = [{"id": number, "at": moment(1)} for number in range(201, 402)]
            many = await run_once(spine)

        assert few["warnings"] == []
        assert [warning.partition(":")[0] for warning in many["warnings"]] == ["cursor_ties"]


async def test_where_nothing_is_asked_for_by_what_is_known_is_not_added_again(database: str) -> None:
    async with Feed(25) as feed, open_spine(database) as spine:
        await spine.apply(feed.manifest(mode="append", param=None))
        async with working(spine):
            await run_once(spine)
            feed.events += [{"id": number, "at": moment(number)} for number in range(25, 28)]
            again = await run_once(spine)

        assert (again["received"], again["inserted"], again["warnings"]) == (28, 3, [])
        assert await ids(spine) == list(range(28))


async def test_an_api_that_does_not_heed_the_cursor_is_told(database: str) -> None:
    async with Feed(0) as feed, open_spine(database) as spine:
        feed.events = [{"id": number, "at": f"2024-01-{1 + number:02}T00:00:00Z"} for number in range(12)]
        await spine.apply(feed.manifest(param="sinse"))
        async with working(spine):
            first = await run_once(spine)
            again = await run_once(spine)

        assert (first["warnings"], again["unchanged"]) == ([], 12)
        (warning,) = again["warnings"]
        assert warning.startswith(
            "cursor_unheeded: 10 of the 10 records of the first page are older than '2024-01-12"
        )


async def test_the_last_records_id_is_asked_for_where_the_api_goes_on_behind_it(database: str) -> None:
    async with Feed(5) as feed, open_spine(database) as spine:
        await spine.apply(feed.manifest(id_param="after_id"))
        async with working(spine):
            await run_once(spine)
            feed.asked.clear()
            await run_once(spine)

        assert feed.asked == [{"since": moment(4), "after_id": "4"}]


@pytest.mark.parametrize("form", ["date", "epoch_s"])
async def test_what_comes_again_since_the_request_is_coarser_than_the_cursor_is_not_added_again(
    database: str, form: str
) -> None:
    step = timedelta(minutes=1) if form == "date" else timedelta(milliseconds=20)

    def event(number: int) -> dict[str, Any]:
        at = datetime(2024, 1, 1, 8, tzinfo=UTC) + number * step
        return {"id": number, "at": at.isoformat(timespec="milliseconds").replace("+00:00", "Z")}

    async with Feed(0) as feed, open_spine(database) as spine:
        feed.events = [event(number) for number in range(25)]
        await spine.apply(feed.manifest(mode="append", format=form))
        async with working(spine):
            first = await run_once(spine)
            feed.events += [event(number) for number in range(25, 28)]
            if form == "epoch_s":
                feed.since = lambda text: datetime.fromtimestamp(int(text), UTC).isoformat()[:19]
            second, third = await run_once(spine), await run_once(spine)

        assert [one["inserted"] for one in (first, second, third)] == [25, 3, 0]
        assert second["received"] == 28
        assert await ids(spine) == list(range(28))
