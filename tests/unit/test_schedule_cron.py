"""Reading cron expressions: what each item means and how each fault is told."""

import random
from datetime import UTC, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headwater.model.cron_parse import ALIASES, MAX_LENGTH, parse_cron
from headwater.model.errors import ConfigError
from headwater.model.schedule import ScheduleError, next_after, parse_timetable

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def refusal_of(*crons, **options):
    with pytest.raises(ScheduleError) as caught:
        parse_timetable(crons=crons, **options)
    return caught.value


@pytest.mark.parametrize(
    ("item", "values"),
    [
        ("*", range(60)),
        ("7", [7]),
        ("07", [7]),
        ("5,1,5", [1, 5]),
        ("5-5", [5]),
        ("0-3", [0, 1, 2, 3]),
        ("58-1", [0, 1, 58, 59]),
        ("*/20", [0, 20, 40]),
        ("*/1", range(60)),
        ("*/59", [0, 59]),
        ("50/5", [50, 55]),
        ("59/15", [59]),
        ("10-30/10", [10, 20, 30]),
        ("45-15/2", [*range(1, 16, 2), *range(45, 60, 2)]),
        ("45-15/20", [5, 45]),
        ("10-9", range(60)),
        ("*,5", range(60)),
        ("1-2,50-52/2", [1, 2, 50, 52]),
    ],
)
def test_a_minute_item_stands_for_these_values(item, values):
    assert list(parse_cron(f"{item} * * * *").minutes) == list(values)


@pytest.mark.parametrize(
    ("item", "values"),
    [
        ("0", {0}),
        ("7", {0}),
        ("sun", {0}),
        ("7-7", {0}),
        ("0-7", {0, 1, 2, 3, 4, 5, 6}),
        ("1-7", {0, 1, 2, 3, 4, 5, 6}),
        ("5-7", {5, 6, 0}),
        ("7-2", {0, 1, 2}),
        ("6-0", {6, 0}),
        ("Fri-mOn", {5, 6, 0, 1}),
        ("FRI-7", {5, 6, 0}),
        ("*/2", {0, 2, 4, 6}),
        ("*/7", {0}),
        ("1/2", {1, 3, 5, 0}),
        ("FRI-TUE/2", {5, 0, 2}),
        ("MON,WED", {1, 3}),
    ],
)
def test_a_day_of_week_item_stands_for_these_days(item, values):
    assert parse_cron(f"0 0 * * {item}").days.weekdays == values


@pytest.mark.parametrize(
    ("item", "values"),
    [
        ("JAN", {1}),
        ("nov-feb", {11, 12, 1, 2}),
        ("NOV-MAY/3", {11, 2, 5}),
        ("*/5", {1, 6, 11}),
        ("10/2", {10, 12}),
    ],
)
def test_a_month_item_stands_for_these_months(item, values):
    assert parse_cron(f"0 0 1 {item} *").days.months == values


def test_six_fields_begin_with_seconds_and_seven_end_with_the_year():
    six, seven = parse_cron("1 2 3 4 5 6"), parse_cron("1 2 3 4 5 ? 2027-2029")

    assert (six.seconds, six.minutes, six.hours) == ((1,), (2,), (3,))
    assert (six.days.days, six.days.months, six.days.weekdays, six.days.years) == ({4}, {5}, {6}, None)
    assert seven.days.years == {2027, 2028, 2029}
    assert not seven.days.by_weekday


def test_spaces_and_tabs_separate_and_surround_fields():
    assert parse_cron(" \t5  4\t* *   * ").minutes == (5,)


@pytest.mark.parametrize("alias", ALIASES)
def test_an_alias_means_its_expression_in_any_case(alias):
    meant = parse_cron(ALIASES[alias])
    for text in (alias, alias.upper(), f" {alias}\t"):
        read = parse_cron(text)
        assert (read.seconds, read.minutes, read.hours, read.days) == (
            meant.seconds,
            meant.minutes,
            meant.hours,
            meant.days,
        )


