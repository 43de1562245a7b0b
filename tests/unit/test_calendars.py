"""Calendars, execution windows and the guard of the clock: what is left out, moved, waits, or is held."""

from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from headwater.contracts.calendars import Calendar
from headwater.contracts.schedules import Schedule
from headwater.contracts.timetable import exclusion_of, timetable_of, windows_of
from headwater.control.schedule_preview import Wanted, preview_of
from headwater.model.calendar_ics import parse_ics
from headwater.model.calendar_recurrence import parse_rule
from headwater.model.calendar_rule import easter_sunday
from headwater.model.clock_guard import HOLD_S, ClockGuard
from headwater.model.errors import ConfigError
from headwater.model.schedule import ScheduleError, Timetable, due_times, next_after
from headwater.model.schedule_window import opening

NOW = datetime(2026, 12, 20, tzinfo=UTC)
HOLIDAYS = Calendar.model_validate(
    {"name": "de", "yearly": ["12-25..12-26", "01-01", "easter+1", "easter-2"]}
)


def schedule(**words: Any) -> Schedule:
    return Schedule.model_validate({"name": "s", "streams": ["a.b"], **words})


def timetable(*calendars: Calendar, now: datetime | None = NOW, **words: Any) -> Timetable:
    made = timetable_of(schedule(**words), "default", now, {each.name: each for each in calendars})
    assert made is not None
    return made


def due(table: Timetable, count: int, after: datetime = NOW) -> list[str]:
    moments = due_times(table, after)
    return [f"{next(moments).astimezone(table.zone):%a %d %b %H:%M}" for _ in range(count)]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("skip", ["Wed 23 Dec 09:00", "Thu 24 Dec 09:00", "Mon 28 Dec 09:00", "Tue 29 Dec 09:00"]),
        ("next", ["Wed 23 Dec 09:00", "Thu 24 Dec 09:00", "Mon 28 Dec 09:00", "Tue 29 Dec 09:00"]),
        ("previous", ["Wed 23 Dec 09:00", "Thu 24 Dec 09:00", "Mon 28 Dec 09:00", "Tue 29 Dec 09:00"]),
    ],
)
def test_a_moved_time_that_meets_another_is_one(policy: str, expected: list[str]) -> None:
    table = timetable(HOLIDAYS, cron="0 9 * * MON-FRI", exclude=["de"], on_excluded=policy)

    assert due(table, 4, NOW + timedelta(days=2, hours=12)) == expected


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("skip", ["Fri 01 Jan 09:00"]),
        ("next", ["Mon 28 Dec 09:00", "Fri 01 Jan 09:00"]),
        ("previous", ["Thu 24 Dec 09:00", "Fri 01 Jan 09:00"]),
    ],
)
def test_a_due_time_on_an_excluded_day_is_left_out_or_goes_to_a_working_day(
    policy: str, expected: list[str]
) -> None:
    christmas = Calendar.model_validate({"name": "c", "dates": ["2026-12-25"], "on_excluded": policy})
    table = timetable(christmas, crons=["0 9 25 12 *", "0 9 1 1 *"], exclude=["c"])

    assert due(table, len(expected)) == expected


def test_easter_is_known() -> None:
    assert [easter_sunday(year) for year in (2024, 2026, 2027, 2038)] == [
        date(2024, 3, 31),
        date(2026, 4, 5),
        date(2027, 3, 28),
        date(2038, 4, 25),
    ]


def test_days_ranges_crons_and_moments_are_left_out_in_the_schedules_zone() -> None:
    table = timetable(
        cron="0 */6 * * *",
        timezone="Europe/Berlin",
        exclude=[
            "2026-12-21",
            "2026-12-22..2026-12-23",
            "* 0-11 24 12 *",
            {"from": "2026-12-24T18:00:00+01:00", "to": "2026-12-25T06:00:00+01:00"},
        ],
    )

    assert due(table, 4, datetime(2026, 12, 20, 17, tzinfo=UTC)) == [
        "Thu 24 Dec 12:00",
        "Fri 25 Dec 06:00",
        "Fri 25 Dec 12:00",
        "Fri 25 Dec 18:00",
    ]


