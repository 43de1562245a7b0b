"""The implementation against a slow oracle that looks at every minute."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from tests.support.schedule_oracle import Oracle, clock_of, first_after, random_expression

from headwater.model.schedule import ScheduleError, next_after, parse_timetable

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
WINDOWS = {  # 40 hours around a change of the offset, the change in the second half
    "spring in Berlin": ("Europe/Berlin", datetime(2026, 3, 28, 4)),
    "autumn in Berlin": ("Europe/Berlin", datetime(2026, 10, 24, 4)),
    "spring in New York": ("America/New_York", datetime(2026, 3, 7, 10)),
    "autumn in New York": ("America/New_York", datetime(2026, 10, 31, 10)),
    "half an hour back on Lord Howe": ("Australia/Lord_Howe", datetime(2026, 4, 3, 18)),
    "half an hour ahead on Lord Howe": ("Australia/Lord_Howe", datetime(2026, 10, 2, 18)),
    "the day that Samoa skipped": ("Pacific/Apia", datetime(2011, 12, 29, 10)),
    "the day that Kwajalein skipped": ("Pacific/Kwajalein", datetime(1993, 8, 20, 12)),
    "a midnight that Sao Paulo skipped": ("America/Sao_Paulo", datetime(2018, 11, 3, 6)),
    "a midnight that Sao Paulo had twice": ("America/Sao_Paulo", datetime(2018, 2, 17, 6)),
    "Ramadan begins in Casablanca": ("Africa/Casablanca", datetime(2026, 2, 14, 6)),
    "Ramadan ends in Casablanca": ("Africa/Casablanca", datetime(2026, 3, 21, 6)),
    "a quarter of an hour in Kathmandu": ("Asia/Kathmandu", datetime(1985, 12, 31, 0)),
    "half an hour back in Caracas": ("America/Caracas", datetime(2007, 12, 8, 12)),
    "half an hour ahead in Caracas": ("America/Caracas", datetime(2016, 4, 30, 12)),
    "half an hour before midnight in Pyongyang": ("Asia/Pyongyang", datetime(2018, 5, 4, 0)),
    "two hours at Troll": ("Antarctica/Troll", datetime(2026, 3, 28, 4)),
    "two hours back at Troll": ("Antarctica/Troll", datetime(2026, 10, 24, 4)),
    "a midnight that Havana had twice": ("America/Havana", datetime(2026, 10, 31, 8)),
    "Moscow gives up its winter time": ("Europe/Moscow", datetime(2014, 10, 25, 4)),
    "negative summer time in Dublin": ("Europe/Dublin", datetime(2026, 10, 24, 4)),
    "no change at all in Kolkata": ("Asia/Kolkata", datetime(2026, 3, 28, 4)),
}


def change_in(clock):
    """The first instant with another offset than the start, and the hour that the clock showed before it."""
    offset = clock[0][0].replace(tzinfo=None) - clock[0][1]
    changed = (
        at for at, (instant, wall) in enumerate(clock) if instant.replace(tzinfo=None) - wall != offset
    )
    at = next(changed, 1)
    return clock[at][0], clock[at - 1][1].hour


def assert_like_the_oracle(expression, zone, clock, tick, draw, *, change, match_all=False):
    try:
        timetable = parse_timetable(
            crons=[expression], timezone=zone, day_match="all" if match_all else "any"
        )
    except ScheduleError as error:
        assert "never fires" in error.cause
        assert Oracle(expression, match_all).fires(clock, tick) == []
        return
    expected = Oracle(expression, match_all).fires(clock, tick)
    start, end = clock[0][0], clock[-1][0]
    moments = [start, *expected[:-1]]  # each due time once from the one before it
    if len(moments) > 60:
        moments = draw.sample(moments, 60)
    moments += [start + draw.random() * (end - start) for _ in range(3)]
    moments += [max(start, change + draw.uniform(-1, 1) * HOUR) for _ in range(6)]
    for moment in moments:
        due = first_after(expected, moment)
        found = next_after(timetable, moment)
        shown = found if found is not None and found <= end else None
        assert shown == due, f"{expression!r} in {zone} after {moment}: {shown}, the oracle says {due}"


@pytest.mark.parametrize("window", WINDOWS)
def test_random_expressions_agree_with_looking_at_every_minute(window):
    zone, start = WINDOWS[window]
    clock = clock_of(zone, start.replace(tzinfo=UTC), 40, MINUTE)
    assert len({instant.replace(tzinfo=None) - wall for instant, wall in clock}) == (
        1 if "no change" in window else 2
    )
    change, hour = change_in(clock)
    draw = random.Random(f"minutes {window}")

    for _ in range(20):
        expression, match_all = random_expression(draw, near=hour), draw.random() < 0.3
        assert_like_the_oracle(expression, zone, clock, MINUTE, draw, change=change, match_all=match_all)


@pytest.mark.parametrize("window", ["spring in Berlin", "autumn in Berlin", "half an hour back on Lord Howe"])
def test_random_expressions_with_seconds_agree_with_looking_at_every_second(window):
    zone, start = WINDOWS[window]
    clock = clock_of(zone, start.replace(tzinfo=UTC) + timedelta(hours=19), 4, SECOND)
    assert len({instant.replace(tzinfo=None) - wall for instant, wall in clock}) == 2
    change, hour = change_in(clock)
    draw = random.Random(f"seconds {window}")

    for _ in range(8):
        expression = random_expression(draw, seconds=True, near=hour)
        assert_like_the_oracle(expression, zone, clock, SECOND, draw, change=change)


def test_random_day_rules_agree_with_looking_at_every_day():
    draw = random.Random("days")
    days = [datetime(2027, 1, 1, 12, tzinfo=UTC) + n * timedelta(days=1) for n in range(2 * 366)]
    for _ in range(120):
        expression = "0 12 " + random_expression(draw).split(" ", 2)[2]
        match_all = draw.random() < 0.5
        oracle = Oracle(expression, match_all)
        expected = [day for day in days if oracle.day_fits(day.date())]
        try:
            timetable = parse_timetable(crons=[expression], day_match="all" if match_all else "any")
        except ScheduleError as error:
            assert "never fires" in error.cause
            assert expected == []
            continue

        for moment in [days[0] - MINUTE, *draw.sample(expected, min(25, len(expected)))]:
            found = next_after(timetable, moment)
            due = first_after(expected, moment)
            assert (found if found is not None and found <= days[-1] else None) == due, (expression, moment)