@pytest.mark.parametrize(
    ("cron", "is_interval", "plain_hours"),
    [
        ("30 2 * * *", False, True),
        ("0,30 2,3 * * *", False, True),
        ("*/15 2 * * *", True, True),
        ("1-5 2 * * *", True, True),
        ("0 2-3 * * *", True, False),
        ("0 * * * *", True, False),
        ("0 1/2 * * *", True, False),
        ("5 0 2 * * *", False, True),
        ("*/5 0 2 * * *", True, True),
        ("0 2-2 * * *", True, False),
        ("0 2 1-5 */2 MON-FRI", False, True),
        ("H H * * *", False, True),
        ("H(0-29) H(1-3) * * *", False, True),
        ("H/15 H * * *", True, True),
        ("@daily", False, True),
        ("@hourly", True, False),
    ],
)
def test_a_sign_in_second_minute_or_hour_makes_a_rhythm(cron, is_interval, plain_hours):
    expression = parse_cron(cron)

    assert (expression.is_interval, expression.has_plain_hours) == (is_interval, plain_hours)


@pytest.mark.parametrize(
    ("cron", "field", "position", "cause", "mend"),
    [
        ("*/90 * * * *", "minute", 3, "the step 90 is above", "use interval 90m"),
        ("0 0/24 * * *", "hour", 5, "the step 24 is above", "use interval 24h"),
        ("*/60 * * * * *", "second", 3, "the step 60 is above", "use interval 60s"),
        ("0 0 1-31/32 * *", "day_of_month", 10, "the step 32 is above", "use interval 32d"),
        ("0 0 1 */13 *", "month", 9, "the step 13 is above", "name the months"),
        ("0 0 * * */8", "day_of_week", 11, "the step 8 is above", "use interval 8d"),
        ("H/60 * * * *", "minute", 3, "the step 60 is above", "use interval 60m"),
        ("*/0 * * * *", "minute", 3, "a step of 0 never moves on", "from 1 to 59"),
        ("*/00 * * * *", "minute", 3, "a step of 0 never moves on", "from 1 to 59"),
        ("*/x * * * *", "minute", 3, "the step `X` is not a number", "from 1 to 59"),
        ("5/ * * * *", "minute", 3, "a step is missing", "from 1 to 59"),
        ("1/2/3 * * * *", "minute", 3, "the step `2/3` is not a number", "from 1 to 59"),
        ("*/" + "9" * 400 + " * * * *", "minute", 3, "is above this field's maximum", "or use an interval"),
        ("60 * * * *", "minute", 1, "60 is outside 0 to 59", "next hour"),
        ("1,99 * * * *", "minute", 3, "99 is outside 0 to 59", "write 0 to 59"),
        ("9" * 900 + " * * * *", "minute", 1, "is outside 0 to 59", "write 0 to 59"),
        ("0 24 * * *", "hour", 3, "24 is outside 0 to 23", "midnight is hour 0"),
        ("0 0 0 * *", "day_of_month", 5, "0 is outside 1 to 31", "the first day is 1"),
        ("0 0 32 * *", "day_of_month", 5, "32 is outside 1 to 31", "write 1 to 31"),
        ("0 0 1 0 *", "month", 7, "0 is outside 1 to 12", "the first month is 1"),
        ("0 0 1 13 *", "month", 7, "13 is outside 1 to 12", "JAN to DEC"),
        ("0 0 * * 8", "day_of_week", 9, "8 is outside 0 to 7", "SUN to SAT"),
        ("0 0 0 1 1 ? 1969", "year", 13, "1969 is outside 1970 to 2099", "1970 to 2099"),
        ("0 0 0 1 1 ? 2100", "year", 13, "2100 is outside 1970 to 2099", "1970 to 2099"),
        ("0 0 0 1 1 ? 2030-2027", "year", 13, "run backwards", "write 2027-2030"),
        ("0 0 0 1 1 ? H", "year", 13, "H has no meaning in the year", "`*`"),
        ("1,,2 * * * *", "minute", 3, "an item of the list is missing", "take the comma away"),
        (",1 * * * *", "minute", 1, "an item of the list is missing", "take the comma away"),
        ("1, * * * *", "minute", 3, "an item of the list is missing", "take the comma away"),
        ("-5 * * * *", "minute", 1, "a value is missing", "write 0 to 59"),
        ("5- * * * *", "minute", 3, "a value is missing", "write 0 to 59"),
        ("1-2-3 * * * *", "minute", 3, "`2-3` is not a value", "write 0 to 59"),
        ("** * * * *", "minute", 1, "`**` is not a value", "write 0 to 59"),
        ("*-5 * * * *", "minute", 1, "`*` is not a value", "write 0 to 59"),
        ("MON * * * *", "minute", 1, "`MON` is not a value", "write 0 to 59"),
        ("1_0 * * * *", "minute", 1, "`1_0` is not a value", "write 0 to 59"),
        ("0 0 * * MONDAY", "day_of_week", 9, "`MONDAY` is not a value", "write MON"),
        ("0 0 * JUL-DECEMBER *", "month", 11, "`DECEMBER` is not a value", "write DEC"),
        ("0 0 * L *", "month", 7, "`L` is not a value", "day of month"),
        ("0 L * * *", "hour", 3, "`L` is not a value", "day of month"),
        ("? * * * *", "minute", 1, "`?` stands alone", "write `*`"),
        ("0 0 ?,1 * *", "day_of_month", 5, "`?` stands alone", "write `*`"),
        ("0 0 ?/2 * *", "day_of_month", 5, "`?` stands alone", "write `*`"),
        ("0 0 L-0 * *", "day_of_month", 7, "counts back out of the month", "L-1 to L-30"),
        ("0 0 L-31 * *", "day_of_month", 7, "counts back out of the month", "L-1 to L-30"),
        ("0 0 L-" + "9" * 800 + " * *", "day_of_month", 7, "counts back out of the month", "L-1 to L-30"),
        ("0 0 0W * *", "day_of_month", 5, "0 is outside 1 to 31", "the first day is 1"),
        ("0 0 32W * *", "day_of_month", 5, "32 is outside 1 to 31", "write 1 to 31"),
        ("0 0 1-15W * *", "day_of_month", 5, "mixes forms", "in a list"),
        ("0 0 LW/2 * *", "day_of_month", 5, "mixes forms", "in a list"),
        ("0 0 1-L * *", "day_of_month", 5, "mixes forms", "in a list"),
        ("0 0 W * *", "day_of_month", 5, "`W` is not a value", "day of month"),
        ("0 0 5#3 * *", "day_of_month", 5, "`5#3` is not a value", "to the day of week"),
        ("0 0 * * L", "day_of_week", 9, "does not say which day", "5L"),
        ("0 0 * * 8L", "day_of_week", 9, "8 is outside 0 to 7", "SUN to SAT"),
        ("0 0 * * 1-5L", "day_of_week", 9, "mixes forms", "in a list"),
        ("0 0 * * 5#0", "day_of_week", 10, "`#0` is not a count of weeks", "#1 to #5"),
        ("0 0 * * FRI#6", "day_of_week", 12, "`#6` is not a count of weeks", "#1 to #5"),
        ("0 0 * * 5#", "day_of_week", 10, "`#` is not a count of weeks", "#1 to #5"),
        ("0 0 * * #2", "day_of_week", 9, "a value is missing", "SUN to SAT"),
        ("0 0 * * 15W", "day_of_week", 9, "`15W` is not a value", "day of month"),
        ("H(5) * * * *", "minute", 1, "names no range", "H(0-29)"),
        ("H() * * * *", "minute", 1, "names no range", "H(0-29)"),
        ("H(0-60) * * * *", "minute", 5, "60 is outside 0 to 59", "next hour"),
        ("H(1-2 * * * *", "minute", 1, "`H(1` is not a value", "write 0 to 59"),
        ("H-5 * * * *", "minute", 1, "`H` is not a value", "write 0 to 59"),
        ("0 0 30 2 *", "day_of_month", 5, "never fires", "L for a month's last day"),
        ("0 0 31 4,6,9,11 *", "day_of_month", 5, "never fires", "L for a month's last day"),
        ("0 0 L-30 2 *", "day_of_month", 5, "never fires", "L for a month's last day"),
        ("0 0 31W 6 *", "day_of_month", 5, "never fires", "L for a month's last day"),
        ("0 0 0 29 2 ? 2027", "day_of_month", 7, "never fires", "L for a month's last day"),
        ("0 0 0 ? 2 SUN#5 2027", "day_of_week", 11, "never fires", "L for a month's last day"),
        ("@reboot", "cron", 1, "@reboot has no time", "use a cron expression or an interval"),
        ("@REBOOT", "cron", 1, "@reboot has no time", "use a cron expression or an interval"),
        ("@dayly", "cron", 1, "`@dayly` is no alias", "write @daily"),
        ("@every 5m", "cron", 1, "`@every 5m` is no alias", "use interval 5m"),
        ("@", "cron", 1, "`@` is no alias", "write one of @yearly"),
        ("@daily 5", "cron", 1, "`@daily 5` is no alias", "write @daily"),
        ("0 @daily", "cron", 3, "is no alias", "write"),
        ("TZ=UTC 0 2 * * *", "cron", 1, "`TZ=UTC` is no part", "write timezone: UTC"),
        (" CRON_TZ=Europe/Berlin 0 2 * * *", "cron", 2, "is no part", "write timezone: Europe/Berlin"),
        ("every 5 minutes", "cron", 7, "is an interval", "use interval 5 minutes"),
        ("90m", "cron", 1, "is an interval", "use interval 90m"),
        ("", "cron", 1, "this one has 0", "with six fields seconds come first"),
        ("* * * *", "cron", 1, "this one has 4", "with six fields seconds come first"),
        ("* * * * * * * *", "cron", 1, "this one has 8", "with six fields seconds come first"),
        ("0 0 * * *\n", "cron", 10, "'\\n' has no place", "separated by spaces or tabs"),
        ("0\u00a00 * * *", "cron", 2, "'\\xa0' has no place", "separated by spaces or tabs"),
        ("٣ 0 * * *", "cron", 1, "'\\u0663' has no place", "separated by spaces or tabs"),
        ("0 0 * * *\x00", "cron", 10, "'\\x00' has no place", "separated by spaces or tabs"),
        ("0 0 * * 1;2", "cron", 10, "';' has no place", "separated by spaces or tabs"),
        ("*" * (MAX_LENGTH + 1), "cron", MAX_LENGTH + 1, "longer than 1000 characters", "ranges and steps"),
    ],
)
def test_a_fault_is_told_with_field_position_cause_and_mend(cron, field, position, cause, mend):
    error = refusal_of(cron)

    assert (error.field, error.position) == (field, position)
    assert cause in error.cause
    assert mend in error.mend
    assert str(error) == f"{field}, character {position}: {error.cause}; {error.mend}"
    assert isinstance(error, ConfigError)


