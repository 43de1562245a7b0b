"""What becomes of schedules that are due: runs, runs that wait, runs that are skipped, and an end."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from tests.support.spine import Spine, open_spine

from headwater.store import admission, schedules, starts
from headwater.timer.fire import AHEAD_S, Firing, Look, fire_ahead, fire_due

HEAD = """
version: 1
sources:
  - name: far
    base_url: https://api.example.com
    streams: [{name: a, destination: {table: a}}, {name: b, destination: {table: b}}]
schedules:
"""


@pytest.fixture
async def spine(database: str) -> AsyncIterator[Spine]:
    async with open_spine(database) as opened:
        yield opened


async def fire(
    spine: Spine, schedule: str, *, late: timedelta = timedelta(seconds=2)
) -> list[dict[str, Any]]:
    """Apply one schedule (`s`), let it be due since `late`, on a whole minute, and fire; gives its runs, oldest first."""
    await spine.apply(HEAD + schedule)
    return await fire_again(spine, late=late)


async def fire_again(spine: Spine, *, late: timedelta = timedelta(seconds=2)) -> list[dict[str, Any]]:
    due_at = (datetime.now(UTC) - late).replace(second=0, microsecond=0)
    await spine.worker.execute(
        "UPDATE schedule SET next_at = $1 WHERE name = 's' AND state = 'active'", due_at
    )
    async with spine.worker.transaction() as connection:
        await fire_due(connection)
    rows = await spine.fetch("SELECT * FROM run WHERE schedule = 's' ORDER BY due_at, stream")
    return [dict(row) for row in rows]


async def an_hour_passes(spine: Spine) -> None:
    """What ran is an hour older."""
    await spine.worker.execute("UPDATE run SET due_at = due_at - interval '1 hour', id = gen_random_uuid()")


async def schedule(spine: Spine) -> Any:
    return await spine.row("SELECT * FROM schedule WHERE name = 's'")


async def test_each_stream_of_a_schedule_gets_its_run(spine: Spine) -> None:
    runs = await fire(spine, '  - {name: s, streams: [far.a, far.b], cron: "* * * * *", parameters: {x: 1}}')

    assert [(run["stream"], run["state"], run["parameters"]) for run in runs] == [
        ("a", "queued", {"x": 1}),
        ("b", "queued", {"x": 1}),
    ]
    after = await schedule(spine)
    assert (after["last_due_at"], after["fired_count"]) == (runs[0]["due_at"], 1)
    assert after["next_at"] > runs[0]["due_at"]


async def test_what_is_due_outside_its_windows_is_recorded_as_skipped(spine: Spine) -> None:
    closed = (datetime.now(UTC) + timedelta(hours=3)).strftime("%H")
    window = f'windows: [{{from: "{closed}:00", to: "{closed}:59"}}]'
    (run,) = await fire(spine, f'  - {{name: s, streams: [far.a], cron: "* * * * *", {window}}}')

    assert (run["state"], run["skip_reason"]) == ("skipped", "outside_window")
    assert await spine.fetch("SELECT 1 FROM outbox WHERE type = 'run.finished'")
    assert (await schedule(spine))["fired_count"] == 0


async def test_what_is_due_outside_a_window_that_waits_is_parked_until_it_opens(spine: Spine) -> None:
    opens = (datetime.now(UTC) + timedelta(hours=3)).replace(minute=0, second=0, microsecond=0)
    window = f'windows: [{{from: "{opens:%H}:00", to: "{opens:%H}:59", outside: wait}}]'
    (run,) = await fire(spine, f'  - {{name: s, streams: [far.a], cron: "* * * * *", {window}}}')

    assert (run["state"], run["parked_until"], run["waits_for"]) == ("queued", opens, "window")


async def test_jitter_lets_a_run_wait_as_long_as_it_says(spine: Spine) -> None:
    text = '  - {name: s, streams: [far.a], cron: "* * * * *", jitter: {kind: hash, within: 1h}}'
    (run,) = await fire(spine, text)

    assert run["waits_for"] == "jitter"
    assert run["due_at"] < run["parked_until"] <= run["due_at"] + timedelta(hours=1)


@pytest.mark.parametrize(
    ("when", "reason"),
    [
        ("parameters.on", None),
        ("parameters.off", "condition_false"),
        ("!last_run", None),
        ("last_run.state == 'succeeded'", "condition_false"),
        ("abs(parameters.text)", "condition_failed"),
    ],
)
async def test_a_run_is_made_only_when_its_condition_is_true(
    spine: Spine, when: str, reason: str | None
) -> None:
    text = f"""  - name: s
    streams: [far.a]
    cron: "* * * * *"
    when: "{when}"
    parameters: {{on: true, off: false, text: x}}