@pytest.mark.parametrize(
    ("zone", "excluded", "start"),
    [
        ("Europe/Berlin", "* 2 * * *", "2026-10-25T00:30:00+02:00"),
        (
            "America/St_Johns",
            "* 0 * * *",
            "2010-11-06T22:30:00-02:30",
        ),  # 00:01 becomes 23:01 of the day before
        ("Australia/Lord_Howe", "* 1 * * *", "2026-04-05T00:30:00+11:00"),  # half an hour comes twice
        ("Europe/Berlin", "* 1-2 * * *", "2026-03-29T00:30:00+01:00"),
    ],
)
def test_where_the_clock_changes_just_those_wall_clock_times_are_left_out(
    zone: str, excluded: str, start: str
) -> None:
    first = datetime.fromisoformat(start)
    low, _, high = excluded.split()[1].partition("-")
    minutes = [first.astimezone(UTC) + timedelta(minutes=n) for n in range(1, 300)]
    kept = [
        each for each in minutes if not int(low) <= each.astimezone(ZoneInfo(zone)).hour <= int(high or low)
    ]

    table = timetable(cron="* * * * *", timezone=zone, exclude=[excluded], now=first)

    assert list(islice(due_times(table, first), len(kept))) == kept


def test_a_stretch_of_seconds_left_out_while_clocks_go_back_does_not_end_the_schedule() -> None:
    after = datetime.fromisoformat("2026-10-25T01:59:58+02:00")
    table = timetable(cron="* * * * * *", timezone="Europe/Berlin", exclude=["* 2 * * *"], now=after)

    assert due(table, 3, after) == ["Sun 25 Oct 01:59", "Sun 25 Oct 03:00", "Sun 25 Oct 03:00"]


def test_due_times_that_a_month_of_others_could_be_moved_over_are_found() -> None:
    table = timetable(cron="*/8 * * * *", exclude=[{"cron": "* * * * SUN"}], on_excluded="next", now=NOW)

    assert due(table, 3) == ["Mon 21 Dec 00:00", "Mon 21 Dec 00:08", "Mon 21 Dec 00:16"]


@pytest.mark.parametrize(
    ("zone", "window", "moment", "opens"),
    [
        # 24:00 becomes 23:00, and the window from 23:30 comes once more
        (
            "Asia/Beirut",
            {"from": "23:30", "to": "02:00"},
            "2012-10-27T23:00:00+02:00",
            "2012-10-27T23:30:00+02:00",
        ),
        # the clock goes back into the window
        (
            "Europe/Berlin",
            {"from": "01:00", "to": "02:30"},
            "2026-10-25T02:45:00+02:00",
            "2026-10-25T02:00:00+01:00",
        ),
        # the window is left out on that day
        (
            "America/Sao_Paulo",
            {"from": "00:00", "to": "00:01"},
            "2007-10-13T00:07:00-03:00",
            "2007-10-15T00:00:00-02:00",
        ),
        (
            "Europe/Berlin",
            {"from": "02:30", "to": "03:30"},
            "2026-03-29T01:00:00+01:00",
            "2026-03-29T03:00:00+02:00",
        ),
    ],
)
def test_a_window_opens_whenever_the_clock_shows_its_times(
    zone: str, window: dict[str, str], moment: str, opens: str
) -> None:
    windows = windows_of(schedule(windows=[{**window, "outside": "wait"}]))

    found = opening(windows, ZoneInfo(zone), datetime.fromisoformat(moment))

    assert found == datetime.fromisoformat(opens)


@pytest.mark.parametrize(
    "words",
    [
        {"cron": "* * * * * *", "exclude": ["*/2 * * * * *", "1-59/2 * * * * *"]},
        {"cron": "*/8 * * * *", "exclude": ["* 0-22 * * *"], "on_excluded": "next"},
    ],
)
def test_what_is_too_much_to_look_through_is_refused_with_its_mend(words: dict[str, Any]) -> None:
    with pytest.raises(ScheduleError, match="not found in reasonable time; leave out whole hours or days"):
        preview_of(schedule(**words), "", {}, NOW, Wanted(count=1000))


