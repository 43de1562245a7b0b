"""Backfills: counted first, then run boundary by boundary, never twice, as fast as they may."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.office import Office, open_office

from headwater.model.run import RunState
from headwater.store import backfills, runs
from headwater.store.runs import Outcome
from headwater.telemetry.metrics import Metrics
from headwater.timer.backfills import _step, go_on
from headwater.timer.relay import Relay

MANIFEST = """
version: 1
sources:
  - name: shop
    base_url: https://api.example.com/v1
    streams:
      - name: orders
        records: {path: data}
        incremental: {field: updated_at, param: since}
        destination: {table: orders, mode: merge, key: id}
      - name: refunds
        records: {path: data}
        destination: {table: refunds, mode: merge, key: id}
schedules:
  - {name: daily, streams: [shop.orders], cron: "0 2 * * *", parameters: {a: 1}}
  - {name: both, streams: [shop.orders, shop.refunds], interval: 6h}
  - {name: by-hand, streams: [shop.refunds]}
"""
WEEK = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-08T00:00:00Z"}


@pytest.fixture
async def office(database: str) -> AsyncIterator[Office]:
    async with AsyncExitStack() as stack:
        opened = await stack.enter_async_context(open_office(database))
        applied = await opened.post(
            "/config/import", data=MANIFEST, headers={"Content-Type": "application/yaml"}
        )
        assert applied.status == 200, applied.body
        yield opened


async def _round(office: Office) -> None:
    relay = Relay(office.worker, office.bus, Metrics())
    while await relay.work():
        pass


async def _runs(office: Office, **filters: str) -> list[Any]:
    """Runs of the backfills, by boundary."""
    rows = await office.worker.fetch(
        "SELECT * FROM run WHERE backfill_id IS NOT NULL AND state = ANY($1::text[]) ORDER BY boundary, stream",
        list(filters.values()) or ["queued", "running", "succeeded", "cancelled", "failed"],
    )
    return list(rows)


async def _succeed_all(office: Office) -> int:
    """End every run that is under way; gives how many."""
    under_way = await _runs(office, state="queued")
    async with office.worker.transaction() as connection:
        for run in under_way:
            await runs.finish(connection, run["id"], Outcome(RunState.SUCCEEDED))
    return len(under_way)


async def _to_the_end(office: Office) -> list[int]:
    """How many runs were under way at each turn."""
    turns = []
    while True:
        await _round(office)
        if not (ended := await _succeed_all(office)):
            return turns
        turns.append(ended)


async def test_a_dry_run_counts_and_writes_nothing(office: Office):
    counted = await office.post("/schedules/both/backfill", {**WEEK, "dry_run": True})

    assert counted.status == 200, counted.body
    told = counted.json
    assert (told["id"], told["dry_run"]) == (None, True)
    assert (told["boundaries"], told["existing"], told["runs"]) == (28, 0, 56)
    assert told["first_at"] == "2026-01-01T00:00:00+00:00"
    assert told["last_at"] == "2026-01-07T18:00:00+00:00"
    assert (await office.get("/backfills")).json["items"] == []


async def test_to_count_does_not_wait_for_a_schedule_that_fires_nor_keep_it_from_firing(office: Office):
    async with office.worker.transaction() as connection:
        await connection.fetchrow("SELECT 1 FROM schedule WHERE name = 'both' FOR NO KEY UPDATE")

        counted = await office.post("/schedules/both/backfill", {**WEEK, "dry_run": True})
        made = await office.post("/schedules/both/backfill", WEEK)

    assert (counted.status, made.status) == (200, 202), (counted.body, made.body)


async def test_boundaries_are_run_one_after_another_with_their_windows(office: Office):
    made = await office.post("/schedules/daily/backfill", {**WEEK, "parameters": {"b": 2}})
    assert made.status == 202, made.body

    assert await _to_the_end(office) == [1] * 7

    done = await _runs(office)
    assert [run["boundary"].isoformat() for run in done][:2] == [
        "2026-01-01T02:00:00+00:00",
        "2026-01-02T02:00:00+00:00",
    ]
    assert done[1]["time_window"] == {"from": "2026-01-01T02:00:00Z", "to": "2026-01-02T02:00:00Z"}
    assert {run["priority"] for run in done} == {2}
    assert done[0]["parameters"] == {"a": 1, "b": 2}
    shown = (await office.get(made.headers["Location"])).json
    assert (shown["state"], shown["runs"]["succeeded"], shown["progress"]["done_share"]) == ("done", 7, 1.0)
    run = (await office.get(f"/runs/{done[0]['id']}")).json
    assert (run["due_at"], run["backfill_id"], run["schedule"]) == (
        "2026-01-01T02:00:00+00:00",
        shown["id"],
        "daily",
    )


async def test_a_stream_that_knows_no_time_has_no_window(office: Office):
    await office.post("/schedules/both/backfill", {**WEEK, "to": "2026-01-01T06:00:00Z"})
    await _round(office)

    windows = {run["stream"]: run["time_window"] for run in await _runs(office)}

    assert windows["refunds"] is None
    assert windows["orders"] == {"from": "2025-12-31T18:00:00Z", "to": "2026-01-01T00:00:00Z"}


async def test_so_many_at_once_as_are_asked_for(office: Office):
    await office.post("/schedules/daily/backfill", {**WEEK, "parallel": 3})

    assert await _to_the_end(office) == [3, 3, 1]


async def test_a_rate_lets_one_boundary_go_at_a_time(office: Office):
    await office.post("/schedules/daily/backfill", {**WEEK, "parallel": 5, "rate": "60/m"})
    await _round(office)

    assert len(await _runs(office)) == 1
    await _round(office)
    assert len(await _runs(office)) == 1
    await office.worker.execute("UPDATE backfill SET next_start_at = clock_timestamp()")
    await _round(office)
    assert len(await _runs(office)) == 2


async def test_a_rate_above_one_a_second_holds_though_looks_are_a_second_apart(office: Office):
    await office.post("/schedules/daily/backfill", {**WEEK, "parallel": 100, "rate": "3/s"})

    await office.worker.execute("UPDATE backfill SET next_start_at = clock_timestamp() - interval '1 hour'")
    async with office.worker.transaction() as connection:
        started = await go_on(connection)

    assert started == len(await _runs(office)) == 3


async def test_no_boundary_is_run_twice_unless_forced(office: Office):
    await office.post("/schedules/daily/backfill", WEEK)
    await _to_the_end(office)

    again = (await office.post("/schedules/daily/backfill", {**WEEK, "to": "2026-01-09T00:00:00Z"})).json
    assert (again["boundaries"], again["existing"], again["runs"]) == (8, 7, 1)
    assert await _to_the_end(office) == [1]
    forced = (await office.post("/schedules/daily/backfill", {**WEEK, "force": True})).json
    assert forced["runs"] == 7
    await _to_the_end(office)

    generations = [run["generation"] for run in await _runs(office)]
    assert sorted(generations) == [1] * 8 + [2] * 7


async def test_two_timers_start_each_boundary_once(office: Office):
    await office.post("/schedules/daily/backfill", {**WEEK, "parallel": 7})
    relays = [Relay(office.worker, office.bus, Metrics()) for _ in range(3)]

    await asyncio.gather(*(relay.work() for relay in relays))

    assert len({run["boundary"] for run in await _runs(office)}) == len(await _runs(office)) == 7


async def test_two_timers_with_two_backfills_of_one_window_start_each_boundary_once(office: Office):
    for _ in range(2):
        await office.post("/schedules/daily/backfill", {**WEEK, "parallel": 100})

    async with office.worker.transaction() as first, office.worker.transaction() as second:
        claimed = [await backfills.claim(first, 1), await backfills.claim(second, 1)]
        started = [await _step(first, claimed[0][0]), await _step(second, claimed[1][0])]
    await _to_the_end(office)

    assert started == [7, 0]
    boundaries = [run["boundary"] for run in await _runs(office)]
    assert len(boundaries) == len(set(boundaries)) == 7


async def test_a_cancelled_backfill_ends_with_its_runs(office: Office):
    made = (await office.post("/schedules/daily/backfill", {**WEEK, "parallel": 2})).json["id"]
    await _round(office)

    cancelled = await office.post(f"/backfills/{made}/cancel")
    await _round(office)

    assert cancelled.status == 200
    assert (cancelled.json["state"], cancelled.json["reason"]) == ("cancelled", "by key admin")
    assert {run["state"] for run in await _runs(office)} == {"cancelled"}
    assert len(await _runs(office)) == 2
    assert (await office.post(f"/backfills/{made}/cancel")).status == 200


async def test_failures_of_a_backfill_stop_no_schedule(office: Office):
    await office.post("/schedules/daily/backfill", {**WEEK, "parallel": 7})
    await _round(office)
    async with office.worker.transaction() as connection:
        for run in await _runs(office):
            await runs.finish(connection, run["id"], Outcome(RunState.FAILED, error_kind="http"))
    await _round(office)

    told = (await office.get("/schedules/daily")).json

    assert (told["state"], told["consecutive_failures"], told["counts"]["failed"]) == ("active", 0, 7)


@pytest.mark.parametrize(
    ("asked", "place"),
    [
        ({"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "/to"),
        ({"from": "2096-01-02T00:00:00Z", "to": "2097-01-01T00:00:00Z"}, "/from"),
        ({"from": "2026-01-02T00:00:00", "to": "2026-01-03T00:00:00Z"}, "/from"),
        ({**WEEK, "parallel": 0}, "/parallel"),
        ({**WEEK, "rate": "fast"}, "/rate"),
        ({"to": "2026-01-02T00:00:00Z"}, "/from"),
    ],
)
async def test_what_cannot_be_filled_is_refused_at_its_place(office: Office, asked: Any, place: str):
    refused = await office.post("/schedules/daily/backfill", asked)

    assert (refused.status, refused.pointers) == (422, [place])


async def test_a_manual_schedule_has_nothing_to_fill(office: Office):
    assert (await office.post("/schedules/by-hand/backfill", WEEK)).status == 422
    assert (await office.post("/schedules/none/backfill", WEEK)).status == 404


async def test_the_same_key_makes_one_backfill(office: Office):
    headers = {"Idempotency-Key": "once"}
    answers = [await office.post("/schedules/daily/backfill", WEEK, headers=headers) for _ in range(2)]

    assert answers[0].json == answers[1].json
    assert answers[0].json["runs"] > 0
    assert len((await office.get("/backfills?schedule=daily")).json["items"]) == 1


async def test_the_list_goes_on_after_a_page(office: Office):
    for _ in range(3):
        await office.post("/schedules/daily/backfill", WEEK)

    first = (await office.get("/backfills?limit=2")).json
    rest = (await office.get(f"/backfills?limit=2&cursor={first['next']}")).json

    assert (len(first["items"]), len(rest["items"]), rest["next"]) == (2, 1, None)
    assert datetime.fromisoformat(first["items"][0]["created_at"]) <= datetime.now(UTC)
