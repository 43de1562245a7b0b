"""Timetables: intervals, single times, presets, several specifications at once, previews and sentences."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from headwater.model.schedule import (
    PRESETS,
    ScheduleError,
    describe,
    due_times,
    next_after,
    parse_timetable,
    preview,
    smallest_gap_s,
    warnings_for,
)
from headwater.model.schedule_interval import parse_interval, short_text

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


def at(text):
    return datetime.fromisoformat(text).astimezone(UTC)


def refusal_of(**options):
    with pytest.raises(ScheduleError) as caught:
        parse_timetable(**options)
    return caught.value


def test_an_interval_falls_on_multiples_of_itself_since_1970():
    timetable = parse_timetable(interval="90m")

    assert next_after(timetable, NEW_YEAR) == at("2026-01-01T01:30Z")
    assert next_after(timetable, at("2026-01-01T01:29:59.999999Z")) == at("2026-01-01T01:30Z")
    assert next_after(timetable, at("2026-01-01T01:30Z")) == at("2026-01-01T03:00Z")


@pytest.mark.parametrize(
    "anchor", ["2026-01-01T00:07:30Z", "2031-05-05T13:07:30+02:00", "1999-12-31T23:37:30.9Z"]
)
def test_an_anchor_sets_the_phase_whether_it_lies_before_or_ahead(anchor):
    timetable = parse_timetable(interval="30m", anchor=datetime.fromisoformat(anchor))

    assert next_after(timetable, NEW_YEAR) == at("2026-01-01T00:07:30Z")
    assert next_after(timetable, at("2026-01-01T00:07:30Z")) == at("2026-01-01T00:37:30Z")


def test_an_interval_does_not_mind_clocks_that_change():
    timetable = parse_timetable(interval="1h", timezone="Europe/Berlin")

    found = list(zip(range(5), due_times(timetable, at("2026-10-24T23:00Z")), strict=False))

    assert [due.hour for _, due in found] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1),
        ("90s", 90),
        ("15 min", 900),
        ("1 hour", 3600),
        ("1h 30m", 5400),
        ("1w2d3h4m5s", 788_645),
        ("2 weeks", 1_209_600),
        ("PT90S", 90),
        ("PT1H30M", 5400),
        ("P1D", 86_400),
        ("P1DT0H1M", 86_460),
        (" 5m ", 300),
        ("0h5m", 300),
    ],
)
def test_an_interval_is_read_in_either_form(text, seconds):
    assert parse_interval(text).every_s == seconds


@pytest.mark.parametrize(
    ("text", "position", "cause", "mend"),
    [
        ("", 1, "empty", "90m"),
        ("90", 3, "no unit", "90s or 90m"),
        ("0s", 1, "no time at all", "1s"),
        ("PT0S", 1, "no time at all", "1s"),
        ("1.5h", 1, "fraction", "smaller unit"),
        ("PT0.5H", 1, "fraction", "smaller unit"),
        ("15M", 1, "capitals", "write 15m"),
        ("P1M", 1, "months or years", "cron"),
        ("P1Y", 1, "months or years", "cron"),
        ("2 months", 1, "months or years", "cron"),
        ("every 5m", 1, "goes without saying", "write 5m"),
        ("30m1h", 1, "not an interval", "1h30m"),
        ("1h1h", 1, "not an interval", "1h30m"),
        ("-5m", 1, "not an interval", "1h30m"),
        ("5_0m", 1, "not an interval", "1h30m"),
        ("٥m", 1, "not an interval", "1h30m"),
        ("PT", 1, "not an interval", "PT15M"),
        ("P1DT", 1, "not an interval", "PT15M"),
        ("P1W1D", 1, "not an interval", "PT15M"),
        ("1h\n", 1, "not an interval", "1h30m"),
        ("9999999999999h", 1, "not an interval", "1h30m"),
        ("99999d", 1, "more than ten years", "shorter"),
    ],
)
def test_an_interval_that_cannot_be_kept_is_refused(text, position, cause, mend):
    error = refusal_of(interval=text)

    assert (error.field, error.position) == ("interval", position)
    assert cause in error.cause
    assert mend in error.mend


def test_an_anchor_without_a_zone_is_refused():
    assert refusal_of(interval="1h", anchor=datetime(2026, 1, 1)).field == "anchor"


def test_the_short_text_of_an_interval_reads_back():
    for seconds in (1, 59, 60, 3600, 5400, 86_400, 90_061, 604_800, 691_200):
        assert parse_interval(short_text(seconds)).every_s == seconds
    assert (short_text(5400), short_text(691_200), short_text(1_209_600)) == ("1h30m", "8d", "2w")


def test_a_single_time_comes_once():
    timetable = parse_timetable(once=datetime(2026, 5, 1, 2, tzinfo=timezone(timedelta(hours=2))))

    assert next_after(timetable, NEW_YEAR) == at("2026-05-01T00:00Z")
    assert next_after(timetable, at("2026-05-01T00:00Z")) is None
    assert smallest_gap_s(timetable, NEW_YEAR) is None


def test_a_single_time_is_never_early():
    timetable = parse_timetable(once=at("2026-05-01T00:00:00.000001Z"))

    assert next_after(timetable, NEW_YEAR) == at("2026-05-01T00:00:01Z")


@pytest.mark.parametrize(
    ("wall", "due"),
    [
        ("2026-05-01T02:00", "2026-05-01T02:00+02:00"),
        ("2026-03-29T02:30", "2026-03-29T03:00+02:00"),  # left out
        ("2026-10-25T02:30", "2026-10-25T02:30+02:00"),  # twice
    ],
)
def test_a_single_time_without_an_offset_is_wall_clock_time(wall, due):
    timetable = parse_timetable(once=datetime.fromisoformat(wall), timezone="Europe/Berlin")

    assert next_after(timetable, NEW_YEAR) == at(due)


def test_several_specifications_are_due_together_and_none_twice():
    timetable = parse_timetable(
        crons=["0 6 * * *", "0 */12 * * *", "0 6 * * *"], interval="6h", once=at("2026-01-01T06:00Z")
    )

    found = [one.at.hour for one in preview(timetable, NEW_YEAR, 5)]

    assert found == [6, 12, 18, 0, 6]
    assert smallest_gap_s(timetable, NEW_YEAR) == 6 * 3600


def test_the_smallest_gap_is_found_among_uneven_ones():
    assert smallest_gap_s(parse_timetable(crons=["0,50 * * * *"]), NEW_YEAR) == 600
    assert smallest_gap_s(parse_timetable(crons=["*/40 * * * * *"]), NEW_YEAR) == 20
    assert smallest_gap_s(parse_timetable(interval="90m"), NEW_YEAR) == 5400
    assert smallest_gap_s(parse_timetable(crons=["0 0 0 1 1 ? 2027"]), NEW_YEAR) is None


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_has_due_times(preset):
    timetable = parse_timetable(preset=preset, timezone="Europe/Berlin")

    assert len(preview(timetable, NEW_YEAR, 3)) == 3
    assert timetable.preset == preset


def test_the_promised_presets_are_what_they_promise():
    assert parse_timetable(preset="daily_2am").crons == parse_timetable(crons=["0 2 * * *"]).crons
    assert parse_timetable(preset="weekly_sunday_1am").crons == parse_timetable(crons=["0 1 * * 0"]).crons
    assert parse_timetable(preset="hourly").interval.every_s == 3600
    assert parse_timetable(preset="every_30_minutes").interval.every_s == 1800
    twice = parse_timetable(preset="twice_daily")
    assert twice.crons == parse_timetable(crons=["0 6 * * *", "0 18 * * *"]).crons


@pytest.mark.parametrize(
    ("options", "field", "mend"),
    [
        ({}, "cron", "give cron, interval, once or preset"),
        ({"preset": "daily2am"}, "preset", "write daily_2am"),
        ({"preset": "???"}, "preset", "write one of every_minute"),
        ({"preset": "hourly", "interval": "5m"}, "interval", "keep one of the two"),
        ({"crons": ["0 0 * * *"], "day_match": "both"}, "day_match", "write any or all"),
        ({"crons": ["0 0 * * *"] * 101}, "cron", "keep to 100"),
        ({"interval": "1h", "timezone": "europe/berlin"}, "timezone", "write Europe/Berlin"),
        ({"interval": "1h", "timezone": "Europe/Berlln"}, "timezone", "write Europe/Berlin"),
        ({"interval": "1h", "timezone": "UTC+2"}, "timezone", "write Etc/GMT-2"),
        ({"interval": "1h", "timezone": "-05:00"}, "timezone", "write Etc/GMT+5"),
        ({"interval": "1h", "timezone": "UTC+5:30"}, "timezone", "a place, such as Asia/Kolkata"),
        ({"interval": "1h", "timezone": "CEST"}, "timezone", "write Europe/Berlin"),
        ({"interval": "1h", "timezone": ""}, "timezone", "UTC or Europe/Berlin"),
        ({"interval": "1h", "timezone": "../../etc/passwd"}, "timezone", "Europe/Berlin"),
        ({"interval": "1h", "timezone": "/etc/localtime"}, "timezone", ""),
        ({"interval": "1h", "timezone": "localtime"}, "timezone", ""),
        ({"interval": "1h", "timezone": "right/UTC"}, "timezone", "UTC"),
        ({"interval": "1h", "timezone": "Europe"}, "timezone", "write"),
        ({"interval": "1h", "timezone": "UTC\x00"}, "timezone", "write"),
        ({"interval": "1h", "timezone": "Z" * 5000}, "timezone", "UTC or Europe/Berlin"),
    ],
)
def test_other_faults_are_told_with_their_mend(options, field, mend):
    error = refusal_of(**options)

    assert error.field == field
    assert mend in error.mend
    assert len(str(error)) < 1200


def test_a_moment_without_a_zone_is_refused():
    with pytest.raises(ValueError, match="needs a zone"):
        next_after(parse_timetable(interval="1h"), datetime(2026, 1, 1))


def test_a_preview_shows_local_times_with_their_offsets_and_marks():
    autumn = preview(
        parse_timetable(crons=["30 */2 * * *"], timezone="Europe/Berlin"), at("2026-10-25T00:00+02:00"), 4
    )
    spring = preview(
        parse_timetable(crons=["30 2 * * *"], timezone="Europe/Berlin"), at("2026-03-29T00:00+01:00"), 2
    )

    assert [(one.at.isoformat(), one.marks) for one in autumn] == [
        ("2026-10-25T00:30:00+02:00", ()),
        ("2026-10-25T02:30:00+02:00", ("first_pass",)),
        ("2026-10-25T02:30:00+01:00", ("second_pass",)),
        ("2026-10-25T04:30:00+01:00", ()),
    ]
    assert [one.utc.timestamp() for one in autumn] == [one.at.timestamp() for one in autumn]
    assert [(one.at.isoformat(), one.marks) for one in spring] == [
        ("2026-03-29T03:00:00+02:00", ("moved",)),
        ("2026-03-30T02:30:00+02:00", ()),
    ]


def test_a_due_time_of_its_own_is_not_called_moved():
    timetable = parse_timetable(crons=["30 2 * * *", "0 3 * * *"], timezone="Europe/Berlin")

    assert preview(timetable, at("2026-03-29T00:00+01:00"), 1)[0].marks == ()


def test_fixed_times_run_once_a_day_through_a_whole_year_of_changes():
    for zone in (
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "Africa/Casablanca",
        "Asia/Kolkata",
    ):
        timetable = parse_timetable(crons=["30 2 * * *"], timezone=zone)
        found = preview(timetable, NEW_YEAR, 365)
        assert len({one.at.date() for one in found}) == 365, zone


def test_the_zone_in_which_the_question_is_asked_does_not_matter():
    timetable = parse_timetable(crons=["*/10 2 * * *"], timezone="Europe/Berlin")
    ambiguous = datetime(2026, 10, 25, 2, 15, tzinfo=BERLIN, fold=1)

    assert next_after(timetable, ambiguous) == next_after(timetable, ambiguous.astimezone(UTC))
    assert next_after(timetable, ambiguous) == at("2026-10-25T02:20+01:00")


def test_the_search_ends_with_the_calendar():
    daily = parse_timetable(crons=["0 0 * * *"], timezone="Asia/Kolkata")

    assert next_after(daily, datetime(2099, 12, 31, tzinfo=UTC)) is None
    assert next_after(daily, datetime.max.replace(tzinfo=UTC)) is None
    assert next_after(daily, datetime.min.replace(tzinfo=UTC)) == at("1970-01-01T00:00+05:30")
    western = parse_timetable(crons=["0 0 * * *"], timezone="America/New_York")
    assert next_after(western, datetime.min.replace(tzinfo=UTC)) == at("1970-01-01T00:00-05:00")
    assert next_after(parse_timetable(interval="1h"), datetime.max.replace(tzinfo=UTC)) is None


@pytest.mark.parametrize(
    ("cron", "sentence"),
    [
        ("0 2 * * *", "At 02:00, every day"),
        ("0 6,18 * * *", "At 06:00 and 18:00, every day"),
        ("30 5 8 * * *", "At 08:05:30, every day"),
        ("* * * * *", "Every minute"),
        ("*/15 * * * *", "Every 15 minutes"),
        ("7/20 * * * *", "Every 20 minutes from minute 7"),
        ("*/7 * * * *", "Every 7th minute of every hour"),
        ("5,10,20 * * * *", "At minutes 5, 10 and 20 of every hour"),
        ("0 * * * *", "Every hour"),
        ("5 * * * *", "Every hour at minute 5"),
        ("0 */2 * * *", "Every 2 hours"),
        ("0 22-6 * * *", "Every hour from 22:00 to 06:00"),
        ("*/15 9-17 * * MON-FRI", "Every 15 minutes from 09:00 to 17:59, on Monday to Friday"),
        ("17 9-12,14-18 * * *", "Hourly at 09:17 to 12:17 and 14:17 to 18:17"),
        ("*/10 * * * * *", "Every 10 seconds"),
        ("* * * * * *", "Every second"),
        ("*/10 * 8 * * *", "Every 10 seconds from 08:00 to 08:59"),
        ("30 * * * * *", "At second 30 of every minute"),
        ("5,6 */20 * * * *", "At seconds 5 to 6 of minutes 0, 20 and 40 of every hour"),
        ("0 0 1,15 * *", "At 00:00, on the 1st and 15th of every month"),
        ("0 0 1-7 1 *", "At 00:00, on the 1st to 7th of January"),
        ("0 0 */2 * *", "At 00:00, every 2nd day from the 1st of every month"),
        ("0 0 L * *", "At 00:00, on the last day of the month"),
        ("0 0 L-2 3 *", "At 00:00, on the 3rd last day of the month in March"),
        ("0 0 LW * *", "At 00:00, on the weekday (Monday to Friday) nearest the last day of the month"),
        ("0 0 15W * *", "At 00:00, on the weekday (Monday to Friday) nearest the 15th of every month"),
        (
            "0 0 15W,LW * *",
            "At 00:00, on the weekday (Monday to Friday) nearest the 15th and the last day of the month",
        ),
        ("30 1/2 * * * *", "At second 30 of every 2nd minute from minute 1 of every hour"),
        ("0 0 * * FRI-MON", "At 00:00, on Friday to Monday"),
        ("0 0 * * 0,6", "At 00:00, on Saturday and Sunday"),
        ("0 0 * * 2#1,5L", "At 00:00, on the 1st Tuesday of the month and the last Friday of the month"),
        ("0 0 13 * FRI", "At 00:00, on the 13th of the month or on Friday"),
        ("0 0 L * FRI", "At 00:00, on the last day of the month or on Friday"),
        (
            "0 0 L,LW * *",
            "At 00:00, on the last day of the month and the weekday (Monday to Friday) nearest the last day of the month",
        ),
        ("0 0 * * 0-7", "At 00:00, every day"),
        ("20-59/10 * * * *", "Every 10 minutes from minute 20 to 50 of the hour"),
        ("5/10 9-17 * * *", "Every 10 minutes from minute 5, from 09:00 to 17:59"),
        ("0 0 12 * * ? 2027/2", "At 12:00, every day in every 2nd year from 2027 to 2099"),
        ("0 0 * NOV-FEB *", "At 00:00, every day in November to February"),
        ("0 0 0 1 1 ? 2027-2029", "At 00:00, on the 1st of January 2027 to 2029"),
        ("0 0 0 ? * MON 2027", "At 00:00, on Monday in 2027"),
    ],
)
def test_a_cron_is_described_in_plain_words(cron, sentence):
    assert describe(parse_timetable(crons=[cron])) == f"{sentence} (UTC)"


def test_other_timetables_are_described_in_plain_words():
    berlin = {"timezone": "Europe/Berlin"}

    assert describe(parse_timetable(interval="1h30m", **berlin)) == "Every 90 minutes (Europe/Berlin)"
    assert describe(parse_timetable(interval="1d1s")) == "Every 1 day 1 second (UTC)"
    assert (
        describe(parse_timetable(interval="1d", anchor=at("2026-01-01T02:00Z")))
        == "Every day, counted from 2026-01-01 02:00:00 UTC (UTC)"
    )
    assert (
        describe(parse_timetable(once=at("2026-05-01T00:00Z"), **berlin))
        == "Once, on 2026-05-01 at 02:00:00 (Europe/Berlin)"
    )
    assert (
        describe(parse_timetable(crons=["0 13 13 * FRI"], day_match="all"))
        == "At 13:00, on the 13th of the month if also on Friday (UTC)"
    )
    assert (
        describe(parse_timetable(crons=["0 18 * * *", "0 6 * * *", "*/5 1 * * *"], interval="1h"))
        == "At 06:00 and 18:00, every day; every 5 minutes from 01:00 to 01:59; every hour (UTC)"
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"crons": ["0 2 13 * FRI"]}, "a day that fits either counts (POSIX)"),
        ({"crons": ["0 2 13 * FRI"], "day_match": "all"}, "both count (all)"),
        ({"crons": ["0 2 29 2 *"]}, "29 February comes in leap years only"),
        ({"crons": ["0 2 31 * *"]}, "months without day 31 are left out"),
        ({"crons": ["0 0 * * *"]}, "`H H * * *` spreads them"),
        ({"crons": ["0 0 0 1 6 ? 2030"]}, "`0 H H 1 6 ? 2030` spreads them"),
        ({"crons": ["*/7 * * * *"]}, "use interval 7m"),
        ({"crons": ["0 */5 * * *"]}, "use interval 5h"),
        ({"crons": ["0 2 */2 * *"]}, "begins again on the 1st"),
        ({"crons": ["* * * * * *"]}, "runs every second"),
        ({"crons": ["0 0 2 ? * 2"]}, "from 0 = Sunday"),
        ({"crons": ["H 2 * * *"]}, "drawn from the schedule's name"),
        ({"interval": "7h"}, "does not divide a day"),
        ({"interval": "1d", "timezone": "Europe/Berlin"}, "its local time moves"),
        ({"once": NEW_YEAR}, "has passed"),
    ],
)
def test_what_is_seldom_meant_is_warned_of(options, words):
    found = warnings_for(parse_timetable(**options), NEW_YEAR)

    assert len(found) == 1
    assert words in found[0]


@pytest.mark.parametrize(
    "options",
    [
        {"crons": ["0 2 * * *"]},
        {"crons": ["*/15 9-17 * * MON-FRI"]},
        {"crons": ["0 2 L * *"]},
        {"crons": ["0 2 30,31 7,8 *"]},
        {"crons": ["0 0 2 ? * MON"]},
        {"crons": ["H H * * *"], "hash_key": "default/orders"},
        {"interval": "90m"},
        {"interval": "1d"},
        {"once": NEW_YEAR + timedelta(seconds=1)},
        {"preset": "business_hours_every_15_minutes"},
    ],
)
def test_what_is_commonly_meant_gets_no_warning(options):
    assert warnings_for(parse_timetable(**options), NEW_YEAR) == []