@settings(max_examples=60, deadline=None)
@given(
    hour=st.integers(0, 23),
    weekdays=st.sets(st.sampled_from(["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"]), min_size=1),
    days=st.sets(st.integers(0, 40), max_size=12),
    policy=st.sampled_from(["skip", "next", "previous"]),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/New_York"]),
)
def test_due_times_with_calendars_rise_and_never_lie_on_what_is_left_out(
    hour: int, weekdays: set[str], days: set[int], policy: str, zone: str
) -> None:
    off = [(NOW.date() + timedelta(days=day)).isoformat() for day in days]
    calendar = Calendar.model_validate({"name": "c", "dates": off, "on_excluded": policy})
    table = timetable(
        calendar, cron=f"30 {hour} * * {','.join(sorted(weekdays))}", timezone=zone, exclude=["c"]
    )
    moments = due_times(table, NOW)
    found = [next(moments) for _ in range(30)]
    rule = exclusion_of(calendar, ZoneInfo(zone))

    assert all(sooner < later for sooner, later in zip(found, found[1:], strict=False))
    assert not any(rule.takes_day(moment.astimezone(ZoneInfo(zone)).date()) for moment in found)
    assert [next_after(table, moment - timedelta(seconds=1)) for moment in found] == found


@pytest.mark.parametrize(
    ("words", "place"),
    [
        ({"cron": "0 9 * * *", "exclude": ["* * * * *"]}, "exclude"),
        ({"cron": "*/10 * * * *", "exclude": ["*/2 * * * *"]}, "exclude"),
        ({"cron": "0 9 * * *", "ends_at": "2026-12-20T08:00:00Z"}, "ends_at"),
        (
            {"cron": "0 9 * * *", "starts_at": "2027-01-02T00:00:00Z", "ends_at": "2027-01-01T00:00:00Z"},
            "ends_at",
        ),
        ({"cron": "0 9 * * *", "exclude": ["nobody"]}, "exclude[0]"),
        ({"cron": "0 9 * * *", "exclude": ["61 * * * *"]}, "exclude[0].cron"),
        ({"cron": "* * * * *", "exclude": ["de"], "on_excluded": "next"}, "cron"),
    ],
)
def test_what_never_fires_or_cannot_be_kept_is_refused(words: dict[str, Any], place: str) -> None:
    with pytest.raises(ScheduleError) as refused:
        timetable(HOLIDAYS, **words)

    assert refused.value.specification == place


def test_beginning_and_end_bound_the_due_times_both_included() -> None:
    table = timetable(cron="0 9 * * *", starts_at="2026-12-22T09:00:00Z", ends_at="2026-12-23T09:00:00Z")

    assert list(due_times(table, NOW)) == [
        datetime(2026, 12, 22, 9, tzinfo=UTC),
        datetime(2026, 12, 23, 9, tzinfo=UTC),
    ]


@pytest.mark.parametrize("name", ["once", "starts_at", "ends_at"])
def test_a_time_without_an_offset_needs_a_zone(name: str) -> None:
    with pytest.raises(ValidationError, match="has no zone; write 2027-05-01T02:00:00Z or another offset"):
        schedule(**{"cron": "0 9 * * *", name: "2027-05-01T02:00:00"})

    assert (
        getattr(schedule(**{name: "2027-05-01T02:00:00", "timezone": "Europe/Berlin"}), name).tzinfo is None
    )
    assert getattr(schedule(**{name: "2027-05-01T02:00:00", "timezone": "UTC"}), name).tzinfo is not None


# windows


def opens(moment: str, *windows: dict[str, Any], zone: str = "Europe/Berlin") -> str | None:
    at = opening(windows_of(schedule(windows=list(windows))), ZoneInfo(zone), datetime.fromisoformat(moment))
    return None if at is None else at.astimezone(ZoneInfo(zone)).isoformat()