"""
    (run,) = await fire(spine, text)

    assert (run["state"], run["skip_reason"]) == (("queued" if reason is None else "skipped"), reason)
    why = (run["error_kind"], "abs()" in (run["error_message"] or ""))
    assert why == (("condition", True) if reason == "condition_failed" else (None, False))


async def test_a_condition_sees_the_last_run_of_its_schedule_and_stream(spine: Spine) -> None:
    text = """  - {name: s, streams: [far.a], cron: "* * * * *", when: "!last_run || last_run.counts.inserted > `5`"}"""
    await fire(spine, text)
    finish = "UPDATE run SET state = 'succeeded', inserted = $1 WHERE state IN ('queued', 'succeeded')"
    await spine.worker.execute(finish, 5)
    await an_hour_passes(spine)
    (_, second) = await fire_again(spine)
    await spine.worker.execute(finish, 6)
    await an_hour_passes(spine)
    (_, _, third) = await fire_again(spine)

    assert (second["skip_reason"], third["state"]) == ("condition_false", "queued")


async def test_a_schedule_is_over_after_its_last_run(spine: Spine) -> None:
    text = '  - {name: s, streams: [far.a], cron: "* * * * *", max_runs: 2, overlap: {buffer_all: 5}}'
    await fire(spine, text)
    between = await schedule(spine)
    await an_hour_passes(spine)
    runs = await fire_again(spine)
    after = await schedule(spine)

    assert between["state"] == "active"
    assert len(runs) == 2
    assert (after["state"], after["state_reason"], after["next_at"]) == ("expired", "max_runs", None)


async def test_due_times_whose_runs_are_skipped_are_none_of_its_last_runs(spine: Spine) -> None:
    closed = (datetime.now(UTC) + timedelta(hours=3)).strftime("%H")
    for more in (f'windows: [{{from: "{closed}:00", to: "{closed}:59"}}]', "when: parameters.on"):
        await fire(spine, f'  - {{name: s, streams: [far.a], cron: "* * * * *", max_runs: 1, {more}}}')
        after = await schedule(spine)
        assert (after["state"], after["fired_count"]) == ("active", 0)
        await an_hour_passes(spine)
    await fire(spine, '  - {name: s, streams: [far.a], cron: "* * * * *", max_runs: 1, when: "!last_run"}')

    assert (await schedule(spine))["state_reason"] == "max_runs"


async def test_a_due_time_that_overlaps_is_none_of_its_last_runs(spine: Spine) -> None:
    text = '  - {name: s, streams: [far.a], cron: "* * * * *", max_runs: 2}'
    await fire(spine, text)
    await spine.worker.execute(  # the first one goes on
        "UPDATE run SET due_at = due_at - interval '2 minutes', id = gen_random_uuid()"
    )
    (_, overlapping) = await fire_again(spine)
    between = await schedule(spine)
    await spine.worker.execute("UPDATE run SET state = 'succeeded' WHERE state <> 'skipped'")
    await an_hour_passes(spine)
    await fire_again(spine)

    assert overlapping["skip_reason"] == "overlap"
    assert (between["state"], between["fired_count"]) == ("active", 1)
    assert (await schedule(spine))["state_reason"] == "max_runs"


async def test_more_runs_or_a_later_end_bring_an_expired_schedule_back(spine: Spine) -> None:
    text = '  - {name: s, streams: [far.a], cron: "* * * * *", max_runs: %d}'
    await fire(spine, text % 1)
    await spine.apply(HEAD + text % 1)
    still = await schedule(spine)
    await spine.apply(HEAD + text % 2)
    again = await schedule(spine)

    assert still["state"] == "expired"
    assert (again["state"], again["next_at"] is not None) == ("active", True)


@pytest.mark.parametrize(("catch_up", "count"), [("none", 0), ("latest", 1), ("{all: 3}", 3)])
async def test_what_was_missed_is_made_up_for_as_the_schedule_says(
    spine: Spine, catch_up: str, count: int
) -> None:
    text = f"""  - name: s
    streams: [far.a]
    cron: "0 * * * *"
    catch_up: {catch_up}
