"""What is made up for after a time without a timer, and jitter."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from headwater.model.schedule import due_times, next_after, parse_timetable
from headwater.model.schedule_policy import MISSED_CAP, CatchUp, due_now, jitter_s, latest_due

HOURLY = parse_timetable(crons=["0 * * * *"])
MINUTELY = parse_timetable(interval="1m")


def at(text):
    return datetime.fromisoformat(f"2026-03-02T{text}+00:00")


def test_nothing_is_due_before_its_time():
    due = due_now(HOURLY, at("10:00:00"), at("09:59:59.999"), CatchUp())

    assert (due.boundaries, due.missed_count, due.next_at) == ((), 0, at("10:00:00"))


@pytest.mark.parametrize("kind", ["none", "latest", "all"])
def test_what_is_due_just_now_runs_whatever_the_policy(kind):
    due = due_now(HOURLY, at("10:00:00"), at("10:00:00.25"), CatchUp(kind))

    assert (due.boundaries, due.missed_count, due.next_at) == ((at("10:00:00"),), 0, at("11:00:00"))


def test_latest_runs_the_last_missed_time_within_its_window():
    due = due_now(HOURLY, at("06:00:00"), at("10:59:00"), CatchUp())

    assert (due.boundaries, due.missed_count, due.next_at) == ((at("10:00:00"),), 4, at("11:00:00"))


def test_latest_leaves_out_what_is_older_than_its_window():
    daily = parse_timetable(crons=["0 2 * * *"])

    late = due_now(daily, at("02:00:00"), at("03:00:01"), CatchUp())
    in_time = due_now(daily, at("02:00:00"), at("03:00:00"), CatchUp())
    wider = due_now(daily, at("02:00:00"), at("03:00:01"), CatchUp(window_s=7200))

    assert (late.boundaries, late.missed_count, late.next_at) == ((), 1, at("02:00:00") + timedelta(days=1))
    assert in_time.boundaries == wider.boundaries == (at("02:00:00"),)


def test_none_makes_up_for_nothing_but_a_busy_moment():
    busy = due_now(HOURLY, at("10:00:00"), at("10:00:10"), CatchUp("none"))
    down = due_now(HOURLY, at("10:00:00"), at("10:00:11"), CatchUp("none"))

    assert (busy.boundaries, busy.missed_count) == ((at("10:00:00"),), 0)
    assert (down.boundaries, down.missed_count, down.next_at) == ((), 1, at("11:00:00"))


def test_all_runs_the_latest_ones_oldest_first():
    due = due_now(HOURLY, at("01:00:00"), at("10:30:00"), CatchUp("all", most=3))

    assert due.boundaries == (at("08:00:00"), at("09:00:00"), at("10:00:00"))
    assert due.missed_count == 7
    assert due.next_at == at("11:00:00")


def test_all_runs_no_more_than_there_were():
    due = due_now(HOURLY, at("09:00:00"), at("10:30:00"), CatchUp("all", most=50))

    assert (due.boundaries, due.missed_count) == ((at("09:00:00"), at("10:00:00")), 0)


def test_a_single_time_that_was_missed_is_over_afterwards():
    once = parse_timetable(once=at("10:00:00"))

    due = due_now(once, at("10:00:00"), at("10:30:00"), CatchUp())

    assert (due.boundaries, due.missed_count, due.next_at) == ((at("10:00:00"),), 0, None)


def test_counting_what_was_missed_is_bounded():
    due = due_now(MINUTELY, at("00:00:00") - timedelta(days=700), at("10:00:30"), CatchUp())

    assert (due.boundaries, due.missed_count) == ((at("10:00:00"),), MISSED_CAP)


@pytest.mark.parametrize("arguments", [{"most": 0}, {"most": 1001}, {"window_s": 59}])
def test_a_catch_up_out_of_bounds_is_refused(arguments):
    with pytest.raises(ValueError, match="catch-up"):
        CatchUp("all", **arguments)


def test_the_latest_due_time_is_the_one_that_walking_finds():
    draw = random.Random("latest")
    for cron in ("0 * * * *", "*/7 3 * * *", "0 0 L * *", "*/13 * * * * *", "15,45 1-3 * * SUN"):
        timetable = parse_timetable(crons=[cron], timezone="Europe/Berlin")
        start = datetime(2026, 3, 28, 20, tzinfo=UTC)
        walked = []
        for due in due_times(timetable, start):
            walked.append(due)
            if len(walked) == 120:
                break
        for _ in range(12):
            until = start + draw.random() * (walked[-1] - start)
            expected = max((due for due in walked if due <= until), default=None)
            assert latest_due(timetable, start, until) == expected, (cron, until)


def test_the_latest_due_time_of_a_long_time_is_found_in_few_steps():
    assert latest_due(MINUTELY, at("00:00:00") - timedelta(days=3000), at("10:00:59")) == at("10:00:00")
    assert next_after(MINUTELY, at("10:00:00")) == at("10:01:00")


def test_hashed_jitter_keeps_its_distance_and_spreads():
    drawn = {key: jitter_s("hash", 59, f"default/{key}") for key in range(500)}

    assert drawn == {key: jitter_s("hash", 59, f"default/{key}") for key in range(500)}
    assert set(drawn.values()) == set(range(60))


def test_random_jitter_covers_its_range_and_no_more():
    assert {jitter_s("random", 3, "", n / 1000) for n in range(1000)} == {0, 1, 2, 3}
    assert jitter_s("random", 3, "", 1.0) == 3


@pytest.mark.parametrize(("kind", "most"), [("none", 60), ("hash", 0), ("random", 0)])
def test_without_jitter_a_run_starts_on_time(kind, most):
    assert jitter_s(kind, most, "default/orders", 0.9) == 0
