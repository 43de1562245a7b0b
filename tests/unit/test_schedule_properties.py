"""What holds for every cron expression, zone and moment: due times rise, stay the same, and are what matches."""

from datetime import datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.support.clock_changes import CASES
from tests.support.schedule_oracle import Oracle, random_expression

from headwater.model.schedule import ScheduleError, Timetable, next_after, parse_timetable, preview

MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)
SPAN = 600  # minutes that are looked at one by one

MOMENTS = [
    (zone, datetime.fromisoformat(text))
    for zone, _, after, due in CASES
    for text in (after, *due.split()[:2])
]


@st.composite
def questions(draw: st.DrawFn) -> tuple[str, str, datetime]:
    """A zone, an expression that often names the hour that the clock shows, and a moment near a change of the clock."""
    zone, near = draw(st.sampled_from(MOMENTS))
    start = near + draw(st.integers(-150, 150)) * MINUTE
    seed = draw(st.integers(0, 2**32))
    return zone, random_expression(Random(seed), near=start.astimezone(ZoneInfo(zone)).hour), start


PROPERTY = settings(max_examples=250, deadline=None, derandomize=True, database=None)


def read(expression: str, zone: str, *, match_all: bool) -> Timetable:
    try:
        return parse_timetable(crons=[expression], timezone=zone, day_match="all" if match_all else "any")
    except ScheduleError as error:
        assert "never fires" in error.cause
        assume(condition=False)
        raise


@PROPERTY
@given(questions(), st.booleans(), st.floats(0, 60))
def test_due_times_rise_and_stay_the_same_whenever_and_wherever_they_are_asked_for(
    question: tuple[str, str, datetime], match_all: bool, shift_s: float
) -> None:
    zone, expression, start = question
    start += timedelta(seconds=shift_s)
    timetable = read(expression, zone, match_all=match_all)

    found = [each.utc for each in preview(timetable, start, 12)]

    assert all(each.microsecond == 0 for each in found)
    for sooner, later in zip([start, *found], found, strict=False):
        assert sooner < later
        assert next_after(timetable, sooner + (later - sooner) * 0.7) == later
        assert next_after(timetable, later - timedelta(microseconds=1)) == later
        assert next_after(timetable, sooner.astimezone(ZoneInfo("Asia/Kathmandu"))) == later
    assert found == [each.utc for each in preview(read(expression, zone, match_all=match_all), start, 12)]


@PROPERTY
@given(questions(), st.booleans())
def test_what_is_due_is_the_first_that_matches_and_what_matches_is_due(
    question: tuple[str, str, datetime], match_all: bool
) -> None:
    name, expression, start = question
    timetable, oracle = read(expression, name, match_all=match_all), Oracle(expression, match_all)
    zone = ZoneInfo(name)

    due = next(iter(preview(timetable, start, 1)), None)

    for minute in range(1, SPAN):
        wall = (start + minute * MINUTE).astimezone(zone)
        if wall.second or (due is not None and start + minute * MINUTE >= due.utc):
            break
        assert not oracle.fits(wall.replace(tzinfo=None)) or (wall.fold and not oracle.is_interval), wall
    if due is None:
        return
    if "moved" in due.marks:
        before = (due.utc - SECOND).astimezone(zone).replace(tzinfo=None)
        assert oracle.plain_hours
        assert due.at.replace(tzinfo=None) - before > SECOND, "no time is missing there"
    else:
        assert oracle.fits(due.at.replace(tzinfo=None, second=0))
        assert not due.at.fold or oracle.is_interval
