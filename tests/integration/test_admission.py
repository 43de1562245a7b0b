"""Which runs go when: overlap, limits, order, deadlines, the waits between attempts."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from tests.support.life import Life, open_life

from headwater.contracts.schedules import Schedule
from headwater.model.run import RunState
from headwater.store import runs
from headwater.store.scheduled_runs import scheduled_run


@pytest.fixture
async def life(database: str) -> AsyncIterator[Life]:
    async with open_life(database) as opened:
        yield opened


def _schedule(name: str = "a", streams: str = "far.s1", more: str = "") -> str:
    return f"  - {{name: {name}, streams: [{streams}]{more}}}\n"


async def _fire(life: Life, times: int, name: str = "a") -> list[tuple[str, str | None]]:
    for number in range(times):
        await life.fire(name, ago_s=times - number)
    return [(run["state"], run["skip_reason"]) for run in await life.of_schedule(name)]


async def test_a_run_that_overlaps_is_a_row_that_says_so(life: Life):
    await life.apply(_schedule())

    assert await _fire(life, 2) == [("queued", None), ("skipped", "overlap")]


async def test_one_waits_with_buffer_one_and_n_with_buffer_all(life: Life):
    await life.apply(
        _schedule(more=", overlap: buffer_one") + _schedule("b", "far.s2", ", overlap: {buffer_all: 2}")
    )

    assert await _fire(life, 4) == [("queued", None)] * 2 + [("skipped", "overlap")] * 2
    assert await _fire(life, 4, "b") == [("queued", None)] * 3 + [("skipped", "overlap")]


async def test_the_newest_run_takes_the_place_of_the_others_with_cancel_other(life: Life):
    await life.apply(_schedule(more=", overlap: cancel_other"))
    await life.fire("a", ago_s=3)
    await life.round()
    first = (await life.of_schedule("a"))[0]
    await life.begin(first["id"])

    await life.fire("a", ago_s=2)
    await life.fire("a", ago_s=1)
    await life.round()

    cancelled, passed_over, newest = await life.of_schedule("a")
    assert (cancelled["state"], cancelled["error_kind"]) == ("cancelled", "overlap")
    assert str(newest["id"]) in cancelled["error_message"]
    assert passed_over["state"] == "cancelled"
    assert (newest["state"], newest["waiting_for"]) == ("queued", "fetcher")


async def test_runs_go_side_by_side_with_allow_and_no_more_than_that(life: Life):
    await life.apply(_schedule(more=", overlap: {allow: 2}"))

    assert await _fire(life, 3) == [("queued", None)] * 2 + [("skipped", "overlap")]
    await life.round()

    assert await life.admitted() == ["s1", "s1"]
    assert await life.spine.fetch("SELECT 1 FROM stream_slot") == []


@pytest.mark.parametrize(
    ("limit", "why"), [("schedule", "schedule_limit"), ("source", "source_limit"), ("tenant", "tenant_limit")]
)
async def test_a_limit_holds_runs_back_and_they_say_which(life: Life, limit: str, why: str):
    most = ", max_running: 2" if limit == "schedule" else ""
    source = "    max_running: 2\n" if limit == "source" else ""
    await life.apply(_schedule(streams="far.s1, far.s2, far.s3, far.s4", more=most), source)
    if limit == "tenant":
        async with life.spine.api.as_tenant("default") as connection:
            await connection.execute("UPDATE tenant SET settings = '{\"max_running\": 2}'")
    await life.fire("a")

    await life.round()
    await life.round()

    assert len(await life.admitted()) == 2
    waiting = [run for run in await life.of_schedule("a") if run["admitted_at"] is None]
    assert [run["waiting_for"] for run in waiting] == [why, why]
    await life.end((await life.of_schedule("a"))[0]["id"])
    await life.round()
    assert len(await life.admitted()) == 2


async def test_a_run_held_back_by_a_limit_keeps_no_other_one_from_going(life: Life):
    await life.apply(
        _schedule(streams="far.s1, far.s2", more=", max_running: 1") + _schedule("b", "far.s3"),
        "    max_running: 2\n",
    )
    await life.fire("a", ago_s=9)
    await life.fire("b")

    await life.round()

    assert sorted(await life.admitted()) == ["s1", "s3"]


async def test_manual_goes_before_scheduled_and_backfill_goes_last(life: Life):
    await life.apply(source="    max_running: 1\n")
    at = datetime.now(UTC)
    for priority, stream in ((2, "s1"), (1, "s2"), (0, "s3")):
        await life.start(stream, priority=priority, due_at=at - timedelta(seconds=9 - priority))

    order = []
    for _ in range(3):
        await life.round()
        order += await life.admitted()
        row = await life.spine.row("SELECT id FROM run WHERE admitted_at IS NOT NULL AND state = 'queued'")
        await life.end(row["id"])

    assert order == ["s3", "s2", "s1"]


async def test_a_queued_run_says_that_its_stream_is_busy(life: Life):
    await life.apply()
    await life.start(key="1")
    second = await life.start(key="2")

    await life.round()

    assert (await life.run(second))["waiting_for"] == "stream"


async def test_a_run_cancelled_while_it_is_admitted_leaves_its_stream_free(life: Life):
    await life.apply()
    run_id = await life.start()
    await life.round()
    await life.end(run_id, RunState.CANCELLED, ended_by="key admin")
    again = await life.start(key="again")

    await life.round()

    assert (await life.run(again))["waiting_for"] == "fetcher"
    assert (await life.run(run_id))["ended_by"] == "key admin"


@pytest.mark.parametrize("is_parked", [False, True])
async def test_a_run_past_its_deadline_fails_though_nothing_moves(life: Life, is_parked: bool):
    await life.apply()
    run_id = await life.start(timeout_s=0.5, attempts_max=5)
    await life.round()
    await life.begin(run_id)
    if is_parked:
        async with life.spine.worker.transaction() as connection:
            assert await runs.fail_attempt(
                connection, run_id, 1, "network", "gone", retryable=True, delay_s=3600
            )
    assert (await life.run(run_id))["deadline_at"] is not None
    await life.spine.worker.execute("UPDATE run SET deadline_at = clock_timestamp()")

    await life.round()

    run = await life.run(run_id)
    assert (run["state"], run["error_kind"], run["stop_reason"]) == ("failed", "deadline", "error")
    assert "0.5 s" in run["error_message"]


async def test_a_deadline_counts_from_the_first_start_over_all_attempts(life: Life):
    await life.apply()
    run_id = await life.start(timeout_s=900, attempts_max=2)
    await life.round()
    await life.begin(run_id)
    first = (await life.run(run_id))["deadline_at"]
    async with life.spine.worker.transaction() as connection:
        await runs.fail_attempt(connection, run_id, 1, "network", "gone", retryable=True, delay_s=0)
    await life.round()

    await life.begin(run_id)

    run = await life.run(run_id)
    assert (run["attempt"], run["deadline_at"]) == (2, first)


async def test_attempts_wait_as_the_schedule_says_and_are_told(life: Life):
    await life.apply(_schedule(more=", retries: {max: 2, delay: 10s, factor: 3, jitter: false}"))
    await life.fire("a")
    waits = []
    for attempt in (1, 2):
        await life.round()
        run = (await life.of_schedule("a"))[0]
        await life.begin(run["id"])
        async with life.spine.worker.transaction() as connection:
            await runs.fail_attempt(connection, run["id"], attempt, "network", "gone", retryable=True)
        run = await life.run(run["id"])
        assert (run["attempt"], run["waiting_for"]) == (attempt + 1, "retry")
        failure = run["failures"][-1]
        at = [datetime.fromisoformat(failure[name]) for name in ("failed_at", "again_at")]
        waits.append(round((at[1] - at[0]).total_seconds()))
        await life.spine.worker.execute("UPDATE run SET parked_until = now()")
    await life.round()
    await life.begin(run["id"])
    async with life.spine.worker.transaction() as connection:
        await runs.fail_attempt(connection, run["id"], 3, "network", "gone", retryable=True)

    run = await life.run(run["id"])
    assert (waits, run["attempts_max"], run["state"]) == ([10, 30], 3, "failed")
    assert [each["attempt"] for each in run["failures"]] == [1, 2]


async def test_what_cannot_be_mended_by_trying_again_is_not_tried_again(life: Life):
    await life.apply(_schedule(more=", retries: 3"))
    await life.fire("a")
    await life.round()
    run = (await life.of_schedule("a"))[0]
    await life.begin(run["id"])

    async with life.spine.worker.transaction() as connection:
        await runs.fail_attempt(connection, run["id"], 1, "http", "404", retryable=False)

    assert (await life.run(run["id"]))["state"] == "failed"


async def test_due_times_made_up_for_together_wait_for_one_another(life: Life):
    await life.apply(_schedule())
    row = await life.spine.row("SELECT definition FROM schedule")
    schedule = Schedule.model_validate(row["definition"])
    due = datetime.now(UTC).replace(microsecond=0)
    made = [scheduled_run("default", schedule, "far.s1", due - timedelta(hours=n)) for n in (3, 2, 1)]

    async with life.spine.worker.transaction() as connection:
        await runs.insert_many(connection, made)

    assert [run["state"] for run in await life.of_schedule("a")] == ["queued"] * 3
