"""Due times around changes of the clock, all over the world."""

from datetime import datetime

import pytest
from tests.support.clock_changes import CASES

from headwater.model.schedule import parse_timetable, preview


def test_the_table_has_changes_of_every_kind() -> None:
    moments = [[datetime.fromisoformat(text) for text in (after, *due.split())] for _, _, after, due in CASES]
    steps = {
        abs((later.utcoffset() - sooner.utcoffset()).total_seconds())
        for row in moments
        for sooner, later in zip(row, row[1:], strict=False)
    }

    assert len({zone for zone, *_ in CASES}) >= 25
    assert steps >= {0, 900, 1800, 2670, 3600, 7200, 10_800, 86_400}


@pytest.mark.parametrize(("zone", "cron", "after", "due"), CASES)
def test_what_is_due_around_a_change_of_the_clock(zone: str, cron: str, after: str, due: str) -> None:
    timetable = parse_timetable(crons=[cron], timezone=zone)

    found = preview(timetable, datetime.fromisoformat(after), len(due.split()))

    assert [each.at.isoformat() for each in found] == [
        datetime.fromisoformat(text).isoformat() for text in due.split()
    ]