def test_the_faulty_one_of_several_crons_is_named():
    assert refusal_of("0 0 * * *", "0 25 * * *").specification == "crons[1]"
    assert refusal_of("0 25 * * *").specification == "cron"


def test_days_that_never_meet_are_refused_when_both_must_match():
    assert parse_timetable(crons=["0 0 30 2 MON"]).crons
    assert "never fires" in refusal_of("0 0 30 2 MON", day_match="all").cause


def test_a_past_year_is_refused_when_the_moment_is_known():
    past = "0 0 0 1 1 ? 2020-2025"

    error = refusal_of(past, now=NEW_YEAR)

    assert (error.field, error.position) == ("year", 13)
    assert "no due time left after 2026-01-01" in error.cause
    assert "after the year 2099" in refusal_of("0 0 * * *", now=NEW_YEAR.replace(year=2101)).cause
    assert next_after(parse_timetable(crons=[past]), NEW_YEAR) is None
    assert parse_timetable(crons=[past.replace("2025", "2027")], now=NEW_YEAR).crons


def test_a_rhythm_that_lies_in_gaps_only_is_refused_when_the_moment_is_known():
    inside_the_gap = "30 2-2 * 3 SUNL"  # Berlin leaves out 02:30 on each last Sunday of March

    assert refusal_of(inside_the_gap, timezone="Europe/Berlin", now=NEW_YEAR).field == "hour"
    assert parse_timetable(crons=[inside_the_gap], timezone="Europe/Paris").crons
    assert parse_timetable(crons=[inside_the_gap], timezone="UTC", now=NEW_YEAR).crons


