"""Every table of the page on schedules is true."""

from datetime import datetime
from pathlib import Path

import pytest

from headwater.model.schedule import PRESETS, ScheduleError, describe, next_after, parse_timetable, preview
from headwater.model.schedule_interval import parse_interval

PAGE = Path(__file__).parents[2] / "docs" / "concepts" / "schedules.md"


def tables():
    """Each table of the page as its header and its rows, cells without their marks."""
    found, table = [], []
    for line in [*PAGE.read_text(encoding="utf-8").splitlines(), ""]:
        if line.startswith("|"):
            table.append(line)
        elif table:
            header, _, *rows = ([cell.strip() for cell in row.strip("|").split(" | ")] for row in table)
            found.append((header, [[_unmarked(cell) for cell in row] for row in rows]))
            table = []
    return found


def _unmarked(cell):
    return cell[1:-1] if cell.startswith("`") and cell.endswith("`") and cell.count("`") == 2 else cell


def rows_of(*header):
    found = [row for columns, rows in tables() if columns == list(header) for row in rows]
    assert found, f"the page has no table {header}"
    return found


ZONED = rows_of("cron", "timezone", "after", "next due times")
MATCHED = rows_of("cron", "day_match", "after", "next due times")
REFUSED = rows_of("cron", "field", "position", "mend")


@pytest.mark.parametrize("row", ZONED, ids=lambda row: f"{row[0]} in {row[1]}")
def test_the_documented_due_times_are_the_real_ones(row):
    cron, timezone, after, expected = row

    assert_due(parse_timetable(crons=[cron], timezone=timezone), after, expected)


@pytest.mark.parametrize("row", MATCHED, ids=lambda row: f"{row[0]} {row[1]}")
def test_the_documented_joining_of_day_fields_is_the_real_one(row):
    cron, day_match, after, expected = row

    assert_due(parse_timetable(crons=[cron], day_match=day_match), after, expected)


def assert_due(timetable, after, expected):
    """`expected` lists due times with their offsets; `never` says that there are no more."""
    wanted = [None if text == "never" else datetime.fromisoformat(text) for text in expected.split(", ")]
    found = [one.at for one in preview(timetable, datetime.fromisoformat(after), len(wanted))]
    found += [None] * (len(wanted) - len(found))

    assert [_instant_and_offset(at) for at in found] == [_instant_and_offset(at) for at in wanted]


def _instant_and_offset(at):
    # compared as text: == between zones is False for times that come twice (PEP 495)
    return "never" if at is None else at.isoformat()


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row[0])
def test_the_documented_refusals_say_field_position_and_mend(row):
    cron, field, position, mend = row

    with pytest.raises(ScheduleError) as caught:
        parse_timetable(crons=[cron])

    assert (caught.value.field, caught.value.position, caught.value.mend) == (field, int(position), mend)
    assert all(part in str(caught.value) for part in (field, position, caught.value.cause, mend))


def test_the_documented_intervals_last_as_long_as_written():
    for text, seconds in rows_of("interval", "seconds"):
        assert parse_interval(text).every_s == int(seconds), text


def test_every_preset_is_documented_with_what_it_means():
    documented = dict(rows_of("preset", "means"))

    assert documented == {
        name: describe(parse_timetable(preset=name)).removesuffix(" (UTC)") for name in PRESETS
    }


def test_every_alias_is_documented():
    from headwater.model.cron_parse import ALIASES

    page = PAGE.read_text(encoding="utf-8")

    assert [alias for alias in ALIASES if f"`{alias}`" not in page] == []


def test_the_examples_of_the_first_table_can_be_read():
    for kind, _, example in rows_of("write", "for", "example"):
        name, _, value = example.partition(": ")
        assert name in kind
        given = {"cron": {"crons": [value.strip('"')]}, "once": {"once": _moment(value)}}
        timetable = parse_timetable(**given.get(name, {name: value}))
        assert next_after(timetable, datetime.fromisoformat("2026-01-01T00:00Z")) is not None


def _moment(text):
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
