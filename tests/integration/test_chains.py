"""What follows from a run's end: counts, auto-disabling, schedules that start after others."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.support.life import Life, open_life

from headwater.model.run import RunState

S, F = RunState.SUCCEEDED, RunState.FAILED


@pytest.fixture
async def life(database: str) -> AsyncIterator[Life]:
    async with open_life(database) as opened:
        yield opened


def _schedule(name: str, streams: str = "far.s1", **more: Any) -> str:
    parts = "".join(f", {key}: {value}" for key, value in more.items())
    return f"  - {{name: {name}, streams: [{streams}]{parts}}}\n"


async def _ends(life: Life, name: str, *states: RunState, ago_s: float = 0) -> None:
    """A firing of the schedule whose runs end so, in the order of their streams; and what follows."""
    await life.fire(name, ago_s)
    runs = [run for run in await life.of_schedule(name) if run["state"] == "queued"]
    for run, state in zip(sorted(runs, key=lambda run: run["stream"]), states, strict=True):
        await life.end(
            run["id"], state, **({"error_kind": "http", "error_message": "500"} if state == F else {})
        )
    await life.round()


async def _record(life: Life, name: str) -> Any:
    return await life.spine.row("SELECT * FROM schedule_record WHERE schedule = $1", name)


async def _schedule_row(life: Life, name: str) -> Any:
    return await life.spine.row("SELECT * FROM schedule WHERE name = $1", name)


async def test_the_ends_of_a_schedules_runs_are_counted_once(life: Life):
    await life.apply(_schedule("a", auto_disable_after=0))
    for number, state in enumerate((S, F, F, S, RunState.PARTIAL, RunState.CANCELLED, F)):
        await _ends(life, "a", state, ago_s=20 - number)
    await life.fire("a", 2)
    await life.fire("a", 1)
    await life.round()

    record = await _record(life, "a")

    counted = {
        name: record[name] for name in ("total", "succeeded", "partial", "failed", "cancelled", "skipped")
    }
    assert counted == {"total": 8, "succeeded": 2, "partial": 1, "failed": 3, "cancelled": 1, "skipped": 1}
    assert record["consecutive_failures"] == 1
    assert record["last_success_at"] is not None
    assert await life.spine.fetch("SELECT 1 FROM run_end") == []


async def test_a_schedule_that_fails_again_and_again_stops_with_a_note(life: Life):
    await life.apply(_schedule("a", auto_disable_after=3))
    for ago_s in (5, 4):
        await _ends(life, "a", F, ago_s=ago_s)
    assert (await _schedule_row(life, "a"))["state"] == "active"

    await _ends(life, "a", F, ago_s=3)

    row = await _schedule_row(life, "a")
    assert (row["state"], row["next_at"]) == ("failed", None)
    assert row["state_reason"] == "3 failures in a row, the last one http: 500"


async def test_a_firing_fails_once_however_many_of_its_streams_fail(life: Life):
    await life.apply(_schedule("a", "far.s1, far.s2, far.s3", auto_disable_after=2))

    await _ends(life, "a", F, S, F, ago_s=3)
    assert (await _record(life, "a"))["consecutive_failures"] == 1
    await _ends(life, "a", S, S, F, ago_s=2)

    assert (await _schedule_row(life, "a"))["state"] == "failed"


async def test_a_schedule_runs_after_another_one_and_is_told_of_its_result(life: Life):
    await life.apply(
        _schedule("a", "far.s1, far.s2")
        + _schedule("b", "far.s3", after="a", parameters="{size: 7}")
        + _schedule("c", "far.s4", after="{schedules: [a], on: failed}")
    )

    await _ends(life, "a", S, S)

    (run,) = await life.of_schedule("b")
    assert (run["trigger"], run["state"], run["waiting_for"]) == ("after", "queued", "fetcher")
    assert run["parameters"]["size"] == 7
    told = run["parameters"]["upstream"]["a"]
    assert (told["state"], [each["stream"] for each in told["runs"]]) == ("succeeded", ["far.s1", "far.s2"])
    assert await life.of_schedule("c") == []


@pytest.mark.parametrize(
    ("on", "states"), [("succeeded", {S}), ("failed", {F}), ("any", {S, F, RunState.PARTIAL})]
)
async def test_only_the_results_that_are_asked_for_start_a_schedule(
    life: Life, on: str, states: set[RunState]
):
    await life.apply(_schedule("a") + _schedule("b", "far.s3", after=f"{{any_of: [a], on: {on}}}"))

    for ago_s, state in ((60, S), (40, F), (20, RunState.PARTIAL)):
        before = len(await life.of_schedule("b"))
        await _ends(life, "a", state, ago_s=ago_s)
        started = (await life.of_schedule("b"))[before:]
        assert bool(started) == (state in states), state
        for run in started:
            await life.end(run["id"])


async def test_all_of_waits_for_every_one_and_starts_once(life: Life):
    await life.apply(
        _schedule("a") + _schedule("b", "far.s2") + _schedule("c", "far.s3", after="{all_of: [a, b]}")
    )

    await _ends(life, "a", S, ago_s=3)
    await _ends(life, "a", S, ago_s=2)
    assert await life.of_schedule("c") == []
    await _ends(life, "b", S, ago_s=1)

    (run,) = await life.of_schedule("c")
    assert set(run["parameters"]["upstream"]) == {"a", "b"}
    await _ends(life, "b", S)
    assert len(await life.of_schedule("c")) == 1  # a has not ended again since


async def test_a_debounced_start_waits_for_quiet_and_comes_once(life: Life):
    await life.apply(_schedule("a") + _schedule("b", "far.s2", after="{any_of: [a], debounce: 1h}"))

    await _ends(life, "a", S, ago_s=3)
    await _ends(life, "a", S, ago_s=2)
    assert await life.of_schedule("b") == []
    await life.spine.worker.execute("UPDATE chain_start SET start_at = clock_timestamp()")
    await life.round()

    assert len(await life.of_schedule("b")) == 1
    assert await life.spine.fetch("SELECT 1 FROM chain_result") == []


async def test_an_end_followed_twice_starts_one_run(life: Life):
    await life.apply(_schedule("a") + _schedule("b", "far.s2", after="a"))
    await _ends(life, "a", S)
    (run,) = await life.of_schedule("a")
    await life.spine.worker.execute(
        "INSERT INTO run_end (tenant, schedule, run_id, run_at, generation) VALUES ('default', 'a', $1, $2, 1)",
        run["id"], run["due_at"],
    )  # fmt: skip

    await life.round()

    assert len(await life.of_schedule("b")) == 1


async def test_what_is_disabled_follows_nothing(life: Life):
    await life.apply(_schedule("a") + _schedule("b", "far.s2", after="a", enabled="false"))

    await _ends(life, "a", S)

    assert await life.of_schedule("b") == []


async def test_a_run_that_follows_begins_on_the_terms_of_its_schedule(life: Life):
    opens = (datetime.now(UTC) + timedelta(hours=3)).replace(minute=0, second=0, microsecond=0)
    window = f'from: "{opens:%H}:00", to: "{opens:%H}:59"'
    await life.apply(
        _schedule("a")
        + _schedule("closed", after="a", windows=f"[{{{window}}}]")
        + _schedule("waits", "far.s2", after="a", windows=f"[{{{window}, outside: wait}}]")
        + _schedule("unwanted", "far.s3", after="a", when='"parameters.upstream.a.runs[0].inserted > `5`"')
        + _schedule("wanted", "far.s4", after="a", when="\"parameters.upstream.a.state == 'succeeded'\"")
    )

    await _ends(life, "a", S)

    found = {name: (await life.of_schedule(name))[0] for name in ("closed", "waits", "unwanted", "wanted")}
    assert {name: (run["state"], run["skip_reason"]) for name, run in found.items()} == {
        "closed": ("skipped", "outside_window"),
        "waits": ("queued", None),
        "unwanted": ("skipped", "condition_false"),
        "wanted": ("queued", None),
    }
    assert (found["waits"]["parked_until"], found["waits"]["waits_for"]) == (opens, "window")


async def test_a_schedule_that_follows_is_over_after_its_last_run_and_after_its_end(life: Life):
    clock = "timezone: Europe/Berlin, starts_at: 2020-01-01T00:00:00"
    await life.apply(
        _schedule("a")
        + _schedule("b", "far.s2", after="a", max_runs=1)
        + f"  - {{name: c, streams: [far.s3], after: a, {clock}, ends_at: 2021-01-01T00:00:00}}\n"
        + f"  - {{name: d, streams: [far.s4], after: a, {clock}, ends_at: 2096-01-01T00:00:00}}\n"
    )

    await _ends(life, "a", S, ago_s=2)
    await _ends(life, "a", S, ago_s=1)

    states = {name: await _schedule_row(life, name) for name in "bcd"}
    assert {name: (row["state"], row["state_reason"]) for name, row in states.items()} == {
        "b": ("expired", "max_runs"),
        "c": ("expired", "ends_at"),
        "d": ("active", None),
    }
    assert [len(await life.of_schedule(name)) for name in "bcd"] == [1, 0, 2]