def test_the_same_name_always_draws_the_same_time_and_names_spread():
    keys = [f"default/{n}" for n in range(400)]
    drawn = [parse_cron("H H H H H", hash_key=key) for key in keys]

    assert drawn == [parse_cron("H H H H H", hash_key=key) for key in keys]
    assert {one.minutes[0] for one in drawn} == set(range(60))
    assert {one.hours[0] for one in drawn} == set(range(24))
    assert {day for one in drawn for day in one.days.days} == set(range(1, 29))
    assert {month for one in drawn for month in one.days.months} == set(range(1, 13))
    assert {day for one in drawn for day in one.days.weekdays} == set(range(7))


def test_the_fields_of_one_name_are_drawn_apart():
    drawn = [parse_cron("H H * * *", hash_key=f"{n}") for n in range(100)]

    assert len({(one.minutes, one.hours) for one in drawn}) > 90


@pytest.mark.parametrize("key", ["a", "b", "default/orders", "ü", "\ud800"])
def test_a_hashed_range_or_rhythm_stays_within_its_bounds(key):
    assert parse_cron("H(10-19) * * * *", hash_key=key).minutes[0] in range(10, 20)
    assert parse_cron("0 H(22-2) * * *", hash_key=key).hours[0] in (22, 23, 0, 1, 2)
    quarters = parse_cron("H/15 * * * *", hash_key=key).minutes
    assert quarters[0] < 15
    assert list(quarters) == list(range(quarters[0], 60, 15))
    within = parse_cron("H(30-59)/10 * * * *", hash_key=key).minutes
    assert len(within) == 3
    assert within[0] in range(30, 40)
    assert parse_cron("H(5-6)/50 * * * *", hash_key=key).minutes[0] in (5, 6)