"""
    await spine.apply(HEAD + text)
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    await spine.worker.execute("UPDATE schedule SET next_at = $1", hour - timedelta(hours=4))
    # an hour whose beginning is some seconds ago was not missed
    fresh = 1 if datetime.now(UTC) - hour < timedelta(seconds=9) and catch_up == "none" else 0
    async with spine.worker.transaction() as connection:
        await fire_due(connection)

    states = [row["state"] for row in await spine.fetch("SELECT state FROM run")]
    assert states == ["queued"] * (count + fresh)


async def test_what_is_made_up_for_overlaps_runs_from_before_and_goes_at_once_only_as_far_as_allowed(
    spine: Spine,
) -> None:
    text = """  - {name: s, streams: [far.a], cron: "0 * * * *", catch_up: {all: 3}}
  - {name: beside, streams: [far.b], cron: "0 * * * *", catch_up: {all: 3}, overlap: {allow: 2}}
"""
    await spine.apply(HEAD + text)
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    due = "UPDATE schedule SET next_at = $1"
    await spine.worker.execute(due, hour - timedelta(hours=4))
    async with spine.worker.transaction() as connection:
        await fire_due(connection)
    admitted = await spine.row("SELECT count(*) AS n FROM run WHERE stream = 'b' AND admitted_at IS NOT NULL")
    await spine.worker.execute(
        "UPDATE schedule SET next_at = $1, last_due_at = NULL", hour - timedelta(hours=9)
    )
    await spine.worker.execute("UPDATE run SET due_at = due_at - interval '9 hours'")
    async with spine.worker.transaction() as connection:
        await fire_due(connection)

    states = [
        row["state"] for row in await spine.fetch("SELECT state FROM run WHERE stream = 'a' ORDER BY due_at")
    ]
    assert admitted["n"] <= 2
    assert states == ["queued"] * 3 + ["skipped"] * 3


async def test_a_calendar_that_changes_moves_the_next_due_time(spine: Spine) -> None:
    today = datetime.now(UTC).date()
    days = [(today + timedelta(days=step)).isoformat() for step in range(3)]
    text = '  - {name: s, streams: [far.a], cron: "0 0 * * *", exclude: [holidays]}\n'
    await spine.apply(HEAD + text + "calendars: [{name: holidays, dates: []}]")
    before = (await schedule(spine))["next_at"]
    await spine.apply(f"version: 1\ncalendars: [{{name: holidays, dates: {days}}}]".replace("'", '"'))
    after = (await schedule(spine))["next_at"]

    assert (before.date(), after.date()) == (today + timedelta(days=1), today + timedelta(days=3))


async def test_a_schedule_that_cannot_be_computed_stops_alone(spine: Spine) -> None:
    await spine.apply(HEAD + '  - {name: s, streams: [far.a], cron: "* * * * *"}')
    bad_one = '{"name": "bad", "streams": ["far.a"], "cron": "61 * * * *"}'
    insert = "INSERT INTO schedule (tenant, name, definition, next_at) VALUES ('default', 'bad', $1::text::jsonb, now())"
    await _as_owner(spine, insert, bad_one)
    (run,) = await fire_again(spine)
    bad = await spine.row("SELECT state, state_reason FROM schedule WHERE name = 'bad'")

    assert run["state"] == "queued"
    assert bad["state"] == "error"
    assert "61 is outside 0 to 59" in bad["state_reason"]


async def test_a_tenant_with_one_schedule_does_not_wait_behind_one_with_many(spine: Spine) -> None:
    await spine.apply(HEAD + '  - {name: s, streams: [far.a], cron: "* * * * *"}')
    insert = "INSERT INTO tenant (name) VALUES ('big'), ('small')"
    await _as_owner(spine, insert)
    many = """INSERT INTO schedule (tenant, name, definition, next_at)
        SELECT t.name, 's' || n, $1::text::jsonb, date_trunc('minute', now())
          FROM (VALUES ('big', 500), ('small', 1)) AS t (name, most) CROSS JOIN LATERAL generate_series(1, t.most) AS n"""
    await _as_owner(spine, many, '{"name": "s1", "streams": ["far.a"], "cron": "* * * * *"}')
    firing = Firing(limit=50)
    looks = 0
    while not await spine.fetch("SELECT 1 FROM run WHERE tenant = 'small'"):
        async with spine.worker.transaction() as connection:
            await firing.look(connection)
        looks += 1

    assert looks <= 3
    assert (await spine.row("SELECT count(*) AS late FROM schedule WHERE next_at <= now()"))["late"] > 300


async def _as_owner(spine: Spine, statement: str, *values: Any) -> None:
    connection = await asyncpg.connect(spine.url, server_settings={"search_path": "headwater"})
    try:
        await connection.execute(statement, *values)
    finally:
        await connection.close()


async def _look(spine: Spine, due_in: timedelta, **how: Any) -> Look:
    async with spine.worker.transaction() as connection:
        await connection.execute("UPDATE schedule SET next_at = clock_timestamp() + $1", due_in)
        return await Firing().look(connection, **how)


SOON = timedelta(seconds=AHEAD_S / 2)


async def test_a_look_shortly_before_a_due_time_stays_until_then(spine: Spine) -> None:
    await spine.apply(HEAD + '  - {name: s, streams: [far.a], cron: "* * * * *"}')

    later = await _look(spine, timedelta(seconds=30))
    (run_count,) = await spine.row("SELECT count(*) FROM run")
    now = await _look(spine, SOON)

    assert (later.fired, run_count) == (0, 0)
    assert later.due_s is not None
    assert 20 < later.due_s <= 30
    assert (now.fired, now.at) == (1, None)
    run = await spine.row("SELECT created_at >= due_at AS is_in_time FROM run")
    assert run["is_in_time"]


async def _fire_ahead(spine: Spine) -> Look | None:
    """Fire `s`, which is due in a minute, ahead."""
    async with spine.worker.transaction() as connection:
        due_at = await connection.fetchval(
            "UPDATE schedule SET next_at = clock_timestamp() + interval '1 minute' RETURNING next_at"
        )
        since = await starts.open_since(connection, due_at)
        return await fire_ahead(connection, await schedules.claim_ahead(connection, due_at, since), since, 10)


async def test_what_is_known_before_is_fired_before_and_told_when_it_is_due(spine: Spine) -> None:
    await spine.apply(HEAD + '  - {name: s, streams: [far.a], cron: "* * * * *"}')
    clock = asyncio.get_running_loop().time
    began = clock()

    look = await _look(spine, SOON, may_go=True)

    assert (look.fired, len(look.going)) == (1, 1)
    assert look.at is not None
    assert began + SOON.total_seconds() <= look.at <= clock() + SOON.total_seconds()
    run = await spine.row("SELECT due_at FROM run")
    assert (await schedule(spine))["next_at"] > run["due_at"]


async def test_a_run_that_is_fired_ahead_counts_as_let_go_when_it_is_due(spine: Spine) -> None:
    await spine.apply(HEAD + '  - {name: s, streams: [far.a], cron: "* * * * *"}')

    look = await _fire_ahead(spine)

    assert look is not None
    assert (look.fired, len(look.going)) == (1, 1)
    run = await spine.row("SELECT created_at < due_at AS is_ahead, admitted_at = due_at AS is_due FROM run")
    assert (run["is_ahead"], run["is_due"]) == (True, True)


JUDGED_WHEN_DUE = [
    ", max_runs: 3",
    ", jitter: 30s",
    ', when: "`true`"',
    ', windows: [{from: "00:00", to: "23:59"}]',
]


async def test_what_is_judged_when_it_is_due_is_not_fired_before(spine: Spine) -> None:
    for more in JUDGED_WHEN_DUE:
        await spine.apply(HEAD + f'  - {{name: s, streams: [far.a], cron: "* * * * *"{more}}}')

        assert await _fire_ahead(spine) is None, more
        look = await _look(spine, SOON, may_go=True)

        assert (look.fired, look.at) == (1, None), more
        run = await spine.row("SELECT created_at >= due_at AS is_in_time FROM run")
        assert run["is_in_time"], more
        await spine.worker.execute("DELETE FROM run")
        await spine.worker.execute("DELETE FROM stream_slot")


async def test_whether_a_run_overlaps_the_one_before_is_seen_when_it_is_due(spine: Spine) -> None:
    await fire(spine, '  - {name: s, streams: [far.a, far.b], cron: "* * * * *"}', late=timedelta(minutes=2))

    assert await _fire_ahead(spine) is None
    look = await _look(spine, SOON, may_go=True)

    assert (look.fired, look.at) == (1, None)
    rows = await spine.fetch("SELECT skip_reason FROM run ORDER BY due_at, stream")
    assert [row["skip_reason"] for row in rows] == [None, None, "overlap", "overlap"]


async def test_a_run_that_does_not_go_is_left_alone_until_it_is_due(spine: Spine) -> None:
    await spine.apply(HEAD + '  - {name: s, streams: [far.a], cron: "* * * * *", max_running: 5}')

    look = await _fire_ahead(spine)
    async with spine.worker.transaction() as connection:
        admitted = await admission.admit(connection, 10)

    assert look is not None
    assert (look.fired, list(look.going), look.is_waiting) == (1, [], True)
    run = await spine.row("SELECT state, admitted_at, parked_until = due_at AS is_parked FROM run")
    assert (run["state"], run["admitted_at"], run["is_parked"], admitted) == ("queued", None, True, [])