@pytest.mark.parametrize(
    ("moment", "windows", "expected"),
    [
        ("2026-12-21T08:00:00+01:00", [{"from": "08:00", "to": "18:00"}], "2026-12-21T08:00:00+01:00"),
        ("2026-12-21T18:00:00+01:00", [{"from": "08:00", "to": "18:00"}], None),
        ("2026-12-21T18:00:00+01:00", [{"from": "08:00", "to": "18:00", "outside": "wait"}], "2026-12-22T08:00:00+01:00"),
        ("2026-12-25T19:00:00+01:00", [{"days": "MON-FRI", "from": "08:00", "to": "18:00", "outside": "wait"}], "2026-12-28T08:00:00+01:00"),
        ("2026-12-22T03:00:00+01:00", [{"days": "mon", "from": "22:00", "to": "06:00"}], "2026-12-22T03:00:00+01:00"),
        ("2026-12-23T03:00:00+01:00", [{"days": "mon", "from": "22:00", "to": "06:00"}], None),
        ("2026-03-29T01:30:00+01:00", [{"from": "02:30", "to": "05:00", "outside": "wait"}], "2026-03-29T03:00:00+02:00"),
        ("2026-12-21T23:59:59+01:00", [{"from": "20:00", "to": "24:00"}], "2026-12-21T23:59:59+01:00"),
    ],
)  # fmt: skip
def test_a_window_lets_in_sends_away_or_lets_wait(
    moment: str, windows: list[dict[str, Any]], expected: str | None
) -> None:
    assert opens(moment, *windows) == expected


# preview


def test_a_preview_tells_what_is_left_out_moved_and_outside_of_windows() -> None:
    words = schedule(
        cron="0 9 * * *",
        exclude=["de"],
        windows=[{"days": "MON-FRI", "from": "08:00", "to": "12:00", "outside": "wait"}],
    )
    seen = preview_of(words, "", {"de": HOLIDAYS}, NOW, Wanted(count=6))

    assert [each["marks"] for each in seen["next"]] == [
        ["outside_window"],
        [],
        [],
        [],
        [],
        ["outside_window"],
    ]
    assert seen["next"][0]["begins_at"] == datetime(2026, 12, 21, 8, tzinfo=UTC)
    assert [(each["utc"].day, each["calendar"]) for each in seen["excluded"]] == [(25, "de"), (26, "de")]
    assert seen["description"] == (
        "At 09:00, every day, but not on the days of de, only within Monday to Friday 08:00 to 12:00"
        " (else it waits) (UTC)"
    )


# iCalendar

ICS = """BEGIN:VCALENDAR
VERSION:2.0
BEGIN:VEVENT
UID:1
DTSTART;VALUE=DATE:20261224
DTEND;VALUE=DATE:20261227
RRULE:FREQ=YEARLY
EXDATE;VALUE=DATE:20271224
SUMMARY:Weihnach
 ten
END:VEVENT
BEGIN:VEVENT
DTSTART;TZID="Europe/Berlin":20261221T090000
DURATION:PT2H
END:VEVENT
BEGIN:VEVENT
DTSTART;VALUE=DATE:20261126
RRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=4TH;COUNT=2
END:VEVENT
BEGIN:VEVENT
DTSTART;VALUE=DATE:20260101
RRULE:FREQ=HOURLY
SUMMARY:odd
END:VEVENT
END:VCALENDAR
"""


def test_an_icalendar_text_gives_days_of_every_year_and_stretches_of_time() -> None:
    busy = parse_ics(ICS.replace("\n", "\r\n"))

    assert busy.ranges[0] == (date(2026, 12, 24), date(2026, 12, 26))
    assert busy.ranges[1] == (date(2028, 12, 24), date(2028, 12, 26))
    assert (date(2027, 11, 25), date(2027, 11, 25)) in busy.ranges
    assert (date(2028, 11, 23), date(2028, 11, 23)) not in busy.ranges
    assert [(end - begin) for begin, end in busy.moments] == [timedelta(hours=2)]
    assert len(busy.notes) == 1
    assert "odd" in busy.notes[0]