ALPHABET = st.text(alphabet="0123456789*/,-?#LWH() \t@adeilyMONJFnrsuw_", max_size=40)
FIELDS = st.lists(
    st.text(alphabet="0123456789*/,-?#LWH()MON", min_size=1, max_size=6), min_size=4, max_size=8
)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.one_of(ALPHABET, st.text(max_size=30), FIELDS.map(" ".join)))
@example("0 0 L-١ * *")
def test_any_text_is_either_read_or_refused_with_a_mend(text):
    try:
        timetable = parse_timetable(crons=[text])
    except ScheduleError as error:
        assert error.cause
        assert error.mend
        assert error.position is not None
        assert 1 <= error.position <= len(text) + 1
    else:
        due = next_after(timetable, NEW_YEAR)
        assert due is None or due > NEW_YEAR


def test_due_times_follow_one_another_and_never_repeat():
    draw = random.Random("ascending")
    for cron in ("*/7 * * * *", "0 2 * * *", "30 */3 L * *", "15,45 1-3 * * SUN", "*/13 */11 * * * *"):
        timetable = parse_timetable(crons=[cron], timezone=draw.choice(["Europe/Berlin", "Asia/Kolkata"]))
        moment = datetime(2026, 3, 28, tzinfo=UTC)
        for _ in range(60):
            due = next_after(timetable, moment)
            assert due > moment
            assert due.tzinfo is UTC
            assert due.microsecond == 0
            assert next_after(timetable, moment + (due - moment) / 2) == due
            moment = due