@pytest.mark.parametrize(
    ("rule", "first", "days"),
    [
        ("FREQ=YEARLY;BYMONTHDAY=-1", "2026-10-15", ["2026-10-15", "2026-10-31", "2026-11-30", "2026-12-31"]),
        ("FREQ=YEARLY;BYDAY=-1FR", "2026-01-01", ["2026-01-01", "2026-12-25", "2027-12-31"]),
        ("FREQ=MONTHLY;BYDAY=MO,FR;BYMONTHDAY=13", "2026-02-13", ["2026-02-13", "2026-03-13", "2026-04-13"]),
        # the two examples of RFC 5545 §3.3.10 that differ by the first day of the week only
        ("FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=MO", "1997-08-05",
         ["1997-08-05", "1997-08-10", "1997-08-19", "1997-08-24"]),
        ("FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=SU", "1997-08-05",
         ["1997-08-05", "1997-08-17", "1997-08-19", "1997-08-31"]),
    ],
)  # fmt: skip
def test_a_recurrence_names_its_days(rule: str, first: str, days: list[str]) -> None:
    found, _ = parse_rule(rule).days_from(date.fromisoformat(first))

    assert [day.isoformat() for day in found[: len(days)]] == days


def test_a_schedule_leaves_out_what_an_icalendar_text_takes() -> None:
    calendar = Calendar.model_validate({"name": "c", "ics": ICS})
    table = timetable(calendar, cron="0 10 * * *", timezone="Europe/Berlin", exclude=["c"])

    assert due(table, 4) == ["Sun 20 Dec 10:00", "Tue 22 Dec 10:00", "Wed 23 Dec 10:00", "Sun 27 Dec 10:00"]


@pytest.mark.parametrize(
    "text", ["", "hello", "BEGIN:VCALENDAR\nBEGIN:VEVENT\n", "BEGIN:VCALENDAR\nEND:VEVENT\n"]
)
def test_what_is_no_icalendar_text_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_ics(text)


# the guard of the clock


def test_a_clock_that_goes_as_time_does_is_trusted() -> None:
    guard = ClockGuard()

    assert [guard.hold_s(NOW + timedelta(seconds=step), 100.0 + step) for step in range(5)] == [0.0] * 5


def test_a_clock_that_jumps_ahead_is_believed_only_when_it_stays_there() -> None:
    guard = ClockGuard()
    guard.hold_s(NOW, 0.0)
    day = timedelta(days=1)

    assert guard.hold_s(NOW + day + timedelta(seconds=1), 1.0) == HOLD_S
    assert guard.hold_s(NOW + day + timedelta(seconds=31), 31.0) == HOLD_S - 30
    assert guard.hold_s(NOW + day + timedelta(seconds=61), 61.0) == 0.0
    assert guard.hold_s(NOW + day + timedelta(seconds=62), 62.0) == 0.0


def test_a_clock_that_comes_back_is_trusted_at_once() -> None:
    guard = ClockGuard()
    guard.hold_s(NOW, 0.0)

    assert guard.hold_s(NOW + timedelta(hours=1), 1.0) > 0
    assert guard.hold_s(NOW + timedelta(seconds=2), 2.0) == 0.0
    assert guard.jump_s is None


def test_a_timer_that_was_stopped_trusts_the_clock() -> None:
    guard = ClockGuard()
    guard.hold_s(NOW, 0.0)
    # stopped between the answer and the look at its own clock
    assert guard.hold_s(NOW + timedelta(seconds=1), 61.0) == 0.0
    assert guard.hold_s(NOW + timedelta(seconds=62), 62.0) == 0.0


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ("2026-12-05..2026-12-01", "ends before it begins"),
        ({"from": "2026-12-05", "to": "2026-12-01"}, "ends before it begins"),
        ({"cron": "61 * * * *", "zone": "UTC"}, "Extra inputs"),
        ({"calendar": "No Name"}, "lower"),
    ],
)
def test_a_fault_of_an_exclusion_is_told_of_the_form_that_it_has_and_of_no_other(item: Any, words: str):
    with pytest.raises(ValidationError) as refused:
        Schedule.model_validate({"name": "s", "streams": ["a.b"], "cron": "0 9 * * *", "exclude": [item]})

    told = refused.value.errors()
    assert len(told) == 1
